// One delivery as its clients may see it: the status machine as the model against which histories
// are held. What the system does by itself (a search that ends, a courier who is replaced, a cancel
// by the operator) is an operation that may take effect at any moment, if the events tell of it.

import type { Facts } from "../check/rules.ts";
import { isTerminal } from "../../proto/status.ts";
import type { Status } from "../../proto/status.ts";
import type { Request } from "./history.ts";
import { judge } from "./linear.ts";
import type { Model, Operation, Verdict } from "./linear.ts";

export type Seen = { readonly status: Status | "nothing"; readonly courier: string | null };

export type Input =
  | { readonly do: "create" }
  | { readonly do: "accept"; readonly courier: string; readonly refused: string | null }
  | {
      readonly do: "status";
      readonly courier: string;
      readonly status: string;
      readonly refused: string | null;
    }
  | { readonly do: "cancel"; readonly refused: string | null }
  | { readonly do: "read"; readonly status: string; readonly courier: string | null }
  | { readonly do: "unfilled" | "unassign" | "cancelByOperator" };

const ACTIVE: readonly string[] = ["assigned", "picked_up"];

/** The state machine of one delivery; answers that cannot be given in a state are null. */
export const deliveryModel: Model<Seen, Input> = {
  initial: { status: "nothing", courier: null },
  key: ({ status, courier }) => `${status} ${courier}`,
  step(state, input) {
    switch (input.do) {
      case "create":
        // One that is asked for again under its key is answered as before, and changes nothing.
        return state.status === "nothing" ? { status: "pending", courier: null } : state;
      case "accept":
        return accepted(state, input.courier, input.refused);
      case "status":
        return reported(state, input);
      case "cancel":
        return canceled(state, input.refused);
      case "read":
        return matches(state, input) ? state : null;
      case "unfilled":
        return state.status === "pending" ? { ...state, status: "unfilled" } : null;
      case "unassign":
        // A replacement: the next accept takes it.
        return state.status === "assigned" ? { status: "pending", courier: null } : null;
      case "cancelByOperator":
        if (state.status === "nothing" || isTerminal(state.status)) return null;
        return { ...state, status: "canceled" };
    }
  },
};

function accepted(state: Seen, courier: string, refused: string | null): Seen | null {
  const isMine = state.courier === courier;
  if (refused === null) {
    if (state.status === "pending") return { status: "assigned", courier };
    // The same courier gets the same answer, however often it asks.
    return isMine && (ACTIVE.includes(state.status) || state.status === "delivered") ? state : null;
  }
  if (refused === "delivery_taken") {
    return state.status !== "nothing" && state.status !== "pending" && !isMine ? state : null;
  }
  if (refused === "delivery_over") {
    return state.status !== "nothing" && isTerminal(state.status) ? state : null;
  }
  return state; // Busy, unknown here, too fast: nothing about this delivery.
}

function reported(state: Seen, input: Extract<Input, { do: "status" }>): Seen | null {
  const { courier, status, refused } = input;
  const from: Status = status === "picked_up" ? "assigned" : "picked_up";
  const isDue = state.courier === courier && state.status === from;
  if (refused === "wrong_status") return isDue ? null : state;
  if (refused !== null) return state;
  if (isDue) return { status: status as Status, courier };
  return state.courier === courier && state.status === status ? state : null;
}

function canceled(state: Seen, refused: string | null): Seen | null {
  const may = state.status === "pending" || state.status === "assigned";
  if (refused === "wrong_status") return may || state.status === "nothing" ? null : state;
  if (refused !== null) return state;
  if (may) return { ...state, status: "canceled" };
  return state.status === "canceled" ? state : null;
}

/** A customer is shown the courier only while it carries the delivery. */
function matches(state: Seen, read: { status: string; courier: string | null }): boolean {
  if (state.status !== read.status) return false;
  return read.courier === null || read.courier === state.courier;
}

/** The operation that a request is; null when it says nothing (a read without an answer). */
export function operationOf(request: Request): Operation<Input> | null {
  const { verb, who, status, courier, sentAt, outcome } = request;
  const isKnown = outcome.is !== "unknown";
  const endedAt = isKnown
    ? (request.endedAt ?? Number.POSITIVE_INFINITY)
    : Number.POSITIVE_INFINITY;
  const refused = outcome.is === "refused" ? outcome.code : null;
  const as = (input: Input): Operation<Input> => ({ input, sentAt, endedAt });
  switch (verb) {
    case "create":
      return as({ do: "create" });
    case "accept":
      return as({ do: "accept", courier: who, refused });
    case "status":
      return as({ do: "status", courier: who, status: status ?? "", refused });
    case "cancel":
      return as({ do: "cancel", refused });
    case "read":
      if (outcome.is !== "ok" || status === null) return null;
      return as({ do: "read", status, courier });
    case "decline":
      return null;
  }
}

/** What the events tell that the system did by itself; at any moment, once for each event. */
function ownDoings(events: Facts["events"], id: string): Operation<Input>[] {
  const any = { sentAt: Number.NEGATIVE_INFINITY, endedAt: Number.POSITIVE_INFINITY };
  return (events.get(id) ?? []).flatMap(({ type, status, reason }): Operation<Input>[] => {
    // Without a reason nobody meant to replace anybody.
    if (type === "reassigned")
      return reason === null ? [] : [{ input: { do: "unassign" }, ...any }];
    if (status === "unfilled") return [{ input: { do: "unfilled" }, ...any }];
    return status === "canceled" ? [{ input: { do: "cancelByOperator" }, ...any }] : [];
  });
}

export type Unordered = { readonly delivery: string; readonly verdict: Verdict };

/**
 * All deliveries whose history, with the row of Postgres as the last read, has no order. Those that
 * were there before the run, or whose create was never answered, are not judged.
 */
export function unorderedDeliveries(
  requests: readonly Request[],
  { events, deliveries }: Pick<Facts, "events" | "deliveries">,
): { readonly judged: number; readonly bad: readonly Unordered[] } {
  const byDelivery = new Map<string, Request[]>();
  for (const request of requests) {
    if (request.delivery === null) continue;
    const list = byDelivery.get(request.delivery) ?? [];
    byDelivery.set(request.delivery, list);
    list.push(request);
  }
  const bad: Unordered[] = [];
  let judged = 0;
  for (const [id, list] of byDelivery) {
    if (!list.some(({ verb, outcome }) => verb === "create" && outcome.is === "ok")) continue;
    const operations = [...list.map(operationOf).filter((one) => one !== null)];
    operations.push(...ownDoings(events, id));
    const row = deliveries.get(id);
    const last = Math.max(...list.map(({ endedAt, sentAt }) => endedAt ?? sentAt)) + 1;
    const status = row?.status ?? "nothing";
    const input: Input = { do: "read", status, courier: row?.courier ?? null };
    operations.push({ input, sentAt: last, endedAt: last + 1 });
    const verdict = judge(operations, deliveryModel);
    judged++;
    if (verdict !== "linearizable") bad.push({ delivery: id, verdict });
  }
  return { judged, bad };
}
