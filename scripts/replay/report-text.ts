/** The report of a replay for the terminal. */
import type { CheckReport } from "../check/rules.ts";
import { ETA_NAMES } from "./figures.ts";
import type { Figures } from "./figures.ts";
import { pingWallMs } from "./fleet-of-bots.ts";
import type { MinuteOfMemory } from "./memory.ts";
import type { Run } from "./run.ts";
import type { Summary } from "./stats.ts";

const MILLISECONDS = (value: number): string => `${Math.round(value * 1_000)} ms`;
const METRES = (value: number): string => `${Math.round(value)} m`;

function row(name: string, of: Summary, show: (value: number) => string): string {
  const cell = (value: number | null): string => (value === null ? "-" : show(value)).padStart(10);
  const cells = [of.p50, of.p95, of.p99, of.max].map(cell).join("");
  return `  ${name.padEnd(44)}${String(of.n).padStart(7)}${cells}`;
}

/** What every reader must know to read the figures rightly. */
export function notesOf(run: Run): string[] {
  const { options, world, tales } = run;
  const x = options.compression;
  const { p50, p95 } = options.acceptDelayMs;
  const held = tales.counts.get("moves held back by the speed limit") ?? 0;
  const pingS = (pingWallMs(x) * x) / 1_000;
  return [
    ...world.notes,
    `World time runs ${x} times faster than the clock: riding, handling and people's answers (median ${p50 / 1_000} s, 95 % ${p95 / 1_000} s of world time) are divided by ${x}; the server's own timers are not.`,
    `Couriers ping every ${Math.round(pingS)} s of world time; seconds below are the clock's unless they say world.`,
    `A courier who takes a job rides straight lines at its vehicle's speed divided by the detour factor, differing from courier to courier.`,
    ...(held > 0
      ? [
          `${held} moves were held back below the speed at which the server takes pings for teleports.`,
        ]
      : []),
    ...(run.addresses ? [`${options.addressShare * 100} % of stops are given as addresses.`] : []),
  ];
}

export function reportText(run: Run, figures: Figures, check: CheckReport | null): string {
  const f = figures;
  const lines = [
    "",
    `Replay of ${run.world.name}: ${f.wallS.toFixed(0)} s, ${(f.worldS / 60).toFixed(0)} min of world time, seed ${run.options.seed}`,
    "",
    `  created ${f.created} (${f.createsPerS.toFixed(1)}/s)   matched ${f.matched}   delivered ${f.delivered}   canceled ${f.canceled}   returned ${f.returned}   unfilled ${f.unfilled}`,
    ...listed("  unfilled because", f.unfilledBecause),
    ...listed("  still open when it ended", f.cutOff),
    ...shortage(f),
    `  offers per assignment ${f.offersPerAssignment?.toFixed(2) ?? "-"}   pings sent ${f.pings}   frames out ${f.framesOut ?? "-"}`,
    "",
    `  ${"".padEnd(44)}      n       p50       p95       p99       max`,
    row("create sent -> answered", f.createAnswerS, MILLISECONDS),
    row("create answered -> first offer on a phone", f.firstOfferS, MILLISECONDS),
    row("create answered -> assigned", f.assignmentS, MILLISECONDS),
    row("accept sent -> answered", f.acceptAnswerS, MILLISECONDS),
    row("of that the system's own share", f.ownShareS, MILLISECONDS),
    row("distance to the pickup", f.pickupDistanceM, METRES),
    "",
    "  estimates, world time                            n    median off   90 % off   within 5 min     mean",
    ...ETA_NAMES.map((name) => etaRow(name, f)),
    "",
    ...memoryLines(f),
    ...listed("  refused or failed", f.errors),
    ...listed("  repeated by the SDK until it worked", f.healed),
    ...listed("  what else happened", f.counts),
    "",
    ...notesOf(run).map((note) => `  - ${note}`),
    "",
    ...(check === null ? ["  not checked against the database"] : checkLines(check)),
    `  seen by the bots: D4 ${repeatsOf(f)} repeats, D6 ${f.counts["pried in vain"] ?? 0} pries and all who followed: ${f.violationsSeenByBots.length} violations`,
    ...f.violationsSeenByBots.map(
      ({ rule, delivery, text }) => `  VIOLATION of ${rule} seen by a bot: ${delivery} ${text}`,
    ),
  ];
  return lines.join("\n");
}

/**
 * Where couriers were short, the times say more of the fleet than of the system: that must be read
 * with them.
 */
function shortage(f: Figures): string[] {
  if (f.created === 0 || f.matched >= f.created * 0.9) return [];
  const text =
    "More was asked for than this fleet could carry: the times to an offer, and the system's";
  return [`  ${text}`, "  own share, include waiting in the backlog until a courier was free."];
}

function etaRow(name: (typeof ETA_NAMES)[number], f: Figures): string {
  const { n, medianAbsS, p90AbsS, within5Min, meanS } = f.eta[name];
  const s = (value: number | null): string => (value === null ? "-" : `${Math.round(value)} s`);
  const share = within5Min === null ? "-" : `${Math.round(within5Min * 100)} %`;
  const cells = [s(medianAbsS).padStart(14), s(p90AbsS).padStart(11), share.padStart(15)];
  return `  ${name.padEnd(40)}${String(n).padStart(11)}${cells.join("")}${s(meanS).padStart(9)}`;
}

const MINUTES_SHOWN = 12;

/** A column for each minute, thinned out when there are many; the last one is always shown. */
function memoryLines({ memory }: Figures): string[] {
  const every = Math.ceil(memory.length / MINUTES_SHOWN);
  const shown = memory.filter((_, i) => (memory.length - 1 - i) % every === 0);
  const row = (name: string, of: (minute: MinuteOfMemory) => number | null): string =>
    `  ${name.padEnd(28)}${shown.map((one) => String(of(one) ?? "-").padStart(7)).join("")}`;
  if (shown.length === 0) return [];
  return [
    row("minute", ({ minute }) => minute),
    row("open deliveries", ({ open }) => open),
    row("node, MiB resident", ({ node }) => node),
    row("      of it heap in use", ({ nodeHeap }) => nodeHeap),
    row("gateway, MiB resident", ({ gateway }) => gateway),
    row("      of it heap in use", ({ gatewayHeap }) => gatewayHeap),
    "",
  ];
}

const repeatsOf = ({ counts }: Figures): number =>
  (counts["repeated accepts"] ?? 0) + (counts["repeated creates"] ?? 0);

function listed(title: string, values: Readonly<Record<string, number>>): string[] {
  const entries = Object.entries(values).toSorted(([, a], [, b]) => b - a);
  if (entries.length === 0) return [];
  return [`${title}: ${entries.map(([name, count]) => `${name} ${count}`).join(", ")}`];
}

export function checkLines(check: CheckReport): string[] {
  const counts = `${check.deliveries} deliveries, ${check.events} events, ${check.couriers} couriers`;
  const notes = check.notes.map((note) => `  - ${note}`);
  if (check.violations.length === 0) {
    return [`  checked D1, D2, D3 and D5 on ${counts}: no violation`, ...notes];
  }
  const shown = check.violations.slice(0, 50).map(({ rule, delivery, text }) => {
    return `  VIOLATION of ${rule}: ${delivery ?? ""} ${text}`;
  });
  return [
    `  checked D1, D2, D3 and D5 on ${counts}: ${check.violations.length} violations`,
    ...shown,
    ...notes,
  ];
}
