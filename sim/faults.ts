/** What goes wrong, and how often: drawn from the seed once per run, and printed with it. */
import type { SeededRandom } from "./random.ts";

export type Faults = {
  /** Of messages between actors, gateways and nodes. */
  readonly lostRate: number;
  readonly twiceRate: number;
  readonly slowRate: number;
  /** Of commits: the store answers late, or not at all although it did what was asked. */
  readonly answerLostRate: number;
  /** Mean time between the deaths of shard owners; half of them go on as zombies for a while. */
  readonly ownerDiesMs: number;
  /** Of assignments: the courier's phone goes silent, or the courier stands still. */
  readonly vanishRate: number;
  readonly standRate: number;
};

export const NO_FAULTS: Faults = {
  lostRate: 0,
  twiceRate: 0,
  slowRate: 0,
  answerLostRate: 0,
  ownerDiesMs: Infinity,
  vanishRate: 0,
  standRate: 0,
};

export const drawFaults = (random: SeededRandom): Faults => ({
  lostRate: random.between(0, 0.1),
  twiceRate: random.between(0, 0.1),
  slowRate: random.between(0, 0.05),
  answerLostRate: random.between(0, 0.05),
  ownerDiesMs: random.between(20_000, 120_000),
  vanishRate: random.between(0, 0.2),
  standRate: random.between(0, 0.1),
});
