/**
 * A quick part of the simulation: a few whole worlds from fixed seeds. `npm run sim -- --seeds
 * 1-1000` runs the rest. A failure prints the command that replays it.
 */
import { describe, expect, it } from "vitest";
import { FAULT_KINDS } from "./faults.ts";
import { replayCommand, runWorld } from "./run-seed.ts";
import type { SeedOptions } from "./run-seed.ts";
import type { World } from "./world.ts";

const MINUTES = 2;
const SEEDS = [3, 4, 6];

const optionsOf = (seed: number, more: Partial<SeedOptions> = {}): SeedOptions => ({
  seed,
  minutes: MINUTES,
  couriers: seed % 2 === 0 ? 15 : 25,
  draw: "some",
  only: null,
  without: [],
  ...more,
});

async function heldTo(options: SeedOptions): Promise<World> {
  const world = await runWorld(options, options.minutes < MINUTES);
  const { violation } = world.history;
  const text = `${violation?.invariant} ${violation?.text}: ${replayCommand(options)}`;
  expect(violation, text).toBeNull();
  return world;
}

describe("a system with faults", () => {
  for (const seed of SEEDS) {
    it(`seed ${seed}: everything holds at every step, and in the end everything has ended`, async () => {
      const world = await heldTo(optionsOf(seed));
      expect(world.checks.created().size).toBeGreaterThan(10);
      const counts = world.counts();
      expect(counts["published"]).toBe(counts["events"]);
      expect(counts["takeovers"]).toBeGreaterThanOrEqual(8);
    });
  }

  it("seed 1 with every kind of fault: each of them strikes, each kind of noise goes on", async () => {
    const world = await heldTo(optionsOf(1, { minutes: 10, draw: "all" }));
    const counts = world.counts();
    const noise = ["lost", "twice", "slow", "failed", "unknown", "unanswered"];
    for (const name of [...FAULT_KINDS, ...noise]) {
      expect(counts[name], name).toBeGreaterThan(0);
    }
  });

  it("the same seed twice gives the same history, byte for byte, and another seed another", async () => {
    const [first, again, other] = [
      await heldTo(optionsOf(3, { minutes: 1 })),
      await heldTo(optionsOf(3, { minutes: 1 })),
      await heldTo(optionsOf(4, { minutes: 1 })),
    ];
    expect(first.plan.faults.length).toBeGreaterThan(0);
    expect(again.history.lines.join("")).toBe(first.history.lines.join(""));
    expect(again.history.digest()).toBe(first.history.digest());
    expect(other.history.digest()).not.toBe(first.history.digest());
  });
});
