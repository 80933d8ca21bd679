// The end of a run: what clients were told is held against Postgres and the event stream. D1 to D6
// by ../check/, the order of each delivery's requests by the model, what the clients saw by
// themselves, and what did not come back after a fault. Each violation is put down to the fault
// during which its delivery was asked about last.

import type { AcknowledgedFacts, CheckReport, EventFacts, Facts } from "../check/rules.ts";
import { setTimeout as sleep } from "node:timers/promises";
import { checkFacts } from "../check/rules.ts";
import { loadFacts } from "../check/load.ts";
import { repeatCreates } from "../replay/repeats.ts";
import type { System } from "../replay/system.ts";
import { unorderedDeliveries } from "./delivery-model.ts";
import { checkClaims } from "./claims-read.ts";
import type { Compared } from "./claims-read.ts";
import type { EventOrder } from "./event-watch.ts";
import { nowMs } from "./history.ts";
import type { Request } from "./history.ts";
import { LOSES_EVENTS } from "./plan.ts";
import type { Ground, Round } from "./round.ts";

const TOLD_DEADLINE_MS = 30_000;
const TOLD_LOOK_MS = 100;

export interface Finding {
  readonly rule: string;
  readonly delivery: string | null;
  readonly text: string;
  /** The number of the round in which it happened; null: not known. */
  readonly round: number | null;
}

export interface Judgement {
  readonly findings: readonly Finding[];
  readonly notes: readonly string[];
  readonly check: Omit<CheckReport, "violations">;
  readonly requests: number;
  readonly unknown: number;
  /** Deliveries whose requests were put into order. */
  readonly judged: number;
  /** All answers of the run held against the rows at its end. */
  readonly compared: Compared;
}

export async function judgeRun(
  system: System,
  { load: { tales }, history, events: { order } }: Pick<Ground, "load" | "history" | "events">,
  rounds: readonly Round[],
): Promise<Judgement> {
  const repeats = await repeatCreates(system, tales);
  const { natsUrl, natsCredentials, natsPrefix, postgresUrl } = system;
  const sources = { natsUrl, natsCredentials, natsPrefix, postgresUrl: postgresUrl ?? "" };
  const loaded = await loadFacts(sources, acknowledgedIn(history.requests));
  const facts = { ...loaded, events: withTold(loaded.events, order.facts) };
  const check = checkFacts(facts);
  const wasReplaced = order.wasReplaced.bind(order);
  const claimSources = { postgresUrl: postgresUrl ?? "", wasReplaced };
  const compared = await checkClaims(claimSources, history.requests, 0);
  const { judged, bad } = unorderedDeliveries(history.requests, facts);
  const roundOf = roundFinder(history.requests, rounds);
  const all: Finding[] = [
    ...check.violations.map((one) => ({ ...one, round: roundOf(one.delivery) })),
    ...bad.map(({ delivery, verdict }) => ({
      rule: "order",
      delivery,
      text:
        verdict === "not"
          ? "its requests have no order in which every answer is right"
          : "its requests are too many to be put into order",
      round: roundOf(delivery),
    })),
    ...(await untold(order, facts)).map((delivery) => ({
      rule: "D5",
      delivery,
      text: "a follower of all events was not told all of its",
      round: roundOf(delivery),
    })),
    ...tales.violations.map((seen) => ({ ...seen, round: roundOf(seen.delivery) })),
    ...compared.mismatches.map(({ kind, delivery, text }) => ({
      ...{ rule: kind, delivery, text: `${text}, at the end` },
      round: roundOf(delivery),
    })),
  ];
  const isEventLost = ({ rule, round }: Finding): boolean =>
    (rule === "D5" || rule === "order") &&
    round !== null &&
    LOSES_EVENTS.includes((rounds[round] as Round).fault);
  const findings = all.filter((finding) => !isEventLost(finding));
  const lostEvents = all.length - findings.length;
  const { deliveries, couriers, events } = check;
  return {
    findings,
    notes: [
      `${repeats.repeated} creates were sent again: ${repeats.summary}`,
      ...(lostEvents === 0
        ? []
        : [`${lostEvents} findings about events that went down with the servers' store`]),
      ...check.notes,
    ],
    check: { deliveries, couriers, events, notes: check.notes },
    requests: history.requests.length,
    unknown: history.requests.filter(({ outcome }) => outcome.is === "unknown").length,
    judged,
    compared,
  };
}

/** Events that the stream has no more, and that somebody was told of before: they come first. */
function withTold(
  kept: ReadonlyMap<string, readonly EventFacts[]>,
  told: ReadonlyMap<string, readonly EventFacts[]>,
): Map<string, readonly EventFacts[]> {
  const all = new Map(kept);
  for (const [delivery, heard] of told) {
    const list = kept.get(delivery) ?? [];
    const first = list[0]?.number ?? Number.POSITIVE_INFINITY;
    const before = heard.filter(({ number }) => number < first);
    if (before.length > 0) all.set(delivery, [...before, ...list]);
  }
  return all;
}

/**
 * Deliveries of which the follower has not heard all that is in the stream, after a while to catch
 * up.
 */
async function untold(order: EventOrder, { events }: Facts): Promise<readonly string[]> {
  const numbers = new Map(
    [...events].map(([delivery, all]) => [delivery, all.at(-1)?.number ?? 0]),
  );
  for (const until = nowMs() + TOLD_DEADLINE_MS; ;) {
    const missing = order.missing(numbers);
    if (missing.length === 0 || nowMs() > until) return missing;
    // Polling: the end of what is told is a silence.
    await sleep(TOLD_LOOK_MS);
  }
}

/** Everything that the server said yes to, by the history. */
export function acknowledgedIn(requests: readonly Request[]): AcknowledgedFacts {
  const yes = (verb: Request["verb"]): (Request & { delivery: string })[] =>
    requests.flatMap((request) => {
      const { delivery, outcome } = request;
      const isYes = request.verb === verb && outcome.is === "ok" && delivery !== null;
      return isYes ? [{ ...request, delivery }] : [];
    });
  return {
    creates: yes("create").map(({ delivery }) => delivery),
    accepts: yes("accept").map(({ delivery, who }) => ({ delivery, courier: who })),
    statuses: yes("status").map(({ delivery, status }) => ({ delivery, status: status ?? "" })),
    cancels: yes("cancel").map(({ delivery }) => delivery),
  };
}

/** The round during which a delivery was last asked about, or the last one before that. */
function roundFinder(
  requests: readonly Request[],
  rounds: readonly Round[],
): (delivery: string | null) => number | null {
  const lastAt = new Map<string, number>();
  for (const { delivery, sentAt } of requests) if (delivery !== null) lastAt.set(delivery, sentAt);
  return (delivery) => {
    const at = delivery === null ? undefined : lastAt.get(delivery);
    if (at === undefined) return null;
    const index = rounds.findLastIndex(({ from }) => from <= at);
    return index < 0 ? null : index;
  };
}
