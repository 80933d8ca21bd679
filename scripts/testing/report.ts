// Adds up what a test run found: vitest's JSON report and the other steps make one pair of numbers.
// Nothing may fail unseen: a file that does not load and a run without tests count as failures.

export interface Counts {
  readonly passed: number;
  readonly failed: number;
  readonly skipped: number;
}

/** The part of vitest's JSON report that is read. */
export interface VitestReport {
  readonly numPassedTests: number;
  readonly numFailedTests: number;
  readonly numPendingTests: number;
  readonly numTodoTests?: number;
  readonly testResults: readonly {
    readonly status: string;
    readonly assertionResults: readonly { readonly status: string }[];
  }[];
}

/**
 * The counts of a vitest run. `report` is null when it wrote none. A file that failed with no test
 * of its own failing is one failure, and so is an exit code that no failed test explains.
 */
export function countVitest(report: VitestReport | null, exitCode: number): Counts {
  if (report === null) return { passed: 0, failed: 1, skipped: 0 };
  const brokenFiles = report.testResults.filter(
    (file) => file.status === "failed" && !file.assertionResults.some(isFailed),
  ).length;
  const found = report.numFailedTests + brokenFiles;
  const ranNothing = report.numPassedTests === 0;
  const unexplained = found === 0 && (exitCode !== 0 || ranNothing);
  return {
    passed: report.numPassedTests,
    failed: found + (unexplained ? 1 : 0),
    skipped: report.numPendingTests + (report.numTodoTests ?? 0),
  };
}

const isFailed = (test: { readonly status: string }): boolean => test.status === "failed";

export interface Step {
  readonly name: string;
  readonly seconds: number;
  readonly counts: Counts;
}

export function total(steps: readonly Step[]): Counts {
  const sum = (pick: (counts: Counts) => number): number =>
    steps.reduce((all, step) => all + pick(step.counts), 0);
  return {
    passed: sum((counts) => counts.passed),
    failed: sum((counts) => counts.failed),
    skipped: sum((counts) => counts.skipped),
  };
}

/** The table of the steps; the last line is `N passed, N failed`, which programs read. */
export function summary(steps: readonly Step[]): string {
  const width = Math.max(...steps.map((step) => step.name.length));
  const rows = steps.map(({ name, seconds, counts }) => {
    const result = counts.failed === 0 ? "ok    " : "FAILED";
    const time = seconds.toFixed(1).padStart(6);
    return `  ${name.padEnd(width)}  ${result}  ${time} s  ${detail(counts)}`.trimEnd();
  });
  const { passed, failed } = total(steps);
  return [...rows, "", `${passed} passed, ${failed} failed`].join("\n");
}

function detail({ passed, failed, skipped }: Counts): string {
  if (passed + failed + skipped === 1) return "";
  const skips = skipped > 0 ? `, ${skipped} skipped` : "";
  return `${passed} passed, ${failed} failed${skips}`;
}
