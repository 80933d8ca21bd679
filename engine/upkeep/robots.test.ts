/**
 * Runs robots over the store in memory: what they do twice, what they leave alone, and how they go
 * home.
 */
import { beforeEach, describe, expect, it } from "vitest";
import { robotDeeds } from "../../actors/robot.ts";
import type { NodeId, ShardId } from "../../proto/ids.ts";
import { DISPATCH_DEFAULTS, ROBOT_STEP_MS } from "../../proto/limits.ts";
import type { Posted } from "../../proto/posts.ts";
import { robotOf } from "../../proto/test-mode.ts";
import { FakeStore } from "../../sim/fake-store.ts";
import { asStore } from "../../sim/fake-port.ts";
import { VirtualClock } from "../io/virtual-clock.ts";
import { Robots } from "./robots.ts";
import { NOW, createOf, newTestId, roundOf, takeOver } from "../store/contract/world.ts";
import type { Store } from "../store/port.ts";

const SHARD = 5 as ShardId;
let clock: VirtualClock;
let store: Store;
let posts: Posted[];
let owned: ShardId[];
let failures: unknown[];

beforeEach(() => {
  clock = new VirtualClock(NOW);
  store = asStore(new FakeStore(() => clock.now()));
  [posts, owned, failures] = [[], [SHARD], []];
});

const robots = (over: Partial<Store> = {}): Robots =>
  new Robots({
    clock,
    node: "node_a" as NodeId,
    store: { ...store, ...over },
    owned: () => owned,
    shardOf: () => SHARD,
    send: (post) => void posts.push(post),
    nudge: () => undefined,
    deeds: (test, now) => robotDeeds(test, now, DISPATCH_DEFAULTS),
    onFailed: (error) => void failures.push(error),
  });
const said = (): string[] => posts.splice(0).map(({ kind, msg }) => `${kind} ${msg.type}`);

async function offered() {
  const id = newTestId(SHARD);
  await store.create(createOf({ id }));
  const robot = robotOf(id, 1);
  const one = robots();
  await one.once();
  const epoch = await takeOver(store, "node_a", SHARD);
  await store.write({ kind: "shift", courier: robot, online: true }, SHARD, epoch);
  const offer = { courier: robot, until: NOW + 20_000, distanceM: 300, etaS: 60 };
  await store.write({ ...roundOf(id), offers: [offer], asked: [robot] }, SHARD, epoch);
  said();
  return { id, robot, one };
}

describe("the robots of a node", () => {
  it("are put on shift near the pickup, and wake the delivery a step later", async () => {
    const id = newTestId(SHARD);
    await store.create(createOf({ id }));
    await store.create(createOf());
    const one = robots();
    expect(await one.once()).toBe(ROBOT_STEP_MS);
    expect(said()).toEqual(["courier shift", "courier ping"]);
    await one.once();
    expect(said()).toEqual(["courier shift", "courier ping", "delivery wake"]);
    expect(await store.courier(robotOf(id, 1))).toMatchObject({ vehicle: "bike", load: 0 });
  });

  it("may be run by two nodes at once: the test is accepted and ended once", async () => {
    const { id, robot, one } = await offered();
    const two = robots();
    for (let s = 0; s < 120; s++) {
      await clock.advance(1_000);
      await Promise.all([one.once(), two.once()]);
    }
    expect(await store.delivery(id)).toMatchObject({
      status: "delivered",
      version: 4,
      courierId: robot,
    });
    const events = (await store.outboxBatch(100)).map(({ event }) => event.type);
    expect(events).toEqual(["created", "assigned", "picked_up", "delivered"]);
    expect(failures).toEqual([]);
  });

  it("go off shift when the test is over, and only while its shard is ours", async () => {
    const { id, one } = await offered();
    await store.cancel({ delivery: id, by: { role: "operator" }, reason: "test" });
    for (let step = 0; step < 6; step++) await one.once();
    expect(said()).toEqual(["courier shift", "courier shift", "courier shift"]);
    const other = await offered();
    owned = [6 as ShardId];
    await other.one.once();
    expect(said()).toEqual([]);
  });

  it("go off shift also where another node began: it died on the way", async () => {
    const { id, one } = await offered();
    await one.once();
    const heir = robots();
    await heir.once();
    await store.cancel({ delivery: id, by: { role: "operator" }, reason: "test" });
    said();
    for (let step = 0; step < 6; step++) await heir.once();
    expect(said()).toEqual(["courier shift", "courier shift", "courier shift"]);
  });

  it("leave everything alone while the store is away, and try again more and more rarely", async () => {
    const one = robots({ openDeliveries: () => Promise.reject(new Error("away")) });
    const pauses = [await one.once(), await one.once(), await one.once()];
    expect(pauses).toEqual([1, 2, 4].map((times) => times * ROBOT_STEP_MS));
    expect(failures).toHaveLength(3);
  });
});
