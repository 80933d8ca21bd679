// What the table of attacks makes of test results.

import { expect, test } from "vitest";
import { ATTACKS } from "./list.ts";
import type { Attack } from "./list.ts";
import { judge, tableOf } from "./table.ts";

const attack: Attack = {
  number: 1,
  what: "x",
  how: "live",
  tests: [
    ["a.ts", "one"],
    ["b.ts", "two"],
  ],
};
const passed = { file: "a.ts", name: "group one", status: "passed" };
const other = { file: "b.ts", name: "two", status: "passed" };
const outcomeOf = (results: Parameters<typeof judge>[1], exists = true): string =>
  judge(attack, results, [{ test: "one", lagMs: 7 }], () => exists).outcome;

test("an attack is blocked only when each of its tests is there and passed", () => {
  expect(outcomeOf([passed, other])).toBe("blocked");
  expect(outcomeOf([passed, { ...other, status: "failed" }])).toBe("succeeded");
  expect(outcomeOf([passed, { ...other, status: "skipped" }])).toBe("not tried");
  expect(outcomeOf([passed])).toBe("not tried");
  expect(outcomeOf([])).toBe("not tried");
  expect(outcomeOf([], false)).toBe("not applicable");
});

test("the table has forty rows, each attack once and in order, and says the delay", () => {
  expect(ATTACKS.map(({ number }) => number)).toEqual(Array.from({ length: 40 }, (_, i) => i + 1));
  const text = tableOf([judge(attack, [passed, other], [{ test: "one", lagMs: 7 }], () => true)]);
  expect(text.split("\n")).toHaveLength(3);
  expect(text).toMatch(/\| 1 +\| x +\| live, 2 tests \| blocked \| 7 /);
});
