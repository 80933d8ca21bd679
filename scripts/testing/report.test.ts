// The closing count: nothing that went wrong may be missing from it.

import { expect, test } from "vitest";
import { countVitest, summary } from "./report.ts";
import type { VitestReport } from "./report.ts";

const report = (more: Partial<VitestReport>): VitestReport => ({
  numPassedTests: 10,
  numFailedTests: 0,
  numPendingTests: 0,
  testResults: [],
  ...more,
});
const brokenFile = { status: "failed", assertionResults: [] };
const failedFile = { status: "failed", assertionResults: [{ status: "failed" }] };

test.each([
  ["all passed", report({}), 0, 10, 0],
  ["two tests failed", report({ numFailedTests: 2, testResults: [failedFile] }), 1, 10, 2],
  ["a file did not load", report({ testResults: [brokenFile] }), 1, 10, 1],
  ["both", report({ numFailedTests: 1, testResults: [failedFile, brokenFile] }), 1, 10, 2],
  ["an error outside of tests", report({}), 1, 10, 1],
  ["no test ran", report({ numPassedTests: 0 }), 0, 0, 1],
  ["no report was written", null, 0, 0, 1],
])("%s", (_, vitest, exitCode, passed, failed) => {
  expect(countVitest(vitest, exitCode)).toMatchObject({ passed, failed });
});

test("skipped tests and those to be written are counted apart", () => {
  const counts = countVitest(report({ numPendingTests: 2, numTodoTests: 1 }), 0);
  expect(counts).toEqual({ passed: 10, failed: 0, skipped: 3 });
});

test("the last line is the sum over all steps", () => {
  const text = summary([
    { name: "types", seconds: 1.25, counts: { passed: 1, failed: 0, skipped: 0 } },
    { name: "lint", seconds: 2, counts: { passed: 0, failed: 1, skipped: 0 } },
    { name: "tests", seconds: 61, counts: { passed: 40, failed: 2, skipped: 1 } },
  ]);
  const lines = text.split("\n");
  expect(lines.at(-1)).toBe("41 passed, 3 failed");
  expect(lines[0]).toBe("  types  ok         1.3 s");
  expect(lines[2]).toBe("  tests  FAILED    61.0 s  40 passed, 2 failed, 1 skipped");
});
