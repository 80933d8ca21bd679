/**
 * Histograms of Prometheus as numbers: cumulative buckets by their upper bound, differences of two
 * scrapes, quantiles.
 */

export type Buckets = {
  readonly count: number;
  /** Upper bound in seconds (the last is infinite) and how many lie at or below it, rising. */
  readonly bounds: readonly (readonly [le: number, cumulative: number])[];
};

/**
 * The histogram `name` with exactly these labels among its own; of no observations when it is not
 * there.
 */
export function bucketsOf(
  metrics: ReadonlyMap<string, number>,
  name: string,
  labels: Readonly<Record<string, string>>,
): Buckets {
  const wanted = Object.entries(labels).map(([key, value]) => `${key}="${value}"`);
  const bounds: [number, number][] = [];
  for (const [series, value] of metrics) {
    if (!series.startsWith(`${name}_bucket{`)) continue;
    const parts = series.slice(name.length + 8, -1).split(",");
    if (!wanted.every((label) => parts.includes(label))) continue;
    const le = parts.find((label) => label.startsWith('le="'))?.slice(4, -1) ?? "";
    bounds.push([le === "+Inf" ? Number.POSITIVE_INFINITY : Number(le), value]);
  }
  bounds.sort(([a], [b]) => a - b);
  return { count: bounds.at(-1)?.[1] ?? 0, bounds };
}

/** What was observed between two scrapes. */
export function subtractBuckets(after: Buckets, before: Buckets): Buckets {
  const earlier = new Map(before.bounds);
  const bounds = after.bounds.map(([le, n]) => [le, n - (earlier.get(le) ?? 0)] as const);
  return { count: after.count - before.count, bounds };
}

/**
 * The `p`-quantile in seconds, linear within its bucket; infinite when it lies beyond the last
 * bound, null of nothing.
 */
export function bucketQuantile(buckets: Buckets | undefined, p: number): number | null {
  if (buckets === undefined || buckets.count === 0) return null;
  const rank = p * buckets.count;
  let [lowLe, lowCount] = [0, 0];
  for (const [le, count] of buckets.bounds) {
    if (count >= rank) {
      if (!Number.isFinite(le)) return le;
      return lowLe + ((le - lowLe) * (rank - lowCount)) / Math.max(1, count - lowCount);
    }
    [lowLe, lowCount] = [le, count];
  }
  return null;
}
