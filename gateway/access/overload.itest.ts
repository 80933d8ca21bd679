/**
 * A store that does not get on, seen through real sockets: reads are refused, then creates, accepts
 * last; each refusal says when to come back and is counted; and all that was taken is answered in
 * the end.
 */
import { afterAll, beforeAll, expect, it } from "vitest";
import type { PostgresStore } from "../../engine/store/postgres-store.ts";
import type { Store } from "../../engine/store/port.ts";
import type { DeliveryId } from "../../proto/ids.ts";
import { until } from "../testing/clients.ts";
import type { RestAnswer } from "../testing/clients.ts";
import { refused } from "../testing/expect.ts";
import { BODY } from "../testing/gateway.ts";
import type { TestGateway } from "../testing/gateway.ts";
import { startWithPeople } from "../testing/people.ts";
import type { People } from "../testing/people.ts";

const LIMIT = 10;
let people: People;
let t: TestGateway;
/** While it is set, reads and creates wait for it. */
let gate: Promise<void> | null = null;
let open: () => void = () => undefined;
let waiting = 0;

const slow = (store: PostgresStore): Store => {
  const pass = async (): Promise<void> => {
    if (gate === null) return;
    waiting++;
    await gate;
    waiting--;
  };
  return {
    ...store,
    delivery: async (id) => (await pass(), store.delivery(id)),
    create: async (command) => (await pass(), store.create(command)),
  };
};

beforeAll(async () => {
  const admission = { lagMs: 60_000, requests: 1_000_000, statements: LIMIT };
  people = await startWithPeople({ wrap: slow, admission });
  ({ t } = people);
});
afterAll(() => t.close());

const shed = async (kind: string): Promise<number> => {
  const line = (await t.metrics.text())
    .split("\n")
    .find((text) => text.startsWith("hexdispatch_shed_total{") && text.includes(`"${kind}"`));
  return Number(line?.split(" ").at(-1) ?? 0);
};
const overloaded = (answer: RestAnswer): void => {
  refused(answer, 503, "overloaded");
  expect(Number(answer.headers.get("retry-after"))).toBeGreaterThan(0);
};

it("reads go first, then creates, then the rest; nothing silently, and nothing that was taken is lost", async () => {
  const { customer, alice, create } = people;
  const { delivery_id: mine } = await create();
  const { delivery_id: other } = await create();
  const courier = await t.connect(alice);
  await courier.next("welcome");
  const watcher = await t.connect(customer);
  await watcher.next("welcome");
  gate = new Promise((resolve) => {
    open = resolve;
  });
  const read = () => t.rest.get(`/v1/deliveries/${mine}`, customer);
  const post = () => t.rest.post("/v1/deliveries", customer, BODY);

  const reads = Array.from({ length: LIMIT }, read);
  await until(() => waiting === LIMIT, "the reads");
  overloaded(await read());
  watcher.send({ type: "track", ref: 7, delivery: mine as DeliveryId, after: null });
  expect(await watcher.next("error")).toMatchObject({ ref: 7, code: "overloaded", retryAfterS: 1 });
  expect(await shed("read")).toBe(2);

  const creates = Array.from({ length: LIMIT }, post);
  await until(() => waiting === 2 * LIMIT, "the creates");
  overloaded(await post());
  expect(await shed("create")).toBe(1);

  const accepted = await t.rest.post(`/v1/deliveries/${mine}/accept`, alice);
  expect(accepted.status).toBe(200);
  courier.send({ type: "accept", ref: 8, delivery: other as DeliveryId });
  expect((await courier.next("ok")).ref).toBe(8);
  expect(await shed("command")).toBe(0);

  open();
  gate = null;
  expect((await Promise.all(reads)).map(({ status }) => status)).toEqual(
    Array.from({ length: LIMIT }, () => 200),
  );
  expect((await Promise.all(creates)).map(({ status }) => status)).toEqual(
    Array.from({ length: LIMIT }, () => 201),
  );
  await until(async () => (await read()).status === 200, "calm");
});
