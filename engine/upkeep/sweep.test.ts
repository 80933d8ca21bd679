import { describe, expect, it } from "vitest";
import { DispatchError } from "../../proto/errors.ts";
import type { ShardId } from "../../proto/ids.ts";
import type { ActorKey } from "../../proto/posts.ts";
import type { DeliverySnapshot } from "../../proto/writes.ts";
import { repeat } from "../io/clock.ts";
import { VirtualClock } from "../io/virtual-clock.ts";
import { Sweep } from "./sweep.ts";

const due = (id: string): DeliverySnapshot => ({ job: { id } }) as unknown as DeliverySnapshot;

function drive() {
  const clock = new VirtualClock();
  const looks: number[] = [];
  const resumed: string[] = [];
  const revived: string[] = [];
  const world = {
    isAway: false,
    answer: [] as DeliverySnapshot[],
    hold: null as Promise<void> | null,
    parked: [] as ActorKey[],
  };
  const sweep = new Sweep({
    clock,
    intervalMs: 1_000,
    store: {
      due: async (shards, now) => {
        looks.push(now);
        expect(shards).toEqual([3]);
        await world.hold;
        if (world.isAway) throw new DispatchError("unavailable");
        return world.answer;
      },
    },
    owned: () => [3 as ShardId],
    resume: (delivery) => void resumed.push(delivery),
    parked: () => world.parked,
    load: (key) => Promise.resolve(key.id === "gone" ? null : { type: "resumed" }),
    revive: (key) => void revived.push(key.id),
    onResumed: () => undefined,
    onFailed: () => undefined,
  });
  const stop = repeat(clock, 1_000, () => sweep.once());
  return { clock, looks, resumed, revived, world, stop };
}

describe("the sweep", () => {
  it("gives every due delivery to its actor, once a second", async () => {
    const { clock, looks, resumed, world } = drive();
    world.answer = [due("d1"), due("d2")];
    await clock.advance(2_500);
    expect(looks.length).toBe(2);
    expect(resumed).toEqual(["d1", "d2", "d1", "d2"]);
  });

  it("never runs twice at once", async () => {
    const { clock, looks, world } = drive();
    let release = (): void => undefined;
    world.hold = new Promise((resolve) => (release = resolve));
    await clock.advance(10_000);
    expect(looks.length).toBe(1);
    release();
    await clock.advance(1_000);
    expect(looks.length).toBe(2);
  });

  it("looks less often while the store is away, and as usual when it is back", async () => {
    const { clock, looks, world } = drive();
    world.isAway = true;
    await clock.advance(31_000);
    expect(looks.length).toBe(6); // after 1, 2, 4, 8, 16 and 26 s
    world.isAway = false;
    await clock.advance(10_000);
    const before = looks.length;
    await clock.advance(3_000);
    expect(looks.length - before).toBe(3);
  });

  it("loads parked actors anew once a minute, those that still exist", async () => {
    const { clock, revived, world } = drive();
    world.parked = ["d1", "gone"].map((id) => ({ kind: "delivery", id }));
    await clock.advance(59_000);
    expect(revived).toEqual([]);
    await clock.advance(62_000);
    expect(revived).toEqual(["d1", "d1"]);
  });

  it("stops when told to", async () => {
    const { clock, looks, stop } = drive();
    await clock.advance(1_000);
    await stop();
    await clock.advance(5_000);
    expect(looks.length).toBe(1);
  });
});
