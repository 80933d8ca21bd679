/**
 * Whole worlds from fixed seeds: the checks of `checks.ts` watch every step, and a failure prints the command that
 * replays it. Half of the worlds have plenty of couriers, half too few, so that backlogs and deadlines are seen.
 */
import { describe, expect, it } from "vitest";
import { World } from "./world.ts";

const MINUTES = 5;
const SEEDS = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10];
const couriersOf = (seed: number): number => (seed % 2 === 0 ? 25 : 120);

function runOf(seed: number, couriers: number, minutes = MINUTES): World {
  const world = new World({ seed, couriers, keepLog: minutes < MINUTES });
  try {
    world.run(minutes * 60_000);
    world.settle();
  } catch (error) {
    const replay = `npm run sim -- --seed ${seed} --minutes ${minutes} --couriers ${couriers}`;
    throw new Error(`replay: ${replay}`, { cause: error });
  }
  return world;
}

describe("a city with faults", () => {
  for (const seed of SEEDS) {
    it(`seed ${seed}: every invariant holds at every step, and in the end everything has ended`, () => {
      const world = runOf(seed, couriersOf(seed));
      expect(world.checks.created()).toBeGreaterThan(100);
    });
  }

  it("the worlds see what they are meant to see: replacements, takeovers, unfilled deliveries", () => {
    const world = runOf(4, 25);
    const types = new Set(world.history.map((event) => event.type));
    expect(types.has("unfilled") && types.has("reassigned")).toBe(true);
    expect(world.counts.takeovers).toBeGreaterThan(0);
  });

  it("the same seed twice gives the same log, byte for byte, and another seed another", () => {
    const [first, again, other] = [runOf(1, 60, 2), runOf(1, 60, 2), runOf(2, 60, 2)];
    expect(again.log.join("")).toBe(first.log.join(""));
    expect(again.digest()).toBe(first.digest());
    expect(other.digest()).not.toBe(first.digest());
  });
});
