/**
 * Who may do what with a delivery: one function, asked by REST and by the WebSocket alike. What a
 * principal may not read does not exist for it, so a refused read is `not_found`, never `forbidden`.
 */
import type { DeliveryRow } from "../engine/store/port.ts";
import { DispatchError } from "../proto/errors.ts";
import type { Millis } from "../proto/ids.ts";
import type { Status } from "../proto/status.ts";
import type { Principal } from "./principal.ts";

/** `position`: see where the courier is. `ledger`: see why it went where it went. */
export type Action = "read" | "position" | "report" | "cancel" | "ledger";

/** A tracking link opens nothing an hour after the delivery ended. */
const LINK_AFTER_END_MS = 3_600_000;

/** The statuses in which a courier is on the way, and its position is somebody's business. */
export const isCarried = (status: Status): boolean =>
  status === "assigned" || status === "picked_up";

/** Whether the tracking link of a delivery still opens it. */
export const isTrackable = (row: Pick<DeliveryRow, "endedAt">, now: Millis): boolean =>
  row.endedAt === null || now < row.endedAt + LINK_AFTER_END_MS;

/** What the decision needs of a row. */
export type Subject = Pick<DeliveryRow, "id" | "owner" | "courierId" | "status" | "endedAt">;

/** Whether `principal` may do `action` with the delivery. Whether its status allows it is the store's business. */
export function allowed(principal: Principal, action: Action, row: Subject, now: Millis): boolean {
  if (action === "position" && !isCarried(row.status)) return false;
  switch (principal.role) {
    case "operator":
      return action !== "report";
    case "customer":
    case "partner":
      return row.owner === principal.subject && (isReading(action) || action === "cancel");
    case "courier":
      return row.courierId === principal.subject && (isReading(action) || action === "report");
    case "tracking":
      return row.id === principal.subject && isReading(action) && isTrackable(row, now);
  }
}

const isReading = (action: Action): boolean => action === "read" || action === "position";

/** The row, if `principal` may do `action` with it. Throws `not_found` for what is absent and for what is foreign. */
export function permitted(
  principal: Principal,
  action: Action,
  row: DeliveryRow | null,
  now: Millis,
): DeliveryRow {
  if (row === null || !allowed(principal, action, row, now)) throw new DispatchError("not_found");
  return row;
}
