import { expect, test } from "vitest";
import { changedRanges, isMutable } from "./changed.ts";

test("each run of changed lines is named with its file, and what is only removed is not", () => {
  const diff = [
    "diff --git a/actors/geo.ts b/actors/geo.ts",
    "--- a/actors/geo.ts",
    "+++ b/actors/geo.ts",
    "@@ -3 +3 @@ export",
    "-old",
    "+new",
    "@@ -10,2 +10,4 @@",
    "@@ -20,3 +22,0 @@",
    "--- /dev/null",
    "+++ b/sdk/retry.ts",
    "@@ -0,0 +1,42 @@",
  ].join("\n");
  const ranges = ["actors/geo.ts:3-3", "actors/geo.ts:10-13", "sdk/retry.ts:1-42"];
  expect(changedRanges(diff)).toEqual(ranges);
});

test("code is mutated, its tests and what they share are not", () => {
  expect(["actors/geo.ts", "gateway/rest/pages.ts", "sdk/retry.ts"].every(isMutable)).toBe(true);
  const others = ["actors/geo.test.ts", "gateway/testing/gateway.ts", "sim/world.ts", "a.ts"];
  expect(others.some(isMutable)).toBe(false);
});
