import { expect, test } from "vitest";
import { longestGap } from "./rides.ts";

test("the longest stretch without a position counts, also one that began before or has not ended", () => {
  const moments = [1_000, 2_000, 5_000, 6_000];
  expect(longestGap(moments, 5_500, 6_100)).toBe(1_000);
  expect(longestGap(moments, 2_500, 6_000)).toBe(3_000);
  expect(longestGap(moments, 6_000, 10_000)).toBe(4_000);
  expect(longestGap([], 0, 700)).toBe(700);
});
