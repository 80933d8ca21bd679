/**
 * The public life of a delivery: statuses, which may follow which (D5), and the reasons that come
 * with them. The delivery actor has finer internal states; `actors/delivery.ts` maps them here in
 * one table.
 */

export const STATUSES = [
  "pending",
  "assigned",
  "picked_up",
  "delivered",
  "canceled",
  "unfilled",
  "returned",
] as const;
export type Status = (typeof STATUSES)[number];

/** D5: the only moves there are. `assigned -> assigned` is a replacement of the courier. */
export const NEXT_STATUSES: Readonly<Record<Status, readonly Status[]>> = {
  pending: ["assigned", "canceled", "unfilled"],
  assigned: ["assigned", "picked_up", "canceled"],
  picked_up: ["delivered", "returned", "canceled"],
  delivered: [],
  canceled: [],
  unfilled: [],
  returned: [],
};

export const isTerminal = (status: Status): boolean => NEXT_STATUSES[status].length === 0;

/** Kinds of numbered events of a delivery; number 1 is `created`. */
export const EVENT_TYPES = [
  "created",
  "assigned",
  "reassigned",
  "picked_up",
  "delivered",
  "canceled",
  "unfilled",
  "returned",
] as const;
export type EventType = (typeof EVENT_TYPES)[number];

/** Why a delivery ended or waits; part of `status_reason` in every door. */
export const STATUS_REASONS = [
  "scheduled",
  "searching",
  "no_courier_free",
  "search_deadline",
  "canceled_by_customer",
  "canceled_by_operator",
  "courier_dark",
  "courier_still",
  "courier_retreating",
  "returned_by_courier",
] as const;
export type StatusReason = (typeof STATUS_REASONS)[number];
