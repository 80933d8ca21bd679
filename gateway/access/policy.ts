/**
 * Who may do what with a delivery: one function, asked by REST, the WebSocket, NATS and tracking
 * links alike. Its first half is which role may try at all (`forbidden` where not), its second
 * whose delivery it is. What a principal may not read does not exist for it, so a refused read is
 * `not_found`, never `forbidden`. What changes a delivery is decided once more by the store, in the
 * statement that changes it; docs/authorization.md has the whole table, tried at the doors.
 */
import type { DeliveryRow } from "../../engine/store/port.ts";
import { DispatchError } from "../../proto/errors.ts";
import type { Millis, Role } from "../../proto/ids.ts";
import { LINK_AFTER_END_MS } from "../../proto/limits.ts";
import type { Status } from "../../proto/status.ts";
import type { Principal } from "../base/principal.ts";

/** Every action on a delivery, with the roles that may try it. */
export const ROLES_OF = {
  read: ["customer", "partner", "courier", "operator", "tracking"],
  /** See where the courier is. */
  position: ["customer", "partner", "courier", "operator", "tracking"],
  /** Get its changes and positions over the socket. A courier has its own stream. */
  follow: ["customer", "partner", "operator", "tracking"],
  accept: ["courier"],
  decline: ["courier"],
  /** Report progress. */
  report: ["courier"],
  cancel: ["customer", "partner", "operator"],
  /** Change its notes, its numbers and the words of its destination. */
  update: ["customer", "partner", "operator"],
  /** See why it went where it went. */
  ledger: ["operator"],
} as const satisfies Record<string, readonly Role[]>;
export type Action = keyof typeof ROLES_OF;

/** Throws `forbidden` when the role may not even try. */
export function mayTry(principal: Principal, action: Action): void {
  if (!hasRole(principal, action)) throw new DispatchError("forbidden");
}

const hasRole = ({ role }: Principal, action: Action): boolean =>
  (ROLES_OF[action] as readonly Role[]).includes(role);

/** The statuses in which a courier is on the way, and its position is somebody's business. */
export const isCarried = (status: Status): boolean =>
  status === "assigned" || status === "picked_up";

/**
 * Whether the tracking link of a delivery opens it: from its assignment until an hour after its
 * end.
 */
export const isTrackable = (row: Spans, now: Millis): boolean =>
  row.assignedAt !== null && (row.endedAt === null || now < row.endedAt + LINK_AFTER_END_MS);

/** Whether the link will open, once a courier has been found. */
export const isLinkWaiting = (row: Spans): boolean =>
  row.assignedAt === null && row.endedAt === null;

type Spans = Pick<DeliveryRow, "assignedAt" | "endedAt">;

/** What the decision needs of a row. */
export type Subject = Pick<DeliveryRow, "id" | "owner" | "courierId" | "status"> & Spans;

/**
 * Whether `principal` may do `action` with the delivery. Whether its status allows it is the
 * store's business.
 */
export function allowed(principal: Principal, action: Action, row: Subject, now: Millis): boolean {
  if (!hasRole(principal, action)) return false;
  if (action === "position" && !isCarried(row.status)) return false;
  switch (principal.role) {
    case "operator":
      return true;
    case "customer":
    case "partner":
      return row.owner === principal.subject;
    case "courier":
      // Any courier may take what waits, and refuse what it was offered; who comes too late is told
      // so.
      return action === "accept" || action === "decline" || row.courierId === principal.subject;
    case "tracking":
      return row.id === principal.subject && isTrackable(row, now);
  }
}

/**
 * The row, if `principal` may do `action` with it. Throws `not_found` for what is absent and for
 * what is foreign.
 */
export function permitted(
  principal: Principal,
  action: Action,
  row: DeliveryRow | null,
  now: Millis,
): DeliveryRow {
  if (row === null || !allowed(principal, action, row, now)) throw new DispatchError("not_found");
  return row;
}
