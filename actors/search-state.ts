/**
 * What a search for a courier remembers, and the effects that it asks for. How it goes on is in
 * `search.ts`.
 */
import type { CourierId, Millis } from "../proto/ids.ts";
import type { DispatchSettings } from "../proto/limits.ts";
import type { Job, ReleaseReason, ToCell, ToCourier } from "../proto/messages.ts";
import type { StatusReason } from "../proto/status.ts";
import type { OfferRecord } from "../proto/writes.ts";
import type { Candidate, Effect } from "./actor.ts";
import { cellOf } from "./geo.ts";
import { note } from "./ledger.ts";

export type Phase =
  /** Offers are out; the next wave opens at `until`. */
  | { readonly at: "idle"; readonly until: Millis }
  /** The host looks into the cells; it answers with `candidates` before any other message. */
  | { readonly at: "seeking" }
  | Holding
  /**
   * In its cell's backlog. It looks again at `lookAt` even if nobody wakes it: a message may be
   * lost.
   */
  | { readonly at: "parked"; readonly lookAt: Millis };

export type Holding = {
  readonly at: "holding";
  /** Asked for a hold; who has not answered by `until` counts as refused. */
  readonly asking: readonly Asking[];
  readonly granted: readonly Candidate[];
  /** Not asked yet, best first. */
  readonly rest: readonly Candidate[];
};
export type Asking = Candidate & { readonly until: Millis };

export type Search = {
  /** Waves recorded in this search. */
  readonly wave: number;
  /** Which reach the next look has: 0, 1 or 2. */
  readonly reach: number;
  readonly phase: Phase;
  /** Offers on phones, as recorded in the row. */
  readonly live: readonly OfferRecord[];
  /** Everybody who is not asked again. */
  readonly asked: readonly CourierId[];
  /** Could not be held for the wave that is being opened: asked in the next one at the earliest. */
  readonly passed: readonly CourierId[];
  /** Offers made so far, for their ordinals. */
  readonly offersMade: number;
  /** The cell keeps us in its backlog, as far as we know. */
  readonly inBacklog: boolean;
  /** The next look as the row has it, if the last thing recorded was that nobody is free. */
  readonly parkedUntil: Millis | null;
  /** A round of this search stands in the row. */
  readonly recorded: boolean;
};

/** What a search needs from its delivery. `replacing`: the courier to be replaced, and why. */
export type SearchContext = {
  readonly settings: DispatchSettings;
  readonly job: Job;
  /** The row's version, on which each round is conditional. */
  readonly version: number;
  readonly replacing: { readonly courier: CourierId; readonly reason: StatusReason } | null;
  readonly now: Millis;
};

/**
 * The search afterwards (the very same object when nothing changed) and the effects, at most one
 * commit.
 */
export type SearchStep = { readonly search: Search; readonly effects: readonly Effect[] };

/** Index of the widest reach. */
export const REACH_LAST = 2;

/** How far from the pickup a search looks, metres. */
export const radiusOf = (reach: number, s: DispatchSettings): number =>
  [s.WAVE_1_RADIUS_M, s.WAVE_2_RADIUS_M, s.WAVE_3_RADIUS_M][reach] ?? s.WAVE_3_RADIUS_M;

export const wider = (reach: number): number => Math.min(reach + 1, REACH_LAST);

export const has = (
  list: readonly { readonly courier: CourierId }[],
  courier: CourierId,
): boolean => list.some((one) => one.courier === courier);

export const without = <T extends { readonly courier: CourierId }>(
  list: readonly T[],
  courier: CourierId,
): readonly T[] => list.filter((one) => one.courier !== courier);

/** A message to a courier actor. */
export const toCourier = (courier: CourierId, msg: ToCourier): Effect => ({
  do: "send",
  post: { kind: "courier", id: courier, msg },
});

export const release = (courier: CourierId, job: Job, reason: ReleaseReason): Effect =>
  toCourier(courier, { type: "release", delivery: job.id, reason });

type InCell = Pick<SearchContext, "job" | "settings">;

export const pickupCell = ({ job, settings }: InCell): string =>
  cellOf({ lng: job.pickupLng, lat: job.pickupLat }, settings.CELL_RESOLUTION);

/** A message to the backlog of the pickup's cell. */
export const toCell = (ctx: InCell, msg: ToCell): Effect => ({
  do: "send",
  post: { kind: "cell", id: pickupCell(ctx), msg },
});

/** A search that has not looked yet, from what a row knows of it. Nobody asked: a new one. */
export function searchFrom(row: {
  readonly wave: number;
  readonly live: readonly OfferRecord[];
  readonly asked: readonly CourierId[];
  readonly nextLookAt: Millis;
}): Search {
  return {
    wave: row.wave,
    reach: Math.min(row.wave, REACH_LAST),
    phase: { at: "idle", until: row.nextLookAt },
    live: row.live,
    asked: row.asked,
    passed: [],
    offersMade: row.asked.length,
    inBacklog: false,
    parkedUntil: null,
    recorded: row.wave > 0,
  };
}

/** Asks a courier for a hold. */
export const askHold = (courier: CourierId, { job, settings, now }: SearchContext): Effect =>
  toCourier(courier, { type: "hold", delivery: job.id, until: now + settings.HOLD_TTL_MS });

/** Records where the search stands. */
export function commitRound(
  search: Search,
  nextAttemptAt: Millis,
  reason: StatusReason,
  { job, version, replacing }: SearchContext,
): Effect {
  return {
    do: "commit",
    write: {
      kind: "round",
      delivery: job.id,
      version,
      wave: search.wave,
      offers: search.live,
      asked: search.asked,
      nextAttemptAt,
      replacing: replacing !== null,
      reason: replacing?.reason ?? reason,
    },
  };
}

/**
 * Ends a search: D7, everybody held or offered is released, except who has it now; the backlog
 * forgets it.
 */
export function endSearch(
  search: Search,
  reason: ReleaseReason,
  keep: (courier: CourierId) => boolean,
  ctx: InCell,
): readonly Effect[] {
  const { phase, live } = search;
  const held = phase.at === "holding" ? [...phase.asking, ...phase.granted] : [];
  const couriers = [...live, ...held].map((one) => one.courier).filter((c) => !keep(c));
  return [
    ...couriers.map((courier) => release(courier, ctx.job, reason)),
    ...(couriers.length > 0 ? [note(ctx.job.id, "withdrawn", { couriers, reason })] : []),
    ...(search.inBacklog ? [toCell(ctx, { type: "leave", delivery: ctx.job.id })] : []),
  ];
}

/**
 * When a search looks again, or goes out with whom it has, if no offer is answered before: what its
 * row says.
 */
export function goesOnAt({ phase }: Search, now: Millis): Millis {
  switch (phase.at) {
    case "idle":
      return phase.until;
    case "parked":
      return phase.lookAt;
    case "holding":
      return Math.max(now, ...phase.asking.map((one) => one.until));
    case "seeking":
      return now;
  }
}

/** When `onTime` is due. */
export function searchDeadline(search: Search): Millis | null {
  const { phase, live } = search;
  const times = live.map((offer) => offer.until);
  if (phase.at === "idle") times.push(phase.until);
  if (phase.at === "parked") times.push(phase.lookAt);
  if (phase.at === "holding") times.push(...phase.asking.map((one) => one.until));
  return times.length === 0 ? null : Math.min(...times);
}
