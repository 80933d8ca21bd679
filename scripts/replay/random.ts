/**
 * Random numbers that a seed decides, and the few distributions that people and demand follow. Not
 * for secrets.
 */

export type Random = () => number;

/**
 * Numbers in [0, 1) from a seed: mulberry32 by Tommy Ettinger (public domain), 32 bits of state.
 */
export function seeded(seed: number): Random {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}

/** A normal number of mean 0 and deviation 1 (Box and Muller, 1958). */
export const normal = (random: Random): number =>
  Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());

/** The 95th percentile of the standard normal distribution. */
const NORMAL_P95 = 1.644_853_6;

/**
 * A log-normal number by its median and 95th percentile, both above 0: how long people take to
 * answer.
 */
export const logNormal = (random: Random, p50: number, p95: number): number =>
  p50 * Math.exp((normal(random) * Math.log(p95 / p50)) / NORMAL_P95);

/** Exponential with this mean: the gaps of a Poisson stream. */
export const exponential = (random: Random, mean: number): number => -mean * Math.log(1 - random());

/** An index drawn by `cumulative` weights (rising, the last one is the total, above 0). */
export function weightedIndex(random: Random, cumulative: readonly number[]): number {
  const wanted = random() * (cumulative.at(-1) ?? 0);
  let low = 0;
  let high = cumulative.length - 1;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((cumulative[middle] as number) > wanted) high = middle;
    else low = middle + 1;
  }
  return low;
}

export function shuffled<T>(random: Random, items: readonly T[]): T[] {
  const out = [...items];
  for (let i = out.length - 1; i > 0; i--) {
    const j = Math.floor(random() * (i + 1));
    [out[i], out[j]] = [out[j] as T, out[i] as T];
  }
  return out;
}
