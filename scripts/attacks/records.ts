// What the attacked processes wrote down during the run (gateway/testing/attacked-process.ts), and
// what of it belongs into the table: who was there, who ended by itself, how late the event loops
// were, and what the logs hold that they must not.

import { existsSync, readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import type {
  AttackRecord,
  AttackedRole,
  LagCounts,
} from "../../gateway/testing/attacked-process.ts";

export type Delay = { readonly p50: number; readonly p99: number; readonly max: number };
/** A line of a log with what has no place in it. */
export type Leak = { readonly what: string; readonly file: string; readonly line: number };
export type LogSearch = { readonly files: number; readonly lines: number; readonly leaks: Leak[] };

/**
 * Phones, names, addresses, notes and credentials as the suites use them, and credentials of any
 * kind.
 */
const NOT_IN_LOGS: readonly (readonly [what: string, pattern: RegExp])[] = [
  ["a phone", /\+1-\d{3}-|\+1\d{10}/],
  ["a token", /eyJ[\w-]{8,}\.eyJ/],
  ["a credential", /\b(Bearer|Basic) +(?!\[cut\])[\w.-]{8}/i],
  ["a tracking link", /\/t\/[\w-]{22}/],
  ["an nkey seed", /\bS[UAO][A-Z2-7]{56}\b/],
  ["a webhook secret", /whsec_/],
  ["the signing key", /a signing key for tests/],
  ["an address", /Market St|Valencia St/],
  ["a name", /\b(Alice|Anderson|Bob Brown)\b/],
  ["a note", /ring twice|drop table|alert\(1\)/],
];

export const readRecords = (folder: string): readonly AttackRecord[] => {
  const file = join(folder, "records.jsonl");
  if (!existsSync(file)) return [];
  const lines = readFileSync(file, "utf8").split("\n");
  return lines.filter((line) => line !== "").map((line) => JSON.parse(line) as AttackRecord);
};

/** Of a role in tests whose name fits; null when it was not measured there. */
export function delayOf(
  records: readonly AttackRecord[],
  role: AttackedRole,
  fits: (test: string) => boolean,
): Delay | null {
  const all = new Map<number, number>();
  for (const one of records) {
    if (one.type !== "lag" || one.role !== role || !fits(one.test)) continue;
    add(all, one.counts);
  }
  if (all.size === 0) return null;
  const sorted = [...all].toSorted(([a], [b]) => a - b);
  const total = sorted.reduce((sum, [, times]) => sum + times, 0);
  return {
    p50: quantile(sorted, total * 0.5),
    p99: quantile(sorted, total * 0.99),
    max: (sorted.at(-1)?.[0] ?? 0) / 10,
  };
}

function add(all: Map<number, number>, counts: LagCounts): void {
  for (const [tenths, times] of counts) all.set(tenths, (all.get(tenths) ?? 0) + times);
}

function quantile(sorted: LagCounts, rank: number): number {
  let before = 0;
  for (const [tenths, times] of sorted) {
    before += times;
    if (before >= rank) return tenths / 10;
  }
  return 0;
}

/** Every log that the run left. */
export function searchLogs(folder: string): LogSearch {
  const logs = join(folder, "logs");
  const files = existsSync(logs) ? readdirSync(logs).toSorted() : [];
  const leaks: Leak[] = [];
  let total = 0;
  for (const file of files) {
    const lines = readFileSync(join(logs, file), "utf8").split("\n");
    total += lines.filter((line) => line !== "").length;
    for (const [i, text] of lines.entries()) leaks.push(...leaksOf(text, file, i + 1));
  }
  return { files: files.length, lines: total, leaks };
}

export const leaksOf = (text: string, file: string, line: number): Leak[] =>
  NOT_IN_LOGS.filter(([, pattern]) => pattern.test(text)).map(([what]) => ({ what, file, line }));
