/**
 * A gateway dies with its sockets: they all come back, spread out and not at one moment, and nobody
 * misses a status that happened meanwhile. Two gateways in processes of their own share the port;
 * the clients are those of the SDK.
 */
import { fork } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import type { NatsConnection } from "@nats-io/transport-node";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { WebSocket } from "ws";
import { connectNats } from "../../engine/io/nats/nats.ts";
import { migrate } from "../../engine/store/migrate.ts";
import { freePort } from "../../scripts/services/ports.ts";
import { testDatabase, testNatsUrl, testPrefix } from "../../scripts/testing/services.ts";
import type { TestDatabase } from "../../scripts/testing/services.ts";
import { dropStreams } from "../../scripts/testing/streams.ts";
import { CustomerClient } from "../../sdk/customer-client.ts";
import type { WebSocketConstructor } from "../../sdk/session.ts";
import type { TrackEvent } from "../../sdk/tracking.ts";
import { Rest, until } from "../testing/clients.ts";
import { BODY, TEST_KEY, tokenOf } from "../testing/gateway.ts";

const SOCKETS = 1_500;
const DELIVERIES = 30;
const STORM_MS = 120_000;

let database: TestDatabase;
let nc: NatsConnection;
let env: Record<string, string>;
let url: string;
const children: ChildProcess[] = [];

/** Starts a process of ours and waits for its word. */
async function start(file: string): Promise<ChildProcess> {
  const child = fork(fileURLToPath(new URL(file, import.meta.url)), [], {
    execArgv: ["--import", "tsx"],
    stdio: ["ignore", "inherit", "inherit", "ipc"],
    env: { ...process.env, ...env },
  });
  children.push(child);
  await once(child, "message");
  return child;
}

beforeAll(async () => {
  database = await testDatabase();
  await migrate(database.url);
  const port = await freePort();
  url = `http://127.0.0.1:${port}`;
  nc = await connectNats({ url: testNatsUrl(), name: "storm test" });
  env = {
    HEXDISPATCH_NATS_URL: testNatsUrl(),
    HEXDISPATCH_NATS_PREFIX: testPrefix(),
    HEXDISPATCH_POSTGRES_URL: database.url,
    HEXDISPATCH_AUTH_KEY: TEST_KEY,
    HEXDISPATCH_PUBLIC_PORT: String(port),
    HEXDISPATCH_PUBLIC_PORT_SHARED: "yes",
    HEXDISPATCH_LISTENER: "uws",
    HEXDISPATCH_ADMIN_PORT: "0",
    HEXDISPATCH_SHARDS: "8",
    // All followers here are one customer.
    HEXDISPATCH_SOCKETS_PER_PRINCIPAL_MAX: "0",
    HEXDISPATCH_REQUESTS_PER_PRINCIPAL_PER_S: "0",
    HEXDISPATCH_LOG_LEVEL: "error",
  };
});

afterAll(async () => {
  for (const child of children) child.kill("SIGKILL");
  await dropStreams(nc, env["HEXDISPATCH_NATS_PREFIX"] as string);
  await nc.close();
  await database.drop();
});

/** What a follower was told, as numbers of statuses in the order of telling. */
type Told = {
  readonly client: CustomerClient;
  readonly numbers: number[];
  gaps: number;
  losses: number;
};

function follow(id: string, token: string): Told {
  const client = new CustomerClient({
    url,
    getToken: () => token,
    webSocket: WebSocket as unknown as WebSocketConstructor,
  });
  const told: Told = { client, numbers: [], gaps: 0, losses: 0 };
  client.on("state", ({ at }) => {
    if (at === "disconnected") told.losses++;
  });
  const note = (event: TrackEvent): void => {
    if (event.type === "gap") told.gaps++;
    if (event.type === "passed") told.numbers.push(...event.events.map(({ number }) => number));
    if (event.type === "delivery") told.numbers.push(event.delivery.version);
  };
  const read = async (): Promise<void> => {
    for await (const event of client.track(id)) note(event);
  };
  void read();
  return told;
}

describe("a storm of reconnects", () => {
  it(
    "brings everybody back, and no status is lost",
    async () => {
      await start("../../engine/node.ts");
      const gateways = [await start("../main.ts"), await start("../main.ts")];
      const rest = new Rest(url);
      const [customer, operator, courier] = await Promise.all([
        tokenOf("customer", "cus_1"),
        tokenOf("operator", "ops_1"),
        tokenOf("courier", "cur_1"),
      ]);
      const profile = { name: "Al", phone: "+1-555-0101", vehicle: "bike", capacity: 20 };
      expect((await rest.put("/v1/couriers/cur_1", operator, profile)).status).toBe(200);
      const shift = await rest.post("/v1/couriers/me/shift", courier, { online: true });
      expect(shift.status, shift.text).toBe(200);
      const ids: string[] = [];
      for (let i = 0; i < DELIVERIES; i++) {
        const answer = await rest.post("/v1/deliveries", customer, BODY);
        ids.push(answer.body.delivery_id);
      }
      const followers: Told[] = [];
      for (let i = 0; i < SOCKETS; i++) {
        followers.push(follow(ids[i % DELIVERIES] as string, customer));
        if (i % 50 === 49) await until(() => connectedOf(followers) >= i - 100, "connections");
      }
      await until(() => connectedOf(followers) === SOCKETS, "all sockets");
      await until(() => followers.every(({ numbers }) => numbers.length > 0), "all answers");

      gateways[0]?.kill("SIGKILL");
      await until(() => connectedOf(followers) < SOCKETS, "the loss");
      // Both statuses happen while they are away: whoever comes back finds the second as the state.
      for (const id of ids.slice(0, 20)) {
        for (let attempt = 0; ; attempt++) {
          const accepted = await rest
            .post(`/v1/deliveries/${id}/accept`, courier)
            .catch(() => null);
          if (accepted?.status === 200) break;
          expect(attempt, accepted?.text).toBeLessThan(20);
        }
        const status = { status: "picked_up" };
        expect((await rest.post(`/v1/deliveries/${id}/status`, courier, status)).status).toBe(200);
      }
      await untilBack(() => connectedOf(followers) === SOCKETS, "everybody back");
      const lost = followers.filter(({ losses }) => losses > 0).length;
      expect(lost).toBeGreaterThan(SOCKETS / 10);
      await untilBack(
        () => followers.every(({ numbers }, i) => numbers.at(-1) === (i % DELIVERIES < 20 ? 3 : 1)),
        "the last status everywhere",
      );
      for (const [i, { numbers, gaps }] of followers.entries()) {
        expect(numbers, `follower ${i}, ${gaps} gaps`).toEqual(
          i % DELIVERIES < 20 ? [1, 2, 3] : [1],
        );
      }
      for (const { client } of followers) client.close();
    },
    STORM_MS,
  );
});

const connectedOf = (followers: readonly Told[]): number =>
  followers.filter(({ client }) => client.state.at === "connected").length;

/** The way back takes as long as the server spread it. */
const untilBack = (look: () => boolean, what: string): Promise<boolean> =>
  until(look, what, 45_000);
