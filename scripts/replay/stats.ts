/** Figures of a sample: percentiles, curves and histograms for the report. */

/** The `p`-quantile (0 to 1) by the nearest rank; null of nothing. */
export function quantile(values: readonly number[], p: number): number | null {
  if (values.length === 0) return null;
  const sorted = values.toSorted((a, b) => a - b);
  const rank = Math.max(0, Math.ceil(p * sorted.length) - 1);
  return sorted[Math.min(rank, sorted.length - 1)] as number;
}

export type Summary = {
  readonly n: number;
  readonly mean: number | null;
  readonly p50: number | null;
  readonly p95: number | null;
  readonly p99: number | null;
  readonly max: number | null;
};

const DIGITS = 1_000;
const rounded = (value: number | null): number | null =>
  value === null ? null : Math.round(value * DIGITS) / DIGITS;

export function summary(values: readonly number[]): Summary {
  const sum = values.reduce((total, value) => total + value, 0);
  return {
    n: values.length,
    mean: rounded(values.length === 0 ? null : sum / values.length),
    p50: rounded(quantile(values, 0.5)),
    p95: rounded(quantile(values, 0.95)),
    p99: rounded(quantile(values, 0.99)),
    max: rounded(quantile(values, 1)),
  };
}

/** How far estimates were off: `errors` are estimate minus truth in seconds. */
export type ErrorSummary = {
  readonly n: number;
  readonly medianAbsS: number | null;
  readonly p90AbsS: number | null;
  readonly within5Min: number | null;
  /** Below zero: arrivals were later than estimated. */
  readonly meanS: number | null;
};

export function errorSummary(errors: readonly number[]): ErrorSummary {
  const abs = errors.map(Math.abs);
  const share = abs.filter((error) => error <= 300).length / (abs.length || 1);
  const mean = errors.reduce((sum, error) => sum + error, 0) / (errors.length || 1);
  return {
    n: errors.length,
    medianAbsS: rounded(quantile(abs, 0.5)),
    p90AbsS: rounded(quantile(abs, 0.9)),
    within5Min: errors.length === 0 ? null : rounded(share),
    meanS: errors.length === 0 ? null : rounded(mean),
  };
}

/**
 * The cumulative curve of a sample at up to `points` places: x the value, y the share not above it.
 */
export function curve(values: readonly number[], points = 200): [number[], number[]] {
  const sorted = values.toSorted((a, b) => a - b);
  const x: number[] = [];
  const y: number[] = [];
  const step = Math.max(1, Math.floor(sorted.length / points));
  for (let i = 0; i < sorted.length; i += step) {
    x.push(sorted[i] as number);
    y.push((i + 1) / sorted.length);
  }
  return [x, y];
}

/**
 * Counts in bins of `width`, the outermost collecting what lies beyond `from` and `to`: x the
 * middle of each bin.
 */
export function histogram(
  values: readonly number[],
  from: number,
  to: number,
  width: number,
): [number[], number[]] {
  const bins = Math.round((to - from) / width);
  const counts = Array.from({ length: bins }, () => 0);
  for (const value of values) {
    const bin = Math.max(0, Math.min(bins - 1, Math.floor((value - from) / width)));
    counts[bin] = (counts[bin] as number) + 1;
  }
  return [counts.map((_, i) => from + (i + 0.5) * width), counts];
}

/** How many of `times` (ms) fall into each `stepMs` since `start`, over `steps` steps. */
export function perStep(
  times: readonly number[],
  start: number,
  stepMs: number,
  steps: number,
): number[] {
  const counts = Array.from({ length: steps }, () => 0);
  for (const time of times) {
    const step = Math.floor((time - start) / stepMs);
    if (step >= 0 && step < steps) counts[step] = (counts[step] as number) + 1;
  }
  return counts;
}
