/**
 * The search for a courier: waves, holds and offers, as one record that a pending delivery and the
 * search for a replacement share. It owns who is asked, held and offered, and when it looks again;
 * it does not know whether anybody accepted (the delivery does, from the store), and it refuses to
 * ask anybody twice.
 *
 *   seeking --candidates--> holding --granted: round recorded--> idle
 *      |                       |
 *      +------- nobody --------+--> seeking the next reach at once; after the last reach: parked
 *   idle --WAVE_MS, or no offer left--> seeking, one reach wider
 *   parked --woken, lookAt, or its last offer ended--> seeking
 */
import type { CourierId, Millis } from "../proto/ids.ts";
import { ASKED_MAX_COURIERS } from "../proto/limits.ts";
import type { Refusal, ToCell } from "../proto/messages.ts";
import type { OfferRecord } from "../proto/writes.ts";
import type { Candidate, Effect, SearchResult } from "./actor.ts";
import { note } from "./ledger.ts";
import {
  REACH_LAST,
  askHold,
  commitRound,
  goesOnAt,
  has,
  pickupCell,
  radiusOf,
} from "./search-state.ts";
import { release, toCell, toCourier, wider, without } from "./search-state.ts";
import type { Holding, Search, SearchContext, SearchStep } from "./search-state.ts";

/** Ordinal of an offer that is shown once more: it is not measured again. */
const REPEATED = 0;

/** Opens the next wave: looks for couriers within the present reach. */
export const openWave = (search: Search, ctx: SearchContext): SearchStep =>
  seek({ ...search, passed: [] }, ctx);

function seek(search: Search, ctx: SearchContext): SearchStep {
  const { job, settings, replacing } = ctx;
  const present = replacing === null ? [] : [replacing.courier];
  return {
    search: { ...search, phase: { at: "seeking" } },
    effects: [
      {
        do: "search",
        query: {
          delivery: job.id,
          pickup: { lng: job.pickupLng, lat: job.pickupLat },
          radiusM: radiusOf(search.reach, settings),
          max: settings.CANDIDATES_MAX,
          size: job.size,
          vehicle: job.vehicle,
          exclude: [...present, ...search.asked, ...search.passed],
        },
      },
    ],
  };
}

/** Nobody within this reach: the next one at once, no timer; after the last one the backlog. */
function grow(search: Search, ctx: SearchContext): SearchStep {
  if (search.reach === REACH_LAST || search.asked.length >= ASKED_MAX_COURIERS) {
    return park(search, ctx);
  }
  const step = seek({ ...search, reach: wider(search.reach) }, ctx);
  const radiusM = radiusOf(step.search.reach, ctx.settings);
  return { ...step, effects: [note(ctx.job.id, "grown", { radiusM }), ...step.effects] };
}

/** The answer of the cells. */
export function onCandidates(search: Search, result: SearchResult, ctx: SearchContext): SearchStep {
  if (search.phase.at !== "seeking") return { search, effects: [] };
  const { radiusM, candidates, gates } = result;
  const line = note(ctx.job.id, "searched", { radiusM, found: candidates.length, gates });
  const room = ASKED_MAX_COURIERS - search.asked.length;
  if (candidates.length === 0 || room <= 0) {
    const step = grow(search, ctx);
    return { ...step, effects: [line, ...step.effects] };
  }
  const first = candidates.slice(0, Math.min(ctx.settings.WAVE_COURIERS, room));
  const phase: Holding = {
    at: "holding",
    asking: first.map((c) => ({ ...c, until: ctx.now + ctx.settings.HOLD_WAIT_MS })),
    granted: [],
    rest: candidates.slice(first.length),
  };
  const holds = first.map((c) => askHold(c.courier, ctx));
  return { search: { ...search, phase }, effects: [line, ...holds] };
}

/** A courier is held for us. D7: who is held in vain is released at once. */
export function onHeld(search: Search, courier: CourierId, ctx: SearchContext): SearchStep {
  const { phase } = search;
  if (phase.at !== "holding" || !has(phase.asking, courier)) {
    const isOurs =
      has(search.live, courier) || (phase.at === "holding" && has(phase.granted, courier));
    return { search, effects: isOurs ? [] : [release(courier, ctx.job, "unused")] };
  }
  const granted = phase.asking.filter((one) => one.courier === courier);
  return settle(
    search,
    {
      ...phase,
      asking: without(phase.asking, courier),
      granted: [...phase.granted, ...granted.map(plain)],
    },
    ctx,
  );
}

const plain = ({ courier, distanceM, etaS }: Candidate): Candidate => ({
  courier,
  distanceM,
  etaS,
});

/**
 * A courier cannot be held; or it gives an offer back that it can no longer accept, and may be
 * asked again.
 */
export function onRefused(
  search: Search,
  refusal: { readonly courier: CourierId; readonly reason: Refusal },
  ctx: SearchContext,
): SearchStep {
  const { courier, reason } = refusal;
  const line = note(ctx.job.id, "refused", { courier, reason });
  if (has(search.live, courier)) {
    const back = {
      ...search,
      live: without(search.live, courier),
      asked: search.asked.filter((asked) => asked !== courier),
      passed: [...search.passed, courier],
    };
    const step = lookIfNoneLeft(back, ctx);
    return { ...step, effects: [line, ...step.effects] };
  }
  const { phase } = search;
  if (phase.at !== "holding" || !has(phase.asking, courier)) return { search, effects: [] };
  const step = passOver(search, phase, [courier], phase.rest.slice(0, 1), ctx);
  return { ...step, effects: [line, ...step.effects] };
}

/** These are not held; `next` are asked in their place. */
function passOver(
  search: Search,
  phase: Holding,
  couriers: readonly CourierId[],
  next: readonly Candidate[],
  ctx: SearchContext,
): SearchStep {
  const until = ctx.now + ctx.settings.HOLD_WAIT_MS;
  const left = phase.asking.filter((one) => !couriers.includes(one.courier));
  const step = settle(
    { ...search, passed: [...search.passed, ...couriers] },
    {
      ...phase,
      asking: [...left, ...next.map((c) => ({ ...c, until }))],
      rest: phase.rest.slice(next.length),
    },
    ctx,
  );
  return { ...step, effects: [...next.map((c) => askHold(c.courier, ctx)), ...step.effects] };
}

/** Goes out with whoever is held as soon as nobody is left to be waited for. */
function settle(search: Search, phase: Holding, ctx: SearchContext): SearchStep {
  const held = { ...search, phase };
  if (phase.asking.length > 0) return { search: held, effects: [] };
  return phase.granted.length > 0 ? recordWave(held, phase.granted, ctx) : grow(held, ctx);
}

/**
 * Records the round, then pushes the offers. Offers of earlier waves stay valid until their own
 * deadline.
 */
function recordWave(
  search: Search,
  couriers: readonly Candidate[],
  ctx: SearchContext,
): SearchStep {
  const { job, settings, now } = ctx;
  const until = now + settings.OFFER_TTL_MS;
  const recorded: Search = {
    ...search,
    wave: search.wave + 1,
    reach: wider(search.reach),
    phase: { at: "idle", until: now + settings.WAVE_MS },
    live: [...search.live, ...couriers.map((c) => ({ ...plain(c), until }))],
    asked: [...search.asked, ...couriers.map(({ courier }) => courier)],
    passed: [],
    offersMade: search.offersMade + couriers.length,
    inBacklog: false,
    parkedUntil: null,
    recorded: true,
  };
  const offers = couriers.map(({ courier, distanceM, etaS }, i) =>
    toCourier(courier, {
      type: "offer",
      job,
      until,
      ordinal: Math.min(search.offersMade + 1 + i, 65_535),
      distanceM,
      etaS,
    }),
  );
  return {
    search: recorded,
    effects: [
      commitRound(recorded, now + settings.WAVE_MS, "searching", ctx),
      note(job.id, "offered", { wave: recorded.wave, couriers, until }),
      ...(search.inBacklog ? [toCell(ctx, { type: "leave", delivery: job.id })] : []),
      ...offers,
    ],
  };
}

/** Shows offers once more; a courier who has one already is not bothered. */
export const repeatOffers = (
  live: readonly OfferRecord[],
  { job, now }: Pick<SearchContext, "job" | "now">,
): readonly Effect[] =>
  live
    .filter((offer) => offer.until > now)
    .map(({ courier, until, distanceM, etaS }) =>
      toCourier(courier, { type: "offer", job, until, ordinal: REPEATED, distanceM, etaS }),
    );

const isOfLastWave = (offer: OfferRecord, _: number, live: readonly OfferRecord[]): boolean =>
  offer.until === lastUntil(live);

/**
 * Nobody new within the last reach: into the backlog, from which a free courier wakes us. The row
 * says when we look again by ourselves; while it does, being woken in vain records nothing.
 */
function park(search: Search, ctx: SearchContext): SearchStep {
  const { job, settings, replacing, now } = ctx;
  const { live } = search;
  const planned = live.length > 0 ? lastUntil(live) : now + settings.WAIT_LOOK_MS;
  const isRecorded = search.parkedUntil !== null && search.parkedUntil > now && live.length === 0;
  const due = replacing === null ? Math.min(planned, job.searchUntil) : planned;
  const lookAt = isRecorded && search.parkedUntil !== null ? search.parkedUntil : due;
  const parked: Search = {
    ...search,
    phase: { at: "parked", lookAt },
    passed: [],
    inBacklog: true,
    parkedUntil: live.length === 0 ? lookAt : null,
    recorded: true,
  };
  const reason = live.length > 0 ? "searching" : "no_courier_free";
  const wait: ToCell = {
    type: "wait",
    delivery: job.id,
    since: job.createdAt,
    size: job.size,
    vehicle: job.vehicle,
    asked: replacing === null ? search.asked : [replacing.courier, ...search.asked],
  };
  return {
    search: parked,
    effects: [
      ...(isRecorded ? [] : [commitRound(parked, lookAt, reason, ctx)]),
      note(job.id, "waiting", { cell: pickupCell(ctx), lookAt }),
      toCell(ctx, wait),
    ],
  };
}

const lastUntil = (live: readonly OfferRecord[]): Millis => Math.max(...live.map((o) => o.until));

/**
 * A courier declined. Null when it has no offer here. The row is told before the courier is (D7):
 * whoever owns this next must know that this offer is not open any more. It shares the statement of
 * the rounds.
 */
export function onDeclined(
  search: Search,
  courier: CourierId,
  reason: string | null,
  ctx: SearchContext,
): SearchStep | null {
  if (!has(search.live, courier)) return null;
  const fewer = { ...search, live: without(search.live, courier) };
  const step = lookIfNoneLeft(fewer, ctx);
  const lookAt = step.search === fewer ? goesOnAt(fewer, ctx.now) : ctx.now;
  return {
    ...step,
    effects: [
      commitRound(fewer, lookAt, "searching", ctx),
      note(ctx.job.id, "declined", { courier, reason }),
      release(courier, ctx.job, "declined"),
      ...step.effects,
    ],
  };
}

/** With the last offer gone there is nothing to wait for: the next wave opens at once. */
function lookIfNoneLeft(search: Search, ctx: SearchContext): SearchStep {
  const { phase } = search;
  const isResting = phase.at === "idle" || phase.at === "parked";
  return isResting && search.live.length === 0 ? openWave(search, ctx) : { search, effects: [] };
}

/** The backlog woke us (and forgot us) because a courier is free. */
export function onWake(search: Search, courier: CourierId, ctx: SearchContext): SearchStep {
  if (!search.inBacklog) return { search, effects: [] };
  const out = { ...search, inBacklog: false };
  if (search.phase.at !== "parked") return { search: out, effects: [] };
  const step = openWave(out, ctx);
  return { ...step, effects: [note(ctx.job.id, "woken", { courier }), ...step.effects] };
}

/** Time passed: offers lapse, holds are given up, the next wave opens. */
export function onTime(search: Search, ctx: SearchContext): SearchStep {
  const lapsed = search.live.filter((offer) => offer.until <= ctx.now);
  if (lapsed.length === 0) return onPhaseTime(search, ctx);
  const live = search.live.filter((offer) => offer.until > ctx.now);
  const line = note(ctx.job.id, "lapsed", { couriers: lapsed.map((o) => o.courier) });
  const dropped = lookIfNoneLeft({ ...search, live }, ctx);
  const step = dropped.effects.length > 0 ? dropped : onPhaseTime(dropped.search, ctx);
  return { ...step, effects: [line, ...step.effects] };
}

function onPhaseTime(search: Search, ctx: SearchContext): SearchStep {
  const { phase } = search;
  switch (phase.at) {
    case "seeking":
      return { search, effects: [] };
    case "idle": {
      if (ctx.now < phase.until) return { search, effects: [] };
      // A message may be lost: whoever was asked last is told once more.
      const again = repeatOffers(search.live.filter(isOfLastWave), ctx);
      const step = openWave(search, ctx);
      return { ...step, effects: [...again, ...step.effects] };
    }
    case "parked":
      return ctx.now < phase.lookAt ? { search, effects: [] } : openWave(search, ctx);
    case "holding":
      return giveUpWaiting(search, phase, ctx);
  }
}

/**
 * A wave waits HOLD_WAIT_MS for answers; others are asked in place of the silent only while it has
 * nobody.
 */
function giveUpWaiting(search: Search, phase: Holding, ctx: SearchContext): SearchStep {
  const silent = phase.asking.filter((one) => one.until <= ctx.now).map((one) => one.courier);
  if (silent.length === 0) return { search, effects: [] };
  const next = phase.granted.length > 0 ? [] : phase.rest.slice(0, silent.length);
  const step = passOver(search, phase, silent, next, ctx);
  const lines = silent.map((courier) => note(ctx.job.id, "unanswered", { courier }));
  return { ...step, effects: [...lines, ...step.effects] };
}
