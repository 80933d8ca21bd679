/**
 * A delivery that a courier has: the watch over the courier, and the search for a replacement when
 * it is in trouble before the pickup. The old courier keeps the delivery until the store says that
 * somebody else has it (D1).
 */
import type { CourierId, DeliveryId, Millis } from "../proto/ids.ts";
import type { DispatchSettings } from "../proto/limits.ts";
import type { Effect } from "./actor.ts";
import { joined, saidNo } from "./delivery-follow.ts";
import { answer, confirm, contextOf, declined, endedFor } from "./delivery-state.ts";
import { releaseLate, withSearch } from "./delivery-state.ts";
import type { Assigned, DeliveryMessage, DeliveryStep, PickedUp, Rest } from "./delivery-state.ts";
import { note } from "./ledger.ts";
import { onCandidates, onHeld, onRefused, onTime, onWake } from "./search.ts";
import { endSearch } from "./search-state.ts";
import { openWave } from "./search.ts";
import { searchFrom, toCourier } from "./search-state.ts";
import type { Search, SearchContext } from "./search-state.ts";
import { TROUBLE_REASONS, checked, hear, meaningOf } from "./watch.ts";

/** Assigned, and on the way to the pickup. */
export function stepAssigned(
  state: Assigned,
  m: Rest,
  now: Millis,
  settings: DispatchSettings,
): DeliveryStep {
  const ctx = contextOf(state, now, settings);
  const { search } = state;
  switch (m.type) {
    case "created":
      return [state];
    case "candidates":
      return search === null ? [state] : withSearch(state, onCandidates(search, m.result, ctx));
    case "held":
      if (search !== null) return withSearch(state, onHeld(search, m.courier, ctx));
      return m.courier === state.courier ? [state] : [state, releaseLate(state.job.id, m.courier)];
    case "refused":
      return search === null ? [state] : withSearch(state, onRefused(search, m, ctx));
    case "wake":
      return search === null ? [state] : withSearch(state, onWake(search, m.courier, ctx));
    case "declined":
      return search === null ? declinedLate(state, m.courier) : declined(state, search, m, ctx);
    case "progress":
      return onProgress(state, m, ctx);
    case "woke":
      return assignedWoke(state, ctx);
  }
}

/** The parcel is under way: nobody is replaced any more. */
export function stepPickedUp(
  state: PickedUp,
  m: Rest,
  now: Millis,
  settings: DispatchSettings,
): DeliveryStep {
  switch (m.type) {
    case "created":
    case "candidates":
    case "refused":
    case "wake":
      return [state];
    case "held":
      return m.courier === state.courier ? [state] : [state, releaseLate(state.job.id, m.courier)];
    case "declined":
      return [state, answer(state.asked.includes(m.courier) ? "ok" : "not_offered")];
    case "progress": {
      if (m.courier !== state.courier) return [state, ...unknownCarrier(state.job.id, m.courier)];
      const watch = hear(state.watch, "moving", now, settings);
      const next = watch === state.watch ? state : { ...state, watch };
      if (m.signal === "arrived_dropoff") return [next, noteArrival(state.job.id, m)];
      // D7: a courier who still heads for the pickup missed the news; `moving` is what it says in
      // between.
      if (m.signal === "moving") return [next];
      return [next, toCourier(m.courier, { type: "picked", delivery: state.job.id })];
    }
    case "woke":
      return now < state.watch.checkAt ? [state] : check(state, now, settings);
  }
}

/**
 * It lost the race, and would not have taken it: it is not asked as a replacement either (D7). The
 * row needs no word of it, because the next owner asks nobody who was asked before the assignment.
 */
function declinedLate(state: Assigned, courier: CourierId): DeliveryStep {
  if (state.barred.includes(courier)) return [state, answer("ok")];
  if (!state.asked.includes(courier)) return [state, answer("not_offered")];
  return [{ ...state, barred: [...state.barred, courier] }, answer("ok")];
}

function onProgress(
  state: Assigned,
  m: Extract<DeliveryMessage, { type: "progress" }>,
  ctx: SearchContext,
): DeliveryStep {
  const { job, courier } = state;
  if (m.courier !== courier) return [state, ...unknownCarrier(job.id, m.courier)];
  const watch = hear(state.watch, m.signal, ctx.now, ctx.settings);
  const heard: Assigned = watch === state.watch ? state : { ...state, watch };
  const lines: Effect[] = [];
  const meaning = meaningOf(m.signal);
  if (m.signal.startsWith("arrived") || m.signal.startsWith("left")) {
    lines.push(noteArrival(job.id, m));
  }
  if (meaning === "place") return [heard, ...lines];
  if (meaning !== "well") {
    if (watch.trouble === state.watch.trouble) return [heard];
    const { replaceAt } = watch;
    return [heard, note(job.id, "warned", { courier, signal: m.signal, replaceAt })];
  }
  if (state.watch.trouble !== null || state.search !== null) {
    lines.push(note(job.id, "mended", { courier, signal: m.signal }));
  }
  if (state.search === null) return [heard, ...lines];
  return stopReplacing({ ...heard, search: null }, state.search, lines, ctx);
}

/** The courier is well again: the offers to others are withdrawn, the row says so. */
function stopReplacing(
  state: Assigned,
  search: Search,
  lines: readonly Effect[],
  ctx: SearchContext,
): DeliveryStep {
  const asked = joined(state.asked, search.asked);
  const barred = joined(state.barred, saidNo(search));
  const commit: Effect = {
    do: "commit",
    write: {
      kind: "round",
      delivery: state.job.id,
      version: state.version,
      wave: search.wave,
      offers: [],
      asked,
      nextAttemptAt: ctx.now,
      replacing: false,
      reason: null,
    },
  };
  return [
    { ...state, asked, barred },
    ...(search.recorded ? [commit] : []),
    ...endSearch(search, "taken", () => false, ctx),
    ...lines,
  ];
}

function assignedWoke(state: Assigned, ctx: SearchContext): DeliveryStep {
  const { watch, search, job, courier, barred } = state;
  if (ctx.now >= watch.checkAt) return check(state, ctx.now, ctx.settings);
  if (search !== null) return withSearch(state, onTime(search, ctx));
  if (watch.replaceAt === null || watch.trouble === null || ctx.now < watch.replaceAt) {
    return [state];
  }
  const fresh = searchFrom({ wave: 0, live: [], asked: barred, nextLookAt: ctx.now });
  const [next, ...effects] = withSearch(state, openWave(fresh, ctx));
  const line = note(job.id, "replacing", { courier, reason: TROUBLE_REASONS[watch.trouble] });
  return [next, line, ...effects];
}

/**
 * Twice a while: the row is read again, and a courier whose actor is silent is told again that it
 * carries this.
 */
function check<S extends Assigned | PickedUp>(
  state: S,
  now: Millis,
  settings: DispatchSettings,
): DeliveryStep {
  const next = { ...state, watch: checked(state.watch, now, settings) };
  const reload: Effect = { do: "reload", delivery: state.job.id };
  const again = confirm(state.job, state.courier, state.at === "picked_up");
  return [next, reload, ...(state.watch.isHeard ? [] : [again])];
}

/**
 * Somebody else's actor believes that it carries this: either it missed the end, or we missed the
 * change.
 */
const unknownCarrier = (delivery: DeliveryId, courier: CourierId): readonly Effect[] => [
  endedFor(delivery, courier, "replaced"),
  { do: "reload", delivery },
];

const noteArrival = (
  delivery: DeliveryId,
  m: Extract<DeliveryMessage, { type: "progress" }>,
): Effect =>
  note(delivery, "arrived", { courier: m.courier, signal: m.signal, distanceM: m.distanceM });
