/**
 * Attacks 36 and 37 on a gateway and a node in processes of their own: their servers become slow or fall silent behind a
 * bad link and come back, and their clock is set back while they work.
 */
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { Link } from "../scripts/faults/proxy.ts";
import { testNatsUrl } from "../scripts/testing/services.ts";
import { seen } from "./testing/attacked-process.ts";
import { startAttacked } from "./testing/attacked.ts";
import type { Attacked } from "./testing/attacked.ts";
import { openClient, until } from "./testing/clients.ts";
import { BODY, HERE, tokenOf } from "./testing/gateway.ts";

const TEST_MS = 120_000;
const PROFILE = { name: "Al", phone: "+1-555-0102", vehicle: "bike", capacity: 5 };

/** A link to the server behind a URL, and the URL of the link. */
async function linkTo(text: string): Promise<{ link: Link; url: string }> {
  const url = new URL(text);
  const target = { host: url.hostname, port: Number(url.port) };
  const link = await Link.open({ targets: () => [target] });
  url.hostname = "127.0.0.1";
  url.port = String(link.port);
  return { link, url: url.toString() };
}

/** Patient: a silent link is noticed by timeouts. */
async function untilLong(look: () => Promise<boolean>, what: string): Promise<void> {
  const deadline = Date.now() + 40_000;
  while (!(await look())) {
    if (Date.now() > deadline) throw new Error(`${what} did not come`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

describe("servers that are away", () => {
  let t: Attacked;
  let postgres: Link;
  let nats: Link;
  beforeAll(async () => {
    const toNats = await linkTo(testNatsUrl());
    nats = toNats.link;
    const bend = async (databaseUrl: string): Promise<Record<string, string>> => {
      const toPostgres = await linkTo(databaseUrl);
      postgres = toPostgres.link;
      return { HEXDISPATCH_POSTGRES_URL: toPostgres.url, HEXDISPATCH_NATS_URL: toNats.url };
    };
    t = await startAttacked({ withNode: true, bend });
  });
  afterEach(async ({ task }) => {
    await t.noteLag(task.name);
    // What was refused meanwhile is served again soon.
    await untilLong(() => t.isServing(), "service");
    await t.expectAlive();
  });
  afterAll(async () => {
    await t?.close();
    await Promise.all([postgres.close(), nats.close()]);
  });
  const create = () => t.rest.post("/v1/deliveries", t.tokens.customer, BODY);

  it(
    "attack 36: a Postgres that is slow or silent is 503 with Retry-After, and comes back",
    async () => {
      const told: string[] = [];
      for (const [what, trouble] of [
        ["slow", { delayMs: 4_000 }],
        ["silent", { upHeld: true, downHeld: true }],
      ] as const) {
        postgres.set(trouble);
        await untilLong(async () => (await t.ready()) === 503, `not ready while ${what}`);
        const began = performance.now();
        const path = `/v1/deliveries/${t.delivery}`;
        const answer = await t.rest.get(path, t.tokens.customer);
        const ms = performance.now() - began;
        expect([answer.status, answer.body.code], what).toEqual([503, "unavailable"]);
        expect(Number(answer.headers.get("retry-after")), what).toBeGreaterThan(0);
        told.push(`${what}: 503 after ${ms.toFixed(0)} ms`);
        postgres.reset();
        await untilLong(async () => (await t.ready()) === 200, `ready after ${what}`);
        await untilLong(async () => (await create()).status === 201, `creates after ${what}`);
      }
      seen(told.join(", "));
    },
    TEST_MS,
  );

  it(
    "attack 36: a NATS that is silent stops no create and no read, and comes back",
    async () => {
      nats.set({ upHeld: true, downHeld: true });
      await untilLong(async () => (await t.ready()) === 503, "not ready");
      let id = "";
      await untilLong(async () => {
        const made = await create();
        if (made.status === 201) id = made.body.delivery_id;
        return id !== "" && (await t.ready()) === 503;
      }, "a create without NATS");
      const path = `/v1/deliveries/${id}`;
      expect((await t.rest.get(path, t.tokens.customer)).status).toBe(200);
      nats.reset();
      await untilLong(async () => (await t.ready()) === 200, "ready again");
      await untilLong(async () => (await create()).status === 201, "creates");
    },
    TEST_MS,
  );
});

describe("a clock that is set back", () => {
  let t: Attacked;
  beforeAll(async () => {
    t = await startAttacked({ withNode: true });
  });
  afterEach(({ task }) => t.noteLag(task.name));
  afterAll(() => t?.close());

  it(
    "attack 37: timers go on, versions and positions do not go back, nothing ends",
    async () => {
      expect((await t.rest.put("/v1/couriers/cur_37", t.tokens.operator, PROFILE)).status).toBe(
        200,
      );
      const token = await tokenOf("courier", "cur_37");
      await t.rest.post("/v1/couriers/me/shift", token, { online: true });
      const rider = await t.connect(token);
      let seq = 0;
      const ping = (lng: number): void =>
        rider.send({
          ...{ type: "ping", seq: ++seq, at: Date.now(), lng, lat: HERE.lat },
          ...{ accuracyM: 5, speedMps: null, headingDeg: null },
        });
      ping(HERE.lng);
      const { body: made } = await t.rest.post("/v1/deliveries", t.tokens.customer, BODY);
      const path = `/v1/deliveries/${made.delivery_id}`;
      expect((await t.rest.post(`${path}/accept`, token, {})).status).toBe(200);
      const follower = await t.connect(t.tokens.customer);
      follower.send({ type: "track", ref: 1, delivery: made.delivery_id, after: null });
      await follower.next("delivery");
      const silent = await openClient(t.url);
      const silentSince = performance.now();

      for (const one of [t.gateway, t.node]) one?.moveClock(-20_000);
      ping(HERE.lng + 0.0004);
      const location = await until(async () => {
        const { body } = await t.rest.get(path, t.tokens.customer);
        const found = body.courier_location;
        return found && Math.abs(found.lng - HERE.lng - 0.0004) < 1e-6 && found;
      }, "the position after the step");
      expect(location.age_s).toBeGreaterThanOrEqual(0);
      for (const status of ["picked_up", "delivered"]) {
        expect((await t.rest.post(`${path}/status`, token, { status })).status).toBe(200);
      }
      await until(() => {
        const frame = follower.frames.filter((one) => one.type === "delivery").at(-1);
        return frame?.view.status === "delivered";
      }, "the last status");
      const versions = follower.frames.flatMap((f) => (f.type === "delivery" ? [f.version] : []));
      expect(versions).toEqual(versions.toSorted((a, b) => a - b));
      // A new delivery is offered by timers that know nothing of the step.
      const { body: later } = await t.rest.post("/v1/deliveries", t.tokens.customer, BODY);
      const isOffered = (): boolean =>
        rider.frames.some((one) => one.type === "offer" && one.delivery === later.delivery_id);
      await until(isOffered, "an offer");
      expect(await silent.closed).toBe(4004);
      const waitedS = (performance.now() - silentSince) / 1_000;
      expect(waitedS).toBeLessThan(20);
      await t.expectAlive();
      seen(
        `20 s back: versions ${versions.join(", ")}, an offer came, the silent socket was closed after ${waitedS.toFixed(0)} s`,
      );
    },
    TEST_MS,
  );
});
