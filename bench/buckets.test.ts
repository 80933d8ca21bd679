import { expect, test } from "vitest";
import { bucketQuantile, bucketsOf, subtractBuckets } from "./buckets.ts";

const scraped = (a: number, b: number, all: number): Map<string, number> =>
  new Map([
    ['delay_seconds_bucket{le="0.01",role="gateway",ordinal="3"}', a],
    ['delay_seconds_bucket{le="0.02",role="gateway",ordinal="3"}', b],
    ['delay_seconds_bucket{le="+Inf",role="gateway",ordinal="3"}', all],
    ['delay_seconds_bucket{le="0.01",role="gateway",ordinal="1"}', 999],
  ]);

test("quantiles of what lies between two scrapes are linear within a bucket", () => {
  const before = bucketsOf(scraped(100, 100, 100), "delay_seconds", { ordinal: "3" });
  const after = bucketsOf(scraped(150, 200, 200), "delay_seconds", { ordinal: "3" });
  const seen = subtractBuckets(after, before);
  expect(seen.count).toBe(100);
  expect(bucketQuantile(seen, 0.25)).toBeCloseTo(0.005);
  expect(bucketQuantile(seen, 0.5)).toBeCloseTo(0.01);
  expect(bucketQuantile(seen, 0.75)).toBeCloseTo(0.015);
});

test("beyond the last bound a quantile is infinite, of nothing there is none", () => {
  const seen = bucketsOf(scraped(0, 0, 10), "delay_seconds", { ordinal: "3" });
  expect(bucketQuantile(seen, 0.5)).toBe(Number.POSITIVE_INFINITY);
  expect(bucketQuantile(bucketsOf(new Map(), "delay_seconds", {}), 0.5)).toBeNull();
});
