// One fault from order to order: what is about to be hit is chosen, the fault done under load,
// probes sent to every shard that it touches until each is served again, everything healed, and the
// figures written down. The next fault begins on a cluster that is whole.

import { setTimeout as sleep } from "node:timers/promises";
import postgres from "postgres";
import { DISPATCH_DEFAULTS } from "../../proto/limits.ts";
import { checkClaims } from "./claims-read.ts";
import type { Compared } from "./claims-read.ts";
import type { Mismatch } from "./claims.ts";
import { deedOf } from "./deeds.ts";
import type { Deed } from "./deeds.ts";
import { nowMs } from "./history.ts";
import type { History, Request } from "./history.ts";
import type { EventWatch } from "./event-watch.ts";
import type { Load } from "./load.ts";
import { MAY_END } from "./plan.ts";
import type { FaultName } from "./plan.ts";
import type { Probe, Prober } from "./probes.ts";
import type { Pullers } from "./pullers.ts";
import type { Rides } from "./rides.ts";
import type { Stage } from "./stage.ts";
import type { Twins } from "./twins.ts";

/** Where one fault happens and what looks on. */
export interface Ground {
  readonly stage: Stage;
  readonly load: Load;
  readonly prober: Prober;
  readonly pullers: Pullers;
  readonly rides: Rides;
  readonly twins: Twins;
  readonly events: EventWatch;
  readonly history: History;
  readonly say: (line: string) => void;
}

/** Requests of one kind that ended meanwhile. */
export interface Answers {
  readonly answered: number;
  /** Given up by the client without an answer. */
  readonly unanswered: number;
  /** Until the final answer, attempts that were refused included. */
  readonly slowestMs: number;
}

export interface Round {
  readonly fault: FaultName;
  readonly victim: string;
  /** Steady clock of the suite, ms: from the fault to the whole cluster. */
  readonly from: number;
  readonly to: number;
  /** How many shards were touched and probed. */
  readonly shards: number;
  /** Until the last of them was served again, ms; null when one was not within the deadline. */
  readonly servedMs: number | null;
  /**
   * Until a create for each of them, sent after the fault, was acknowledged, ms; null when one was
   * not.
   */
  readonly answeredMs: number | null;
  /** From the create to the offer of the slowest probe meanwhile, ms. */
  readonly slowestProbeMs: number;
  /** Attempts that were refused or failed, of the replay's clients and the probes. */
  readonly refused: number;
  /**
   * Requests that took longer than `SLOW_MS`, and how long each took until its final answer, ms.
   */
  readonly slow: number;
  readonly requests: number;
  readonly requestMs: readonly number[];
  readonly creates: Answers;
  readonly accepts: Answers;
  /** Creates of probes that were acknowledged and offered to nobody. */
  readonly offersLost: number;
  /** The oldest event that waited to be published, ms. */
  readonly eventsLateMs: number;
  /** From its commit until an outside follower had it, of the latest event, ms. */
  readonly eventsToldMs: number;
  /** The longest time without a new position for a follower, ms; a second is the usual. */
  readonly positionsGapMs: number;
  /**
   * Answers that were held against their rows after the fault, and what was not as it was answered.
   */
  readonly claims: number;
  readonly mismatches: readonly Mismatch[];
  /** What did not come back, or ended without being asked to. */
  readonly complaints: readonly string[];
  /** What cost time and broke no promise: offers that were lost, and why. */
  readonly notes: readonly string[];
}

const SLOW_MS = 250;
const SERVED_DEADLINE_MS = 90_000;
/** Who waits in a backlog that nobody wakes is looked at again after WAIT_LOOK_MS. */
const LOST_DEADLINE_MS = DISPATCH_DEFAULTS.WAIT_LOOK_MS + 15_000;
const WHOLE_DEADLINE_MS = 30_000;
const OUTBOX_POLL_MS = 200;
const TOLD_LOOK_MS = 20;
const CHOOSE_DEADLINE_MS = 30_000;
const EXPLAINED_MAX = 2;
const MISMATCHES_SHOWN_MAX = 5;

export async function runRound(ground: Ground, fault: FaultName, turn: number): Promise<Round> {
  const { stage, load, prober, pullers, rides, twins, events, history } = ground;
  const deed = await chosen(stage, fault, turn);
  const shards = deed.shards ?? Array.from({ length: stage.shards }, (_, i) => i);
  const troubles = (): number => load.troubles() + pullers.troubles() + twins.troubles();
  const before = { troubles: troubles(), requests: history.requests.length };
  const outbox = watchOutbox(stage.system.postgresUrl ?? "");
  const from = nowMs();
  let isOver = false;
  const doing = deed.run().finally(() => (isOver = true));
  const probing = prober.watch(shards, {
    since: from,
    deadlineMs: SERVED_DEADLINE_MS,
    isOver: () => isOver,
  });
  const [done, probes] = await Promise.all([settled(doing), probing]);
  const complaints = [...done];
  complaints.push(...(await putRight(ground, deed.victim)));
  const compared = await comparedSince(ground, before.requests);
  complaints.push(...mismatchLines(compared));
  const endings = stage.takeEndings().map((how) => `ended by itself, started again: ${how}`);
  if (!MAY_END.includes(fault)) complaints.push(...endings);
  const lost = await prober.lost(probes, LOST_DEADLINE_MS);
  const notes = await explained(ground, lost, "never on a phone");
  if (MAY_END.includes(fault)) notes.push(...endings);
  const to = nowMs();
  const eventsLateMs = await outbox.stop();
  const meanwhile = history.requests.slice(before.requests).filter(({ sentAt }) => sentAt >= from);
  const figures = requestFigures(meanwhile);
  return {
    fault,
    victim: deed.victim,
    from,
    to,
    shards: shards.length,
    servedMs: servedAfter(probes, shards, from),
    answeredMs: lastFirst(probes, shards, from, ({ answeredAt }) => answeredAt),
    slowestProbeMs: Math.max(0, ...probes.map((p) => (p.offeredAt ?? p.sentAt) - p.sentAt)),
    refused: troubles() - before.troubles + figures.failed,
    slow: figures.slow,
    requests: figures.requests,
    requestMs: figures.took.map(Math.round),
    creates: answersTo(meanwhile, "create"),
    accepts: answersTo(meanwhile, "accept"),
    offersLost: lost.length,
    eventsLateMs,
    eventsToldMs: events.order.latestMs(from, to),
    positionsGapMs: rides.gapMs(from, to),
    claims: compared.claims,
    mismatches: compared.mismatches,
    complaints,
    notes,
  };
}

/** All that was answered since, held against the rows. */
function comparedSince({ stage, history, events }: Ground, from: number): Promise<Compared> {
  const wasReplaced = events.order.wasReplaced.bind(events.order);
  const postgresUrl = stage.system.postgresUrl ?? "";
  return checkClaims({ postgresUrl, wasReplaced }, history.requests, from);
}

function mismatchLines({ mismatches }: Compared): string[] {
  const lines = mismatches
    .slice(0, MISMATCHES_SHOWN_MAX)
    .map(({ kind, delivery, text }) => `${kind.toUpperCase()} ${delivery ?? ""}: ${text}`);
  const more = mismatches.length - lines.length;
  return more > 0 ? [...lines, `${more} more are not as they were answered`] : lines;
}

/** On a busy machine who leads and who owns what may have to be asked more than once. */
async function chosen(stage: Stage, fault: FaultName, turn: number): Promise<Deed> {
  for (const until = nowMs() + CHOOSE_DEADLINE_MS; ;) {
    try {
      return await deedOf(stage, fault, turn);
    } catch (error) {
      if (nowMs() > until) throw error;
      await sleep(OUTBOX_POLL_MS);
    }
  }
}

/** A deed that could not be done is a complaint. */
async function settled(doing: Promise<unknown>): Promise<string[]> {
  try {
    await doing;
    return [];
  } catch (error) {
    return [(error as Error).message];
  }
}

/** Starts and heals everything, and probes all shards. Resolves to what is still not right. */
async function putRight(ground: Ground, victim: string): Promise<string[]> {
  const { stage, prober } = ground;
  const complaints: string[] = [];
  try {
    const ended = await stage.restore();
    const unasked = ended.filter((name) => !mayBeDown(name, victim));
    complaints.push(...unasked.map((name) => `ended by itself: ${name}`));
  } catch (error) {
    complaints.push((error as Error).message);
  }
  const missing = await stage.settle();
  complaints.push(...missing.map((what) => `not whole: ${what}`));
  const all = Array.from({ length: stage.shards }, (_, i) => i);
  const since = nowMs();
  const probes = await prober.watch(all, { since, deadlineMs: WHOLE_DEADLINE_MS });
  if (servedAfter(probes, all, since) === null) complaints.push("not all shards serve");
  if (!(await areTold(ground, since))) complaints.push("events are not told");
  const lost = await prober.lost(probes, LOST_DEADLINE_MS);
  complaints.push(...(await explained(ground, lost, "created after the fault, never on a phone")));
  return complaints;
}

/** Whether events of now come to who follows them: an election may last longer than all else. */
async function areTold({ events }: Ground, since: number): Promise<boolean> {
  for (const until = nowMs() + WHOLE_DEADLINE_MS; ;) {
    if (events.order.hasToldSince(since)) return true;
    if (nowMs() > until) return false;
    await sleep(TOLD_LOOK_MS);
  }
}

/** Why probes were not offered, the first few of them; cancels all. */
async function explained(
  { prober }: Ground,
  lost: readonly Probe[],
  what: string,
): Promise<string[]> {
  const reasons = await Promise.all(lost.map(({ delivery }) => prober.why(delivery)));
  const shown = reasons.slice(0, EXPLAINED_MAX).map((reason) => `${what}: ${reason}`);
  const more = lost.length - shown.length;
  return more > 0 ? [...shown, `${what}: ${more} more`] : shown;
}

/** `ended` is "name (how)"; everything may be down after a restart of everything. */
function mayBeDown(ended: string, victim: string): boolean {
  const name = ended.split(" ")[0] ?? "";
  return victim === "everything" || victim.split(/[ ,:]+/).includes(name);
}

/** Until the last shard had an offer for a create sent since; null when one had none. */
export function servedAfter(
  probes: readonly Probe[],
  shards: readonly number[],
  since: number,
): number | null {
  return lastFirst(probes, shards, since, ({ offeredAt }) => offeredAt);
}

/** From `since` until the last of the shards had its first; null when one had none. */
function lastFirst(
  probes: readonly Probe[],
  shards: readonly number[],
  since: number,
  momentOf: (probe: Probe) => number | null,
): number | null {
  const firsts = shards.map((shard) => {
    const mine = probes.filter((probe) => probe.shard === shard);
    return Math.min(...mine.map((probe) => momentOf(probe) ?? Number.POSITIVE_INFINITY));
  });
  const last = Math.max(since, ...firsts);
  return Number.isFinite(last) ? last - since : null;
}

/**
 * What clients asked for with this verb, and whether they were answered: a refusal that is right is
 * an answer.
 */
export function answersTo(requests: readonly Request[], verb: Request["verb"]): Answers {
  const mine = requests.filter((request) => request.verb === verb && request.endedAt !== null);
  const isAnswered = ({ outcome }: Request): boolean => outcome.is !== "unknown";
  return {
    answered: mine.filter(isAnswered).length,
    unanswered: mine.filter((request) => !isAnswered(request)).length,
    slowestMs: Math.max(0, ...mine.map(({ sentAt, endedAt }) => (endedAt ?? 0) - sentAt)),
  };
}

function requestFigures(requests: readonly Request[]): {
  requests: number;
  failed: number;
  slow: number;
  took: readonly number[];
} {
  const meanwhile = requests.filter(({ endedAt }) => endedAt !== null);
  const took = meanwhile.map(({ sentAt, endedAt }) => (endedAt ?? 0) - sentAt);
  return {
    requests: took.length,
    // The replay's own are counted by its tales; the probe's creates are sent once.
    failed: meanwhile.filter(
      ({ who, verb, outcome }) =>
        who === "cus_probe" && verb === "create" && outcome.is === "unknown",
    ).length,
    slow: took.filter((ms) => ms > SLOW_MS).length,
    took,
  };
}

/** Asks now and then how old the oldest unpublished event is. */
function watchOutbox(postgresUrl: string): { stop: () => Promise<number> } {
  const quick = { connect_timeout: 2, backoff: () => OUTBOX_POLL_MS / 1_000 };
  const sql = postgres(postgresUrl, { max: 1, ...quick, onnotice: () => undefined });
  let late = 0;
  let isOver = false;
  const watching = (async () => {
    while (!isOver) {
      try {
        const [row] = await sql<{ ms: number }[]>`
          select coalesce(extract(epoch from clock_timestamp() - min(at)) * 1000, 0)::float8 as ms
          from outbox`;
        late = Math.max(late, row?.ms ?? 0);
      } catch {
        // Postgres itself is the one that is hit.
      }
      await sleep(OUTBOX_POLL_MS);
    }
  })();
  return {
    async stop() {
      isOver = true;
      await watching;
      await sql.end({ timeout: 1 });
      return late;
    },
  };
}
