// From the results of tests to the table of attacks. Pure: an attack is blocked when each of its tests is there and passed.

import type { Attack } from "./list.ts";

export type TestResult = { readonly file: string; readonly name: string; readonly status: string };
export type Lag = { readonly test: string; readonly lagMs: number };
export type Outcome = "blocked" | "succeeded" | "not tried" | "not applicable";
export type Verdict = {
  readonly attack: Attack;
  readonly outcome: Outcome;
  readonly why: string;
  /** The longest delay of the event loop, ms; null where the gateway was in the test's own process. */
  readonly lagMs: number | null;
};

export function judge(
  attack: Attack,
  results: readonly TestResult[],
  lags: readonly Lag[],
  exists: (file: string) => boolean,
): Verdict {
  const tried: TestResult[] = [];
  const missing: string[] = [];
  for (const [file, name] of attack.tests) {
    const found = results.filter((result) => result.file === file && result.name.includes(name));
    if (found.length === 0) missing.push(`${file}: ${name}`);
    tried.push(...found);
  }
  const lag = lags.filter(({ test }) => tried.some(({ name }) => name.endsWith(test)));
  const lagMs = lag.length === 0 ? null : Math.max(...lag.map((one) => one.lagMs));
  const absent = attack.tests.every(([file]) => !exists(file));
  if (absent)
    return { attack, lagMs, outcome: "not applicable", why: "that door is not in this build" };
  const failed = tried.filter(({ status }) => status === "failed");
  if (failed.length > 0) return { attack, lagMs, outcome: "succeeded", why: failed[0]?.name ?? "" };
  const skipped = tried.filter(({ status }) => status !== "passed").map(({ name }) => name);
  const left = [...missing, ...skipped];
  if (left.length > 0) return { attack, lagMs, outcome: "not tried", why: left[0] ?? "" };
  return { attack, lagMs, outcome: "blocked", why: attack.note ?? "" };
}

/** A table for a terminal, which is also one in Markdown. */
export function tableOf(verdicts: readonly Verdict[]): string {
  const rows = verdicts.map(({ attack, outcome, why, lagMs }) => [
    String(attack.number),
    attack.what,
    `${attack.how}, ${attack.tests.length} test${attack.tests.length === 1 ? "" : "s"}`,
    outcome,
    lagMs === null ? "-" : lagMs.toFixed(0),
    why,
  ]);
  const all = [["#", "attack", "tried", "outcome", "loop, ms", "remarks"], ...rows];
  const widths = (all[0] ?? []).map((_, i) => Math.max(...all.map((one) => (one[i] ?? "").length)));
  const line = (cells: readonly string[]): string =>
    `| ${cells.map((cell, i) => cell.padEnd(widths[i] ?? 0)).join(" | ")} |`;
  const rule = `|${widths.map((width) => "-".repeat(width + 2)).join("|")}|`;
  return [line(all[0] ?? []), rule, ...rows.map(line)].join("\n");
}
