/**
 * The words of the decision ledger: one row per kind of line that the actors write, with what its
 * details mean. The console, the REST route and replay read the same table. Losing lines loses
 * explanations, never truth, so nothing here is ever read back by an actor.
 */
import type { DeliveryId } from "../proto/ids.ts";
import type { Effect } from "./actor.ts";

export const LEDGER_TYPES = {
  searched:
    "A search around the pickup: `radiusM`, `found`, and `gates`, who was turned away by what.",
  grown: "Nobody there: the next reach is searched at once. `radiusM` is the new one.",
  refused: "A courier could not be held, or gave its offer back unseen: `courier`, `reason`.",
  unanswered: "A hold request was not answered in time: `courier`.",
  offered: "A wave went out: `wave`, and `couriers` with `courier`, `distanceM`, `etaS`; `until`.",
  declined: "`courier` refused the offer, with its own `reason` if it gave one.",
  lapsed: "Nobody answered these offers in time: `couriers`.",
  withdrawn: "These holds and offers were taken back: `couriers`, `reason`.",
  waiting: "Nobody is free: it waits in the backlog of `cell`, and looks again at `lookAt`.",
  woken: "The backlog woke it for `courier`.",
  not_kept: "The backlog of `cell` is full: it is not kept there and looks again by itself.",
  assigned: "`courier` has it.",
  warned: "`courier` is in trouble: `signal`. A replacement is searched from `replaceAt` on.",
  mended: "`courier` is well again: `signal`.",
  replacing: "The search for a replacement of `courier` began, because of `reason`.",
  replaced: "It went from courier `from` to courier `to`.",
  arrived: "`courier` is at the stop, or left it again: `signal`, `distanceM`.",
  picked_up: "`courier` has the parcel.",
  ended: "The delivery is over: `status`.",
  unfilled: "The search deadline passed and nobody took it: `reason`.",
} as const;
export type LedgerType = keyof typeof LEDGER_TYPES;

/** One line for the ledger of `delivery`. */
export const note = (
  delivery: DeliveryId,
  type: LedgerType,
  details: Readonly<Record<string, unknown>> = {},
): Effect => ({ do: "ledger", delivery, lines: [{ ...details, type }] });
