/**
 * Test mode through the doors, with two nodes behind them, one of which is killed: every scenario
 * ends as it should, its events say that they are of a test, and nobody outside it hears of any of
 * it. Robots are ten times as fast here.
 */
import { fork } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { fileURLToPath } from "node:url";
import type { Subscription } from "@nats-io/transport-node";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { DeliveryEvent } from "../../proto/events.ts";
import type { DeliveryId } from "../../proto/ids.ts";
import { TEST_SCENARIO_NAMES, robotOf } from "../../proto/test-mode.ts";
import type { TestScenario } from "../../proto/test-mode.ts";
import { until } from "../testing/clients.ts";
import type { Client } from "../testing/clients.ts";
import { refused } from "../testing/expect.ts";
import { BODY, HERE, TEST_KEY, startTestGateway, tokenOf } from "../testing/gateway.ts";
import type { TestGateway } from "../testing/gateway.ts";

const NODE = fileURLToPath(new URL("../../engine/node.ts", import.meta.url));
const ENDS_MS = 90_000;
const STREAM_BYTES = String(16 * 1_048_576);
/** A third of a kilometre from the robots: near enough for everything. */
const NEAR = { lat: HERE.lat, lng: HERE.lng };

let t: TestGateway;
let nodes: ChildProcess[];
let events: Subscription;
let person: Client;
let customer: string;
let operator: string;
let courier: string;
const told: (DeliveryEvent & { readonly header: string })[] = [];
const noticed: string[] = [];
const tests = new Map<TestScenario, string>();

async function startNode(): Promise<ChildProcess> {
  const child = fork(NODE, [], {
    execArgv: ["--import", "tsx"],
    stdio: ["ignore", "inherit", "inherit", "ipc"],
    env: {
      ...process.env,
      HEXDISPATCH_NATS_URL: t.nats.getServer(),
      HEXDISPATCH_NATS_PREFIX: t.prefix,
      HEXDISPATCH_POSTGRES_URL: t.postgresUrl,
      HEXDISPATCH_AUTH_KEY: TEST_KEY,
      HEXDISPATCH_NODE_ADMIN_PORT: "0",
      HEXDISPATCH_LOG_LEVEL: "error",
      HEXDISPATCH_CELLS_BYTES_MAX: STREAM_BYTES,
      HEXDISPATCH_LEDGER_BYTES_MAX: STREAM_BYTES,
      HEXDISPATCH_EVENTS_BYTES_MAX: STREAM_BYTES,
      HEXDISPATCH_INTAKE_BYTES_MAX: STREAM_BYTES,
      HEXDISPATCH_ROBOT_PACE: "10",
      HEXDISPATCH_PING_SPEED_MAX_MPS: "2000",
      HEXDISPATCH_WARN_MS: "1000",
    },
  });
  await new Promise<void>((resolve, reject) => {
    child.once("message", () => resolve());
    child.once("exit", (code) => reject(new Error(`the node ended with ${code}`)));
  });
  return child;
}

beforeAll(async () => {
  const notifier = { send: ({ deliveryId }: { deliveryId: string }) => sent(deliveryId) };
  const sent = (id: string): Promise<void> => Promise.resolve(void noticed.push(id));
  t = await startTestGateway({ withNodes: true, outward: { notifier } });
  events = t.nats.subscribe(t.subjects.eventsAll, {
    callback: (_, message) =>
      void told.push({
        ...(JSON.parse(message.string()) as DeliveryEvent),
        header: message.headers?.get("ce-test") ?? "",
      }),
  });
  nodes = [await startNode(), await startNode()];
  customer = await tokenOf("customer", "cus_1");
  operator = await tokenOf("operator", "ops_1");
  courier = await tokenOf("courier", "cur_1");
  const profile = { name: "Ann", phone: "+1-555-0101", vehicle: "van", capacity: 20 };
  await t.rest.put("/v1/couriers/cur_1", operator, profile);
  await until(async () => {
    const answer = await t.rest.post("/v1/couriers/me/shift", courier, { online: true });
    return answer.status === 200;
  });
  person = await t.connect(courier);
  expect((await t.rest.post("/v1/couriers/me/location", courier, NEAR)).status).toBe(204);
}, 60_000);
afterAll(async () => {
  for (const node of nodes) node.kill("SIGKILL");
  person.end();
  events.unsubscribe();
  await t.close();
});

/** An example of the SDK, as it would be started by hand. */
function run(name: string, token: string) {
  const file = fileURLToPath(new URL(`../../sdk/examples/${name}`, import.meta.url));
  const child = fork(file, [], {
    execArgv: ["--import", "tsx"],
    stdio: ["ignore", "pipe", "inherit", "ipc"],
    env: { ...process.env, GATEWAY: t.url, TOKEN: token },
  });
  let output = "";
  child.stdout?.on("data", (data: Buffer) => void (output += data.toString()));
  const gone = new Promise((resolve) => child.once("exit", resolve));
  return { child, gone, lines: () => output.split("\n") };
}

const read = async (id: string) => (await t.rest.get(`/v1/deliveries/${id}`, customer)).body;
/** By number: a relay that was killed may have told one twice (D5). */
const typesOf = (id: string): string[] => {
  const byNumber = new Map<number, string>();
  for (const event of told) if (event.delivery_id === id) byNumber.set(event.number, event.type);
  return [...byNumber].toSorted(([a], [b]) => a - b).map(([, type]) => type);
};
const ended = (id: string): Promise<unknown> =>
  // What is awaited takes the robots seconds.
  expect.poll(async () => (await read(id)).ended_at, { timeout: ENDS_MS }).not.toBeNull();

describe("test mode", () => {
  it("whoever asks says so, by a field or by a name; scenarios are for tests", async () => {
    const ask = (token: string, more: object) =>
      t.rest.post("/v1/deliveries", token, { ...BODY, ...more });
    refused(await ask(customer, { test_scenario: "slow" }), 422, "invalid_field", "/test_scenario");
    const tester = await tokenOf("partner", "test_acme");
    refused(await ask(tester, { test: false }), 422, "invalid_field", "/test");
    refused(await ask(customer, { test: true, test_scenario: "x" }), 422, "invalid_field");
    const byName = await ask(tester, { test_scenario: "unfilled" });
    expect(byName.body.delivery_id).toMatch(/^tst_...u/);
    for (const test_scenario of TEST_SCENARIO_NAMES) {
      const answer = await ask(customer, { test: true, test_scenario });
      expect(answer.status, answer.text).toBe(201);
      tests.set(test_scenario, answer.body.delivery_id);
    }
  });

  it("no courier can take one, even by its id, and none is shown", async () => {
    const id = tests.get("unfilled") as string;
    const taken = await t.rest.post(`/v1/deliveries/${id}/accept`, courier, {});
    refused(taken, 404, "not_found");
    refused(await t.rest.get(`/v1/deliveries/${id}`, courier), 404, "not_found");
    const near = `/v1/deliveries/available?lat=${NEAR.lat}&lng=${NEAR.lng}`;
    expect((await t.rest.get(near, courier)).body.deliveries).toEqual([]);
  });

  it(
    "every scenario ends as it should, with its positions, though a node is killed on the way",
    async () => {
      const slow = tests.get("slow") as string;
      const at = (view: any): string => JSON.stringify(view.courier_location?.lat ?? null);
      await expect.poll(async () => at(await read(slow)), { timeout: ENDS_MS }).not.toBe("null");
      const before = at(await read(slow));
      await expect.poll(async () => at(await read(slow)), { timeout: ENDS_MS }).not.toBe(before);
      nodes[0]?.kill("SIGKILL");
      await Promise.all([...tests.values()].map(ended));
      const ways = Object.fromEntries(
        [...tests].map(([scenario, id]) => [scenario, typesOf(id).join(" ")]),
      );
      await expect.poll(() => told.filter(({ type }) => type === "unfilled").length).toBe(2);
      expect(ways).toEqual({
        delivered: "created assigned picked_up delivered",
        slow: "created assigned picked_up delivered",
        returned: "created assigned picked_up returned",
        canceled: "created assigned canceled",
        replaced: "created assigned reassigned picked_up delivered",
        unfilled: "created unfilled",
      });
    },
    ENDS_MS,
  );

  it("says so in every view, event and header, and counts nowhere", async () => {
    for (const id of tests.values()) expect(await read(id)).toMatchObject({ id, test: true });
    expect(told.every((event) => event.test && event.header === "true")).toBe(true);
    const fleet = (await t.rest.get("/v1/couriers", operator)).body.couriers;
    expect(fleet.map(({ id }: { id: string }) => id)).toEqual(["cur_1"]);
    // Customers were told nothing, and the courier was offered nothing; what comes next is the
    // first of both.
    const real = (await t.rest.post("/v1/deliveries", customer, BODY)).body.delivery_id as string;
    const offer = await person.next("offer");
    expect(offer.delivery).toBe(real);
    expect((await t.rest.post(`/v1/deliveries/${real}/accept`, courier, {})).status).toBe(200);
    await expect.poll(() => noticed, { timeout: ENDS_MS }).toEqual([real]);
    expect(await read(real)).toMatchObject({ test: false });
  });

  it(
    "the examples of twenty lines run: a customer of a test, and a courier",
    async () => {
      const track = run("track.ts", customer);
      expect(await track.gone).toBe(0);
      const statuses = track.lines().filter((line) => /^[a-z]/.test(line));
      expect([...new Set(statuses)]).toEqual(["pending", "assigned", "picked_up", "delivered"]);
      expect(track.lines().some((line) => line.startsWith("  at 37."))).toBe(true);
      await t.rest.put("/v1/couriers/cur_2", operator, {
        ...{ name: "Bob", phone: "+1-555-0102", vehicle: "bike", capacity: 1 },
      });
      const ride = run("courier.ts", await tokenOf("courier", "cur_2"));
      await expect.poll(ride.lines, { timeout: ENDS_MS }).toContain("on shift");
      const { body } = await t.rest.post("/v1/deliveries", customer, BODY);
      await expect
        .poll(ride.lines, { timeout: ENDS_MS })
        .toContain(`delivered ${body.delivery_id}`);
      ride.child.kill();
    },
    ENDS_MS,
  );

  it("a robot goes home: off shift, and carrying nothing", async () => {
    for (const [scenario, id] of tests) {
      if (scenario === "unfilled") continue;
      const robot = async () => t.store.courier(robotOf(id as DeliveryId, 1));
      await expect.poll(robot, { timeout: ENDS_MS }).toMatchObject({ online: false, load: 0 });
    }
  });
});
