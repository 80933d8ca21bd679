/**
 * Postgres goes away and comes back under a gateway: creates are taken by the intake and matched
 * later, in order; keys keep their one answer; accepts and statuses are refused quickly and succeed
 * when they are repeated; followers stay. The Postgres is a private one, so that it can be killed
 * and frozen; the worker is the node's own.
 */
import { execFileSync } from "node:child_process";
import { jetstreamManager } from "@nats-io/jetstream";
import type { NatsConnection } from "@nats-io/transport-node";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { streamIntake } from "../../engine/streams/intake-stream.ts";
import { Intake } from "../../engine/streams/intake.ts";
import { systemClock } from "../../engine/io/clock.ts";
import { connectNats } from "../../engine/io/nats/nats.ts";
import { openPostgresStore } from "../../engine/store/postgres-store.ts";
import type { PostgresStore } from "../../engine/store/postgres-store.ts";
import type { Store } from "../../engine/store/port.ts";
import { wantedStream } from "../../engine/streams/streams.ts";
import { DispatchError } from "../../proto/errors.ts";
import type { DeliveryId } from "../../proto/ids.ts";
import { privatePostgres, testNatsUrl, testPrefix } from "../../scripts/testing/services.ts";
import type { PrivateServer } from "../../scripts/testing/services.ts";
import * as answers from "./answers.ts";
import { until } from "../testing/clients.ts";
import type { Client, RestAnswer } from "../testing/clients.ts";
import { fits, refused } from "../testing/expect.ts";
import { BODY } from "../testing/gateway.ts";
import type { TestGateway } from "../testing/gateway.ts";
import { startWithPeople } from "../testing/people.ts";
import type { People } from "../testing/people.ts";

let server: PrivateServer;
let people: People;
let t: TestGateway;
let nc: NatsConnection;
let workerStore: PostgresStore;
const prefix = testPrefix();
const told: DeliveryId[] = [];
const buried: string[] = [];
let workers: Intake[] = [];
/**
 * Creates that the gateway gave to its store, and whether the next one's answer is lost before or
 * after the commit.
 */
let createsAsked = 0;
let lose: "before" | "after" | null = null;

const losing = (store: PostgresStore): Store => ({
  ...store,
  async create(command) {
    createsAsked++;
    const loss = lose;
    lose = null;
    if (loss === "before") throw new DispatchError("unavailable");
    const outcome = await store.create(command);
    if (loss === "after") throw new DispatchError("unavailable");
    return outcome;
  },
});

beforeAll(async () => {
  server = await privatePostgres();
  nc = await connectNats({ url: testNatsUrl(), name: "intake test" });
  const manager = await jetstreamManager(nc, { checkAPI: false });
  await manager.streams.add(wantedStream(prefix, "INTAKE", 1));
  const database = { url: server.url, drop: () => Promise.resolve() };
  people = await startWithPeople({ database, prefix, wrap: losing });
  ({ t } = people);
  workerStore = openPostgresStore({ url: server.url, applicationName: "worker" });
});
afterAll(async () => {
  await t.close();
  await workerStore.close();
  const manager = await jetstreamManager(nc, { checkAPI: false });
  await manager.streams.delete(wantedStream(prefix, "INTAKE", 1).name);
  await nc.close();
  await server.remove();
});

function startWorkers(count: number): void {
  workers = Array.from({ length: count }, () => {
    const worker = new Intake({
      clock: systemClock,
      queue: streamIntake(nc, prefix),
      store: workerStore,
      onCreated: ({ id }) => void told.push(id),
      onCount: () => undefined,
      onFailed: () => undefined,
      onBuried: (why) => void buried.push(why),
    });
    worker.start();
    return worker;
  });
}
const stopWorkers = (): Promise<unknown> => Promise.all(workers.map((worker) => worker.stop()));

const isAway = async (): Promise<boolean> =>
  (await t.metrics.text()).includes('hexdispatch_postgres_away{role="gateway"} 1');
const post = (token: string, body: object = BODY, key?: string): Promise<RestAnswer> =>
  t.rest.post("/v1/deliveries", token, body, key === undefined ? {} : { "idempotency-key": key });
const rowOf = (id: string) => workerStore.delivery(id as DeliveryId).catch(() => null);
const eventsOf = async (id: string) =>
  (await workerStore.outboxBatch(10_000)).filter(({ event }) => event.delivery_id === id);

/** Taken in one test, looked for in a later one. */
let before: RestAnswer;
let first: RestAnswer;
let taken: RestAnswer[];
let follower: Client;
let open: string;
let carried: string;
/** An id that could be, and is not. */
const NOWHERE = "/v1/deliveries/del_02a01jf3k9q2m7xw4tz8cvb";
const acceptKey = { "idempotency-key": "accept" };

describe("Postgres is killed", () => {
  it("creates are taken, and each key keeps its one answer (D4)", async () => {
    const { customer, partner } = people;
    before = await post(customer, BODY, "before");
    expect(before.status).toBe(201);
    open = (await people.create()).delivery_id;
    carried = await people.assigned();
    follower = await t.connect(customer);
    await follower.next("welcome");
    follower.send({ type: "track", ref: 1, delivery: carried as DeliveryId, after: null });
    await follower.next("delivery");

    await server.kill("SIGKILL");
    // The first one notices, or comes after the probe has: either way it is taken.
    first = await post(customer, BODY, "first");
    expect([first.status, first.headers.get("idempotent-replayed")]).toEqual([202, null]);
    fits(answers.createdAnswer, first);
    await until(isAway, "the circuit");
    const asked = createsAsked;

    const again = await post(customer, BODY, "first");
    expect([again.status, again.text]).toEqual([202, first.text]);
    expect(again.headers.get("idempotent-replayed")).toBe("true");
    const other = await post(customer, { ...BODY, package_size: "large" }, "first");
    refused(other, 422, "idempotency_mismatch");
    const theirs = await post(partner, BODY, "first");
    taken = [theirs];
    for (let i = 0; i < 20; i++) taken.push(await post(customer));
    expect(new Set(taken.map(({ status }) => status))).toEqual(new Set([202]));
    const ids = [first, ...taken].map(({ body }) => body.delivery_id);
    expect(new Set(ids).size).toBe(22);
    // Committed before, asked again now: what was promised then cannot be read, but it is the same
    // delivery and link.
    const repeated = await post(customer, BODY, "before");
    expect([repeated.status, repeated.body.delivery_id, repeated.body.tracking_url]).toEqual([
      202,
      before.body.delivery_id,
      before.body.tracking_url,
    ]);
    expect(createsAsked, "with the circuit open nobody waits for Postgres").toBe(asked);
  });

  it("accepts, statuses and reads are refused with Retry-After, and followers stay", async () => {
    const { customer, alice } = people;
    const refusals = await Promise.all([
      t.rest.post(`/v1/deliveries/${open}/accept`, alice, undefined, acceptKey),
      t.rest.post(`/v1/deliveries/${carried}/status`, alice, { status: "picked_up" }),
      t.rest.get(`/v1/deliveries/${first.body.delivery_id}`, customer),
      t.rest.get(`/v1/deliveries`, customer),
    ]);
    for (const answer of refusals) {
      refused(answer, 503, "unavailable");
      expect(answer.headers.get("retry-after")).toBe("1");
    }
    t.nodes.move(t.deps.gateway, "cur_alice", Date.now(), -122.41, 37.78);
    await follower.next("positions");
    expect(follower.socket.readyState).toBe(1);
  });

  it("back again, what was taken is not denied, and committed by the worker, once and in order", async () => {
    const { customer, stranger, operator, alice } = people;
    await server.startAgain();
    await until(async () => !(await isAway()), "Postgres");
    const path = `/v1/deliveries/${taken[1]?.body.delivery_id}`;
    refused(await t.rest.get(path, customer), 503, "unavailable");
    refused(await t.rest.get(path, stranger), 404, "not_found");
    refused(await t.rest.post(`${path}/cancel`, customer, {}), 503, "unavailable");
    refused(await t.rest.post(`${path}/cancel`, stranger, {}), 404, "not_found");
    for (const what of ["", "/ledger"]) {
      refused(await t.rest.get(path + what, operator), 503, "unavailable");
    }
    refused(await t.rest.post(`${path}/cancel`, operator, {}), 503, "unavailable");
    refused(await t.rest.get(path, alice), 404, "not_found");
    refused(await t.rest.get(NOWHERE, operator), 404, "not_found");
    refused(await t.rest.post(`${NOWHERE}/cancel`, operator, {}), 404, "not_found");
    const id = taken[1]?.body.delivery_id as DeliveryId;
    const watching = await t.connect(operator);
    await watching.next("welcome");
    watching.send({ type: "track", ref: 1, delivery: id, after: null });
    expect(await watching.next("error")).toMatchObject({ ref: 1, code: "unavailable" });
    follower.send({ type: "track", ref: 2, delivery: id, after: null });
    expect(await follower.next("error")).toMatchObject({ ref: 2, code: "unavailable" });
    const prying = await t.connect(stranger);
    await prying.next("welcome");
    prying.send({ type: "track", ref: 1, delivery: id, after: null });
    expect(await prying.next("error")).toMatchObject({ ref: 1, code: "not_found" });
    const late = await post(customer, BODY, "first");
    expect([late.status, late.text]).toEqual([202, first.text]);

    startWorkers(1);
    const ids = [first, ...taken].map(({ body }) => body.delivery_id as string);
    for (const id of ids) await until(() => rowOf(id), "a taken create");
    await stopWorkers();
    const order = await until(() => told.length >= ids.length && told);
    expect(order.filter((id) => id !== before.body.delivery_id)).toEqual(ids);
    const all = [...ids, before.body.delivery_id];
    for (const id of all) {
      expect((await eventsOf(id)).map(({ event }) => event.number)).toEqual([1]);
    }
    expect(buried).toEqual([]);
    const read = await t.rest.get(path, customer);
    expect([read.status, read.body.status]).toEqual([200, "pending"]);
    const link = new URL(first.body.tracking_url).pathname;
    expect((await t.rest.get(link)).status).toBe(200);
    const answered = await post(customer, BODY, "first");
    expect([answered.status, answered.text]).toEqual([202, first.text]);
  });

  it("what was refused succeeds when it is asked again", async () => {
    const { alice } = people;
    const accepted = await t.rest.post(
      `/v1/deliveries/${open}/accept`,
      alice,
      undefined,
      acceptKey,
    );
    const picked = await t.rest.post(`/v1/deliveries/${carried}/status`, alice, {
      status: "picked_up",
    });
    expect([accepted.status, picked.status]).toEqual([200, 200]);
    // What it was told on the way is as it may be; this comes in the end.
    await until(async () => (await follower.next("delivery")).view.status === "picked_up", "it");
  });
});

describe("Postgres is there, and its answer is lost", () => {
  it("D4: committed or not, the create becomes one delivery under the id that was given", async () => {
    const { customer } = people;
    startWorkers(2);
    for (const loss of ["before", "after"] as const) {
      for (const key of [undefined, `lost ${loss}`]) {
        lose = loss;
        const answer = await post(customer, BODY, key);
        expect(answer.status).toBe(202);
        const { delivery_id: id } = answer.body;
        await until(() => rowOf(id), "the delivery");
        await until(() => told.includes(id), "the worker");
        expect((await eventsOf(id)).map(({ event }) => event.number)).toEqual([1]);
        if (key === undefined) continue;
        const again = await post(customer, BODY, key);
        expect(again.body).toEqual(answer.body);
      }
    }
    await stopWorkers();
  });

  it("a key with two bodies, the first committed and forgotten: both are deliveries (D3)", async () => {
    const { customer } = people;
    const one = await post(customer, BODY, "two bodies");
    lose = "before";
    const two = await post(customer, { ...BODY, package_size: "large" }, "two bodies");
    expect([one.status, two.status]).toEqual([201, 202]);
    startWorkers(1);
    const row = await until(() => rowOf(two.body.delivery_id), "the second");
    expect(row).toMatchObject({ size: "large", status: "pending" });
    await stopWorkers();
  });
});

describe("Postgres freezes", () => {
  it("a create that waits for it goes to the intake", async () => {
    const { customer } = people;
    await freeze("SIGSTOP");
    const answer = await post(customer, BODY, "frozen");
    await freeze("SIGCONT");
    expect(answer.status).toBe(202);
    startWorkers(1);
    const id = answer.body.delivery_id as string;
    await until(() => rowOf(id), "the delivery");
    await until(() => told.includes(id as DeliveryId), "the worker");
    expect((await eventsOf(id)).map(({ event }) => event.number)).toEqual([1]);
    await stopWorkers();
  });
});

/** The server's main process forks a backend for each connection: all of them stop, or go on. */
async function freeze(signal: "SIGSTOP" | "SIGCONT"): Promise<void> {
  const children = execFileSync("ps", ["-o", "pid=", "--ppid", String(server.pid)], {
    encoding: "utf8",
  });
  for (const pid of children.split("\n").map(Number).filter(Boolean)) process.kill(pid, signal);
  await server.kill(signal);
}
