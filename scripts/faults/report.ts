// The figures of a run: a table for people and the same for programs. Pure.

import { aligned } from "../cluster/table.ts";
import { quantile } from "../replay/stats.ts";
import type { Finding, Judgement } from "./judge.ts";
import type { PlanItem } from "./plan.ts";
import type { Round } from "./round.ts";

export interface Row {
  readonly fault: string;
  readonly title: string;
  readonly planned: number;
  readonly done: number;
  /** Until every touched shard was served again, ms; null of nothing. */
  readonly servedP50Ms: number | null;
  readonly servedP99Ms: number | null;
  readonly servedMaxMs: number | null;
  /** Rounds in which a shard was not served within the deadline. */
  readonly neverServed: number;
  readonly requests: number;
  readonly refused: number;
  readonly slow: number;
  /** Of all requests of all rounds. */
  readonly requestP50Ms: number | null;
  readonly requestP99Ms: number | null;
  /**
   * The creates and accepts that took longest until their answer, of all rounds, and those without
   * any.
   */
  readonly slowestCreateMs: number;
  readonly slowestAcceptMs: number;
  readonly unanswered: number;
  readonly offersLost: number;
  readonly eventsLateMaxMs: number;
  readonly eventsToldMaxMs: number;
  readonly positionsGapP50Ms: number | null;
  readonly positionsGapMaxMs: number;
  readonly violations: number;
}

/**
 * One row for each fault of the plan. Findings, complaints and shards that were never served again
 * count as violations; an offer that was lost costs time and breaks no promise while the delivery
 * says that it waits (D3).
 */
export function rowsOf(
  plan: readonly PlanItem[],
  rounds: readonly Round[],
  findings: readonly Finding[],
): Row[] {
  return plan.map(({ fault, title, count }) => {
    const mine = rounds.filter((round) => round.fault === fault);
    const served = mine.flatMap(({ servedMs }) => (servedMs === null ? [] : [servedMs]));
    const sum = (value: (round: Round) => number): number =>
      mine.reduce((total, round) => total + value(round), 0);
    const worst = (value: (round: Round) => number): number => Math.max(0, ...mine.map(value));
    const requestMs = mine.flatMap((round) => round.requestMs);
    const found = findings.filter(
      ({ round }) => round !== null && rounds[round]?.fault === fault,
    ).length;
    const neverServed = mine.length - served.length;
    const offersLost = sum((round) => round.offersLost);
    return {
      fault,
      title,
      planned: count,
      done: mine.length,
      servedP50Ms: quantile(served, 0.5),
      servedP99Ms: quantile(served, 0.99),
      servedMaxMs: quantile(served, 1),
      neverServed,
      requests: sum((round) => round.requests),
      refused: sum((round) => round.refused),
      slow: sum((round) => round.slow),
      requestP50Ms: quantile(requestMs, 0.5),
      requestP99Ms: quantile(requestMs, 0.99),
      slowestCreateMs: worst((round) => round.creates.slowestMs),
      slowestAcceptMs: worst((round) => round.accepts.slowestMs),
      unanswered: sum(({ creates, accepts }) => creates.unanswered + accepts.unanswered),
      offersLost,
      eventsLateMaxMs: worst((round) => round.eventsLateMs),
      eventsToldMaxMs: worst((round) => round.eventsToldMs),
      positionsGapP50Ms: quantile(
        mine.map((round) => round.positionsGapMs),
        0.5,
      ),
      positionsGapMaxMs: worst((round) => round.positionsGapMs),
      violations: found + neverServed + sum((round) => round.complaints.length),
    };
  });
}

const HEAD = [
  [
    "fault",
    "done",
    "served again (s)",
    "",
    "",
    "requests",
    "",
    "",
    "",
    "slowest (s)",
    "",
    "no",
    "offers",
    "events (s)",
    "",
    "position",
    "viola-",
  ],
  [
    "",
    "",
    "p50",
    "p99",
    "max",
    "all",
    "refused",
    ">250 ms",
    "p99 ms",
    "create",
    "accept",
    "answer",
    "lost",
    "waited",
    "told",
    "gap (s)",
    "tions",
  ],
];

export function tableText(rows: readonly Row[]): string {
  const seconds = (ms: number | null): string => (ms === null ? "-" : (ms / 1_000).toFixed(2));
  const body = rows.map((row) => [
    row.title,
    row.done === row.planned ? String(row.done) : `${row.done}/${row.planned}`,
    seconds(row.servedP50Ms),
    seconds(row.servedP99Ms),
    row.neverServed > 0 ? "never" : seconds(row.servedMaxMs),
    String(row.requests),
    String(row.refused),
    String(row.slow),
    row.requestP99Ms?.toFixed(0) ?? "-",
    seconds(row.slowestCreateMs),
    seconds(row.slowestAcceptMs),
    String(row.unanswered),
    String(row.offersLost),
    seconds(row.eventsLateMaxMs),
    seconds(row.eventsToldMaxMs),
    seconds(row.positionsGapMaxMs),
    String(row.violations),
  ]);
  return aligned([...HEAD, ...body]).join("\n");
}

/** How many promises were broken, wherever. */
export function violationsOf(
  rows: readonly Row[],
  findings: readonly Finding[],
): { inRounds: number; elsewhere: number } {
  const inRounds = rows.reduce((sum, row) => sum + row.violations, 0);
  return { inRounds, elsewhere: findings.filter(({ round }) => round === null).length };
}

const FINDINGS_SHOWN_MAX = 40;

/** What was found, for people; nothing when all is well. */
export function findingLines(judgement: Judgement | null, rounds: readonly Round[]): string[] {
  const findings = (judgement?.findings ?? []).map(({ rule, delivery, text, round }) => {
    const during = round === null ? "" : ` (during ${rounds[round]?.fault}, round ${round + 1})`;
    return `  ${rule} ${delivery ?? ""}: ${text}${during}`;
  });
  const complaints = rounds.flatMap(({ fault, victim, complaints: some }, i) =>
    some.map((text) => `  round ${i + 1}, ${fault} (${victim}): ${text}`),
  );
  const all = [...findings, ...complaints];
  const more = all.length - FINDINGS_SHOWN_MAX;
  return more > 0 ? [...all.slice(0, FINDINGS_SHOWN_MAX), `  and ${more} more`] : all;
}
