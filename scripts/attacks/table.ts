// From the results of tests to the table of attacks. Pure: an attack is blocked when each of its
// tests is there and passed.

import type { AttackRecord } from "../../gateway/testing/attacked-process.ts";
import type { Attack } from "./list.ts";
import { delayOf } from "./records.ts";
import type { Delay, LogSearch } from "./records.ts";

export type TestResult = { readonly file: string; readonly name: string; readonly status: string };
export type Outcome = "blocked" | "succeeded" | "not tried";
export type Verdict = {
  readonly attack: Attack;
  readonly outcome: Outcome;
  readonly why: string;
  /** Of the event loop of the attacked process; null where it was the test's own process. */
  readonly gateway: Delay | null;
  readonly node: Delay | null;
};

export function judge(
  attack: Attack,
  results: readonly TestResult[],
  records: readonly AttackRecord[],
): Verdict {
  const tried: TestResult[] = [];
  const missing: string[] = [];
  for (const [file, name] of attack.tests) {
    const found = results.filter((result) => result.file === file && result.name.includes(name));
    if (found.length === 0) missing.push(`${file}: ${name}`);
    tried.push(...found);
  }
  const isOfIt = (test: string): boolean => tried.some(({ name }) => name.endsWith(test));
  const gateway = delayOf(records, "gateway", isOfIt);
  const verdict = { attack, gateway, node: delayOf(records, "node", isOfIt) };
  const failed = tried.filter(({ status }) => status === "failed");
  if (failed.length > 0) return { ...verdict, outcome: "succeeded", why: failed[0]?.name ?? "" };
  const skipped = tried.filter(({ status }) => status !== "passed").map(({ name }) => name);
  const left = [...missing, ...skipped];
  if (left.length > 0) return { ...verdict, outcome: "not tried", why: left[0] ?? "" };
  const told = records.flatMap((one) =>
    one.type === "seen" && tried.some(({ name }) => testOf(one.test) === testOf(name))
      ? [one.text]
      : [],
  );
  const why = [...told, ...(attack.note === undefined ? [] : [attack.note])].join("; ");
  return { ...verdict, outcome: "blocked", why };
}

/** A test's name as both sides know it: the one joins groups by ` > `, the other by a blank. */
const testOf = (name: string): string => name.replaceAll(" > ", " ");

/** What was in the logs counts for the attack that asks for it, whatever its tests say. */
export function withLogs(verdict: Verdict, { files, lines, leaks }: LogSearch): Verdict {
  const what = `${lines} lines of ${files} logs searched, ${leaks.length} with what has no place in them`;
  const why = [what, verdict.why].filter((text) => text !== "").join("; ");
  if (verdict.outcome !== "blocked") return verdict;
  if (files === 0) return { ...verdict, outcome: "not tried", why: "no log was kept" };
  return { ...verdict, outcome: leaks.length === 0 ? "blocked" : "succeeded", why };
}

const delayText = (delay: Delay | null): string =>
  delay === null ? "-" : [delay.p50, delay.p99, delay.max].map((ms) => ms.toFixed(0)).join(" / ");

/** A table for a terminal, which is also one in Markdown. */
export function tableOf(verdicts: readonly Verdict[]): string {
  const rows = verdicts.map(({ attack, outcome, why, gateway, node }) => [
    String(attack.number),
    attack.what,
    attack.expected,
    `${attack.how}, ${attack.tests.length} test${attack.tests.length === 1 ? "" : "s"}`,
    outcome,
    delayText(gateway),
    delayText(node),
    why.replaceAll("|", "\\|"),
  ]);
  const head = ["#", "attack", "expected", "tried", "outcome", "gateway", "node", "what was seen"];
  const all = [head, ...rows];
  const widths = head.map((_, i) => Math.max(...all.map((one) => (one[i] ?? "").length)));
  const line = (cells: readonly string[]): string =>
    `| ${cells.map((cell, i) => cell.padEnd(widths[i] ?? 0)).join(" | ")} |`;
  const rule = `| ${widths.map((width) => "-".repeat(width)).join(" | ")} |`;
  return [line(head), rule, ...rows.map(line)].join("\n");
}

/**
 * Under the table: who was attacked, who ended of it, how late the loops were over the whole run.
 */
export function summaryOf(verdicts: readonly Verdict[], records: readonly AttackRecord[]): string {
  const processes = records.filter(({ type }) => type === "process").length;
  const exits = records.filter(({ type }) => type === "exit").length;
  const count = (outcome: Outcome): number =>
    verdicts.filter((verdict) => verdict.outcome === outcome).length;
  const loops = (["gateway", "node"] as const).map((role) => {
    const delay = delayOf(records, role, () => true);
    return `- Event loop delay of the ${role}s under attack, p50 / p99 / max: ${delayText(delay)} ms.`;
  });
  return [
    `- ${verdicts.length} attacks: ${count("blocked")} blocked, ${count("succeeded")} successful, ${count("not tried")} not tried.`,
    `- ${processes} processes were attacked; ${exits} ended of it.`,
    ...loops,
  ].join("\n");
}
