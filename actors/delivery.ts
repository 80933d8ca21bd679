/**
 * One delivery: it finds a courier and watches over it until the parcel is at the door. It owns the
 * offer protocol (`search.ts`) and the watch after the accept (`delivery-carried.ts`). It does not
 * decide who won: an accept, a status or a cancel is one statement in the store, of which this
 * actor hears; it follows (`delivery-follow.ts`) and tidies up (D1, D7). Its own writes are
 * conditional on epoch and version, so a late actor can only be told `superseded` (D8). Drawing,
 * tables and invariants: SPEC.md.
 */
import type { Millis } from "../proto/ids.ts";
import { searchStart } from "../proto/limits.ts";
import type { DispatchSettings } from "../proto/limits.ts";
import type { StatusReason } from "../proto/status.ts";
import type { Actor } from "./actor.ts";
import { stepAssigned, stepPickedUp } from "./delivery-carried.ts";
import { onChanged, onRow, onSuperseded } from "./delivery-follow.ts";
import {
  answer,
  contextOf,
  declined,
  endedFor,
  releaseLate,
  withSearch,
} from "./delivery-state.ts";
import type { Delivery, DeliveryMessage, DeliveryStep } from "./delivery-state.ts";
import type { Ended, Pending, Rest } from "./delivery-state.ts";
import { note } from "./ledger.ts";
import { onCandidates, onHeld, onRefused, onTime, onWake } from "./search.ts";
import { endSearch } from "./search-state.ts";
import { openWave } from "./search.ts";
import { searchDeadline, searchFrom } from "./search-state.ts";
import type { SearchContext } from "./search-state.ts";

/** The actor under these settings. */
export const deliveryActor = (settings: DispatchSettings): Actor<Delivery, DeliveryMessage> => ({
  step: (state, message, now) => step(state, message, now, settings),
  deadline,
  mayPassivate: (state) => "id" in state,
});

function step(
  state: Delivery,
  m: DeliveryMessage,
  now: Millis,
  settings: DispatchSettings,
): DeliveryStep {
  if (m.type === "resumed") return onRow(state, m.snapshot, now, settings);
  if (m.type === "superseded") return onSuperseded(state, m.snapshot, now, settings);
  if (m.type === "changed") return onChanged(state, m, now, settings);
  switch (state.at) {
    case "empty":
      return stepEmpty(state, m, now, settings);
    case "searching":
    case "offered":
    case "waiting":
      return stepPending(state, m, now, settings);
    case "assigned":
      return stepAssigned(state, m, now, settings);
    case "picked_up":
      return stepPickedUp(state, m, now, settings);
    case "delivered":
    case "canceled":
    case "unfilled":
    case "returned":
      return stepEnded(state, m);
  }
}

function stepEmpty(
  state: Extract<Delivery, { at: "empty" }>,
  m: Rest,
  now: Millis,
  settings: DispatchSettings,
): DeliveryStep {
  if (m.type === "declined") return [state, answer("not_found")];
  if (m.type !== "created" || m.job.id !== state.id) return [state];
  const startsAt = Math.max(now, searchStart(m.job, settings));
  const search = searchFrom({ wave: 0, live: [], asked: [], nextLookAt: startsAt });
  const fresh: Pending = { at: "searching", job: m.job, version: 1, search };
  if (now < startsAt) return [fresh];
  return withSearch(fresh, openWave(search, contextOf(fresh, now, settings)));
}

function stepPending(
  state: Pending,
  m: Rest,
  now: Millis,
  settings: DispatchSettings,
): DeliveryStep {
  const ctx = contextOf(state, now, settings);
  switch (m.type) {
    case "created":
      return [state];
    case "candidates":
      return withSearch(state, onCandidates(state.search, m.result, ctx));
    case "held":
      return withSearch(state, onHeld(state.search, m.courier, ctx));
    case "refused":
      return withSearch(state, onRefused(state.search, m, ctx));
    case "wake":
      return withSearch(state, onWake(state.search, m.courier, ctx));
    case "declined":
      return declined(state, state.search, m, ctx);
    case "progress":
      // Somebody carries it and we have not heard of it.
      return [state, { do: "reload", delivery: state.job.id }];
    case "woke":
      if (now >= state.job.searchUntil) return becomeUnfilled(state, ctx);
      return withSearch(state, onTime(state.search, ctx));
  }
}

/**
 * D1, D3: nothing moves an ended delivery; whoever is still busy with it is told that it is over
 * (D7).
 */
function stepEnded(state: Ended, m: Rest): DeliveryStep {
  switch (m.type) {
    case "created":
    case "candidates":
    case "refused":
    case "wake":
    case "woke":
      return [state];
    case "held":
      return [state, releaseLate(state.id, m.courier)];
    case "declined":
      return [state, answer("delivery_over")];
    case "progress":
      return [state, endedFor(state.id, m.courier, state.at)];
  }
}

/** D3: never silently lost. */
function becomeUnfilled(state: Pending, ctx: SearchContext): DeliveryStep {
  const { job, search } = state;
  const wasAsked = search.asked.length > 0;
  const reason: StatusReason = wasAsked ? "search_deadline" : "no_courier_free";
  return [
    { at: "unfilled", id: job.id, version: state.version + 1, courier: null },
    { do: "commit", write: { kind: "unfilled", delivery: job.id, reason } },
    note(job.id, "unfilled", { reason }),
    ...endSearch(search, "over", () => false, ctx),
  ];
}

function deadline(state: Delivery): Millis | null {
  if (state.at === "empty" || "id" in state) return null;
  if (state.at === "picked_up") return state.watch.checkAt;
  const times = state.search === null ? [] : [searchDeadline(state.search)];
  if (state.at === "assigned") {
    times.push(state.watch.checkAt);
    if (state.search === null) times.push(state.watch.replaceAt);
  } else times.push(state.job.searchUntil);
  return Math.min(...times.filter((at) => at !== null));
}
