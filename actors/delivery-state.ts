/**
 * The states of a delivery actor and the small things that all its parts share. The logic is in
 * `delivery.ts` (finding a courier), `delivery-carried.ts` (watching over it) and
 * `delivery-follow.ts` (what others decided).
 */
import type { CourierId, DeliveryId, Millis } from "../proto/ids.ts";
import type { DispatchSettings } from "../proto/limits.ts";
import type { Job, ToDelivery } from "../proto/messages.ts";
import type { Status } from "../proto/status.ts";
import type { DeliverySnapshot } from "../proto/writes.ts";
import type { Effect, SearchResult, Step, Woke } from "./actor.ts";
import { onDeclined } from "./search.ts";
import { toCourier } from "./search-state.ts";
import type { Search, SearchContext, SearchStep } from "./search-state.ts";
import { TROUBLE_REASONS } from "./watch.ts";
import type { Watch } from "./watch.ts";

export type Pending = {
  /** No offer out; offers out; in the backlog with none. Always what `search` says. */
  readonly at: "searching" | "offered" | "waiting";
  readonly job: Job;
  readonly version: number;
  readonly search: Search;
};
export type Assigned = {
  readonly at: "assigned";
  readonly job: Job;
  readonly version: number;
  readonly courier: CourierId;
  /** Everybody who was ever asked: their late answers are no surprise. */
  readonly asked: readonly CourierId[];
  /** Those of them who declined or let it lapse; a search for a replacement asks them no more. */
  readonly barred: readonly CourierId[];
  readonly watch: Watch;
  /** The search for a replacement of `courier`. */
  readonly search: Search | null;
};
export type PickedUp = {
  readonly at: "picked_up";
  readonly job: Job;
  readonly version: number;
  readonly courier: CourierId;
  readonly asked: readonly CourierId[];
  readonly watch: Watch;
};
export type Ended = {
  readonly at: "delivered" | "canceled" | "unfilled" | "returned";
  readonly id: DeliveryId;
  readonly version: number;
  readonly courier: CourierId | null;
};
export type Delivery =
  | { readonly at: "empty"; readonly id: DeliveryId }
  | Pending
  | Assigned
  | PickedUp
  | Ended;

export type DeliveryMessage =
  | ToDelivery
  | Woke
  /** From Postgres: at activation, by the sweep, or because we asked for it. */
  | { readonly type: "resumed"; readonly snapshot: DeliverySnapshot }
  /** Answer to `search`. */
  | { readonly type: "candidates"; readonly result: SearchResult }
  /** Our commit was refused because the row has moved on; null when it is gone. */
  | { readonly type: "superseded"; readonly snapshot: DeliverySnapshot | null };

/** What the doors show for each state; null: nothing is known yet. */
export const PUBLIC_STATUS: Readonly<Record<Delivery["at"], Status | null>> = {
  empty: null,
  searching: "pending",
  offered: "pending",
  waiting: "pending",
  assigned: "assigned",
  picked_up: "picked_up",
  delivered: "delivered",
  canceled: "canceled",
  unfilled: "unfilled",
  returned: "returned",
};

export const emptyDelivery = (id: DeliveryId): Delivery => ({ at: "empty", id });

export type DeliveryStep = Step<Delivery>;

/** What is left after the messages that carry a row or a status. */
export type Rest = Exclude<DeliveryMessage, { type: "resumed" | "superseded" | "changed" }>;

/** Which delivery. */
export const idOf = (state: Delivery): DeliveryId => ("id" in state ? state.id : state.job.id);

/** Tells a courier that the delivery is its own; repeats are harmless. */
export const confirm = (job: Job, courier: CourierId, pickedUp: boolean): Effect =>
  toCourier(courier, {
    type: "confirm",
    delivery: job.id,
    pickupLng: job.pickupLng,
    pickupLat: job.pickupLat,
    dropoffLng: job.dropoffLng,
    dropoffLat: job.dropoffLat,
    pickedUp,
  });

/** Tells a courier's actor that it does not carry this any more. */
export const endedFor = (delivery: DeliveryId, courier: CourierId, reason: string): Effect =>
  toCourier(courier, { type: "ended", delivery, reason, tell: false });

/** Answers a request. */
export const answer = (code: "ok" | "not_found" | "not_offered" | "delivery_over"): Effect => ({
  do: "answer",
  code,
  online: null,
});

/** D7: a hold that was granted too late. */
export const releaseLate = (delivery: DeliveryId, courier: CourierId): Effect =>
  toCourier(courier, { type: "release", delivery, reason: "over" });

/** D4: a repeated decline gets the same answer and changes nothing. */
export function declined(
  state: Pending | Assigned,
  search: Search,
  m: Extract<DeliveryMessage, { type: "declined" }>,
  ctx: SearchContext,
): DeliveryStep {
  const taken = onDeclined(search, m.courier, m.reason, ctx);
  if (taken === null) {
    return [state, answer(search.asked.includes(m.courier) ? "ok" : "not_offered")];
  }
  const [next, ...effects] = withSearch(state, taken);
  return [next, ...effects, answer("ok")];
}

/** Takes the search's step into the state; `at` of a pending delivery follows from its search. */
export function withSearch(
  state: Pending | Assigned,
  { search, effects }: SearchStep,
): DeliveryStep {
  if (search === state.search) return [state, ...effects];
  if (state.at === "assigned") return [{ ...state, search }, ...effects];
  return [{ ...state, at: pendingAt(search), search }, ...effects];
}

export function pendingAt(search: Search): Pending["at"] {
  if (search.live.length > 0) return "offered";
  return search.phase.at === "parked" ? "waiting" : "searching";
}

export function contextOf(
  state: Pending | Assigned,
  now: Millis,
  settings: DispatchSettings,
): SearchContext {
  const { job, version } = state;
  if (state.at !== "assigned") return { settings, job, version, now, replacing: null };
  const reason = TROUBLE_REASONS[state.watch.trouble ?? "dark"];
  return { settings, job, version, now, replacing: { courier: state.courier, reason } };
}
