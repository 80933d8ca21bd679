/**
 * The gateway as a process, on servers of its own: it starts, says so, lives through the loss of
 * NATS and of Postgres, and ends in order.
 */
import { fork } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { migrate } from "../engine/store/migrate.ts";
import { CLOSE_CODES } from "../proto/errors.ts";
import { freePort } from "../scripts/services/ports.ts";
import { privateNats, privatePostgres } from "../scripts/testing/services.ts";
import type { PrivateServer } from "../scripts/testing/services.ts";
import { keepLog } from "./testing/attacked-process.ts";
import { Rest, openClient, until } from "./testing/clients.ts";
import { BODY, TEST_KEY, tokenOf } from "./testing/gateway.ts";

let nats: PrivateServer;
let postgres: PrivateServer;
let child: ChildProcess;
let rest: Rest;
let admin: Rest;
let url: string;
let customer: string;
let operator: string;
let saidReady = false;
const output: string[] = [];
const MAIN = fileURLToPath(new URL("main.ts", import.meta.url));

beforeAll(async () => {
  [nats, postgres] = await Promise.all([privateNats(), privatePostgres()]);
  await migrate(postgres.url);
  const [port, adminPort] = [await freePort(), await freePort()];
  child = fork(MAIN, [], {
    execArgv: ["--import", "tsx"],
    stdio: ["ignore", "pipe", "pipe", "ipc"],
    env: {
      ...process.env,
      HEXDISPATCH_NATS_URL: nats.url,
      HEXDISPATCH_POSTGRES_URL: postgres.url,
      HEXDISPATCH_AUTH_KEY: TEST_KEY,
      HEXDISPATCH_PUBLIC_PORT: String(port),
      HEXDISPATCH_ADMIN_PORT: String(adminPort),
      HEXDISPATCH_DRAIN_MS: "200",
    },
  });
  for (const stream of [child.stdout, child.stderr]) {
    stream?.on("data", (data: Buffer) => void output.push(data.toString()));
  }
  child.on("message", (message) => {
    saidReady ||= (message as { ready?: boolean }).ready === true;
  });
  url = `http://127.0.0.1:${port}`;
  rest = new Rest(url);
  admin = new Rest(`http://127.0.0.1:${adminPort}`);
  customer = await tokenOf("customer", "cus_1");
  operator = await tokenOf("operator", "ops_1");
  await until(() => saidReady || child.exitCode !== null, "the gateway's word");
  expect(child.exitCode, output.join("")).toBeNull();
});
afterAll(async () => {
  child.kill("SIGKILL");
  keepLog("gateway", output);
  await Promise.all([nats.remove(), postgres.remove()]);
});

const ready = async (): Promise<number> => (await admin.get("/readyz")).status;
const create = () => rest.post("/v1/deliveries", customer, BODY);

describe("a gateway process", () => {
  it("is alive, ready, measured and versioned on its admin listener alone", async () => {
    expect((await admin.get("/livez")).status).toBe(200);
    expect(await ready()).toBe(200);
    expect((await create()).status).toBe(201);
    expect((await admin.get("/version")).body.version).toMatch(/^\d+\.\d+\.\d+$/);
    expect((await admin.get("/metrics")).text).toContain('route="createDelivery",status="201"');
    expect((await rest.get("/metrics")).status).toBe(404);
    expect((await admin.get("/nonsense")).status).toBe(404);
  });

  it("creates, accepts and reports without NATS; what needs an actor is asked to come back", async () => {
    const alice = await tokenOf("courier", "cur_1");
    const body = { name: "Alice", phone: "+1-555-0101", vehicle: "bike", capacity: 2 };
    await rest.put("/v1/couriers/cur_1", operator, body);
    await nats.kill();
    await until(async () => (await ready()) === 503);
    const created = await create();
    expect(created.status).toBe(201);
    const id: string = created.body.delivery_id;
    expect((await rest.get(`/v1/deliveries/${id}`, customer)).status).toBe(200);
    // Nobody put her on shift: the store decided, so the accept reached it.
    const accepted = await rest.post(`/v1/deliveries/${id}/accept`, alice);
    expect([accepted.status, accepted.body.code]).toEqual([409, "courier_off_shift"]);
    const declined = await rest.post(`/v1/deliveries/${id}/decline`, alice);
    expect([declined.status, declined.body.code]).toEqual([503, "unavailable"]);
    expect(declined.headers.get("retry-after")).toBe("1");
    await nats.startAgain();
    await until(async () => (await ready()) === 200);
  });

  it("asks to come back while Postgres is away, and does", async () => {
    await postgres.kill();
    await until(async () => (await ready()) === 503);
    const answer = await create();
    expect([answer.status, answer.body.code]).toEqual([503, "unavailable"]);
    expect(Number(answer.headers.get("retry-after"))).toBeGreaterThan(0);
    expect((await admin.get("/livez")).status).toBe(200);
    await postgres.startAgain();
    await until(async () => (await ready()) === 200);
    await until(async () => (await create()).status === 201);
  });

  it("refuses a port that is taken, with a line that says so", async () => {
    const second = fork(MAIN, [], {
      execArgv: ["--import", "tsx"],
      stdio: ["ignore", "pipe", "pipe", "ipc"],
      env: {
        ...process.env,
        HEXDISPATCH_NATS_URL: nats.url,
        HEXDISPATCH_POSTGRES_URL: postgres.url,
        HEXDISPATCH_AUTH_KEY: TEST_KEY,
        HEXDISPATCH_PUBLIC_PORT: new URL(url).port,
        HEXDISPATCH_ADMIN_PORT: "0",
      },
    });
    const lines: string[] = [];
    second.stdout?.on("data", (data: Buffer) => void lines.push(data.toString()));
    const code = await new Promise((resolve) => second.on("exit", resolve));
    expect(code).toBe(1);
    expect(lines.join("")).toContain("is the port taken?");
  });

  it("ends in order at SIGTERM: sockets get a code to come back on, the exit is 0", async () => {
    const client = await openClient(url);
    client.send({ type: "hello", version: 1, token: customer, client: "test" });
    await client.next("welcome");
    const exit = new Promise((resolve) => child.on("exit", resolve));
    child.kill("SIGTERM");
    expect(await client.closed).toBe(CLOSE_CODES.going_away.code);
    expect(await exit).toBe(0);
    expect(output.join("")).not.toMatch(/"level":"fatal"/);
  });
});
