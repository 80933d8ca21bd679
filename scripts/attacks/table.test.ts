// What the table of attacks makes of test results, and the search of the logs.

import { expect, test } from "vitest";
import type { AttackRecord } from "../../gateway/testing/attacked-process.ts";
import { ATTACKS, LOGS_ATTACK } from "./list.ts";
import type { Attack } from "./list.ts";
import { delayOf, leaksOf } from "./records.ts";
import { judge, summaryOf, tableOf, withLogs } from "./table.ts";

const attack: Attack = {
  number: 1,
  what: "x",
  expected: "404",
  how: "live",
  tests: [
    ["a.ts", "one"],
    ["b.ts", "two"],
  ],
};
const passed = { file: "a.ts", name: "group one", status: "passed" };
const other = { file: "b.ts", name: "two", status: "passed" };
const records: readonly AttackRecord[] = [
  { type: "process", role: "gateway" },
  { type: "process", role: "node" },
  {
    type: "lag",
    role: "gateway",
    test: "one",
    counts: [
      [0, 98],
      [70, 1],
    ],
  },
  { type: "lag", role: "gateway", test: "other", counts: [[900, 1]] },
  { type: "seen", test: "group > one", text: "seven of | them" },
];
const outcomeOf = (results: Parameters<typeof judge>[1]): string =>
  judge(attack, results, records).outcome;

test("an attack is blocked only when each of its tests is there and passed", () => {
  expect(outcomeOf([passed, other])).toBe("blocked");
  expect(outcomeOf([passed, { ...other, status: "failed" }])).toBe("succeeded");
  expect(outcomeOf([passed, { ...other, status: "skipped" }])).toBe("not tried");
  expect(outcomeOf([passed])).toBe("not tried");
  expect(outcomeOf([])).toBe("not tried");
});

test("the table has forty rows, each attack once and in order, and says what was seen and the delay", () => {
  expect(ATTACKS.map(({ number }) => number)).toEqual(Array.from({ length: 40 }, (_, i) => i + 1));
  expect(ATTACKS[LOGS_ATTACK - 1]?.what).toContain("logs");
  const text = tableOf([judge(attack, [passed, other], records)]);
  expect(text.split("\n")).toHaveLength(3);
  expect(text).toMatch(/\| 1 +\| x +\| 404 .*\| blocked \| 0 \/ 7 \/ 7 +\| - .*seven of \\\| them/);
});

test("under the table stands who was attacked, who ended of it, and the delays of the whole run", () => {
  const verdict = judge(attack, [passed, other], records);
  const text = summaryOf([verdict], [...records, { type: "exit", role: "node", how: "1" }]);
  expect(text).toContain("1 attacks: 1 blocked, 0 successful, 0 not tried.");
  expect(text).toContain("2 processes were attacked; 1 ended of it.");
  expect(text).toContain("of the gateways under attack, p50 / p99 / max: 0 / 7 / 90 ms");
  expect(delayOf(records, "node", () => true)).toBeNull();
});

test("what has no place in a log is found, and counts", () => {
  const good = '{"level":"warn","route":"createDelivery","error":"Bearer [cut]","courier":"cur_1"}';
  expect(leaksOf(good, "a", 1)).toEqual([]);
  for (const bad of [
    ...["call +1-555-0101", "Bearer abcdefghij", "/t/AAAAAAAAAAAAAAAAAAAAAA", "123 Market St"],
    ...["eyJhbGciOiJI.eyJzdWIi.x", "Alice is late", "a signing key for tests", "whsec_x"],
  ]) {
    expect(leaksOf(bad, "a", 1), bad).toHaveLength(1);
  }
  const verdict = judge(attack, [passed, other], records);
  const leaks = leaksOf("Alice", "a", 1);
  expect(withLogs(verdict, { files: 1, lines: 9, leaks: [] }).outcome).toBe("blocked");
  expect(withLogs(verdict, { files: 1, lines: 9, leaks }).outcome).toBe("succeeded");
  expect(withLogs(verdict, { files: 0, lines: 0, leaks: [] }).outcome).toBe("not tried");
});
