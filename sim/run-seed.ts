/**
 * One seed from its options to its result; what a worker does, and the shrinker again and again.
 */
import { inMacrotask } from "./clock.ts";
import { NO_PLAN, drawPlan } from "./faults.ts";
import type { Draw, Plan } from "./faults.ts";
import type { Violation } from "./history.ts";
import { SeededRandom } from "./random.ts";
import { hashOf } from "./city.ts";
import { World } from "./world.ts";

/** Noise that goes on all the time, by its name on the command line. */
export const NOISES = ["network", "store", "people", "answers"] as const;
export type NoiseName = (typeof NOISES)[number];

export type SeedOptions = {
  readonly seed: number;
  readonly minutes: number;
  readonly couriers: number;
  readonly draw: Draw;
  /** Hours and days pass at once between parts of the run. */
  readonly days?: boolean;
  /** Of the faults drawn from the seed only these, by their number; null: all. */
  readonly only: readonly number[] | null;
  /** Noise that is left out. */
  readonly without: readonly NoiseName[];
};

export type SeedResult = {
  readonly seed: number;
  readonly violation: Violation | null;
  readonly digest: string;
  /** When it ended, minutes of the simulated time. */
  readonly endedMin: number;
  readonly deliveries: number;
  readonly counts: Readonly<Record<string, number>>;
  readonly cpuMs: number;
};

/** The plan of the seed, without what the options leave out. */
export function planOf({ seed, minutes, draw, only, without }: SeedOptions): Plan {
  const plan = drawPlan(new SeededRandom(hashOf(`${seed} plan`)), minutes, draw);
  const isOff = (name: NoiseName): boolean => without.includes(name);
  return {
    network: isOff("network") ? NO_PLAN.network : plan.network,
    store: isOff("store") ? NO_PLAN.store : plan.store,
    people: isOff("people") ? NO_PLAN.people : plan.people,
    answerLostRate: isOff("answers") ? 0 : plan.answerLostRate,
    faults: plan.faults.filter((_, i) => only === null || only.includes(i)),
  };
}

/** Runs it to its end or first violation. */
export const runWorld = (options: SeedOptions, keepLines = false): Promise<World> =>
  inMacrotask(() => {
    const { seed, minutes, couriers, days = false } = options;
    const plan = planOf(options);
    const world = new World({ seed, minutes, couriers, plan, keepLines, days });
    world.run();
    return world;
  });

export async function runSeed(options: SeedOptions): Promise<SeedResult> {
  const before = process.cpuUsage();
  const world = await runWorld(options);
  const { user, system } = process.cpuUsage(before);
  return { ...resultOf(world, options.seed), cpuMs: Math.round((user + system) / 1_000) };
}

export const resultOf = (world: World, seed: number): Omit<SeedResult, "cpuMs"> => ({
  seed,
  violation: world.history.violation,
  digest: world.history.digest(),
  endedMin: world.elapsedMs() / 60_000,
  deliveries: world.checks.created().size,
  counts: world.counts(),
});

/** What replays it. */
export function replayCommand(options: SeedOptions): string {
  const { seed, minutes, couriers, draw, only, without, days } = options;
  const more = [
    ...(days === true ? ["--days"] : []),
    ...(draw === "all" ? ["--all"] : []),
    ...(only === null ? [] : [`--only ${only.length === 0 ? "none" : only.join(",")}`]),
    ...(without.length === 0 ? [] : [`--without ${without.join(",")}`]),
  ];
  const base = `npm run sim -- --seed ${seed} --minutes ${minutes} --couriers ${couriers}`;
  return [base, ...more].join(" ");
}
