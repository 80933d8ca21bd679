/**
 * The backlog of one H3 cell: deliveries with a pickup there for which nobody is free, oldest
 * first. A courier who becomes free or enters wakes exactly one of them, the oldest that it may
 * serve. Where the couriers of the cell are is not here but in the cell index (`cell-index.ts`), a
 * fold of the cells' stream. Nothing here is durable: a delivery that waits looks again by itself
 * now and then, and so does one that found the backlog full.
 */
import type { DeliveryId } from "../proto/ids.ts";
import { BACKLOG_MAX_DELIVERIES } from "../proto/limits.ts";
import type { ToCell } from "../proto/messages.ts";
import { isTestDelivery } from "../proto/test-mode.ts";
import type { Actor, Step } from "./actor.ts";
import { note } from "./ledger.ts";
import { canCarry } from "./matching.ts";

export type Waiting = Omit<Extract<ToCell, { type: "wait" }>, "type">;

export type Cell =
  | { readonly at: "empty"; readonly id: string }
  | {
      readonly at: "backlog";
      readonly id: string;
      /** Oldest first, by (since, id); never empty. */
      readonly waiting: readonly Waiting[];
    };

export type CellMessage = ToCell;

export const emptyCell = (id: string): Cell => ({ at: "empty", id });

export const cellActor = (): Actor<Cell, CellMessage> => ({
  step,
  deadline: () => null,
  mayPassivate: (state) => state.at === "empty",
});

function step(state: Cell, m: CellMessage): Step<Cell> {
  switch (m.type) {
    case "wait":
      return isForPeople(m) ? wait(state, m) : [state];
    case "leave":
      return [leave(state, m.delivery)];
    case "free":
      return free(state, m);
  }
}

const waitingIn = (state: Cell): readonly Waiting[] => (state.at === "empty" ? [] : state.waiting);

const withWaiting = (id: string, waiting: readonly Waiting[]): Cell =>
  waiting.length === 0 ? { at: "empty", id } : { at: "backlog", id, waiting };

const isOlder = (a: Waiting, b: Waiting): boolean =>
  a.since < b.since || (a.since === b.since && a.delivery < b.delivery);

/**
 * Tests do not wait here: no courier who becomes free is for them, and no room is theirs. Their
 * robots wake them.
 */
const isForPeople = (m: Extract<ToCell, { type: "wait" }>): boolean => !isTestDelivery(m.delivery);

/**
 * The newer entry of a delivery replaces the older one. Beyond the bound the newest deliveries are
 * not kept.
 */
function wait(state: Cell, m: Extract<ToCell, { type: "wait" }>): Step<Cell> {
  const { delivery, since, size, vehicle, asked } = m;
  const entry: Waiting = { delivery, since, size, vehicle, asked };
  const before = waitingIn(state);
  if (before.some((one) => isSame(one, entry))) return [state];
  const others = before.filter((one) => one.delivery !== delivery);
  const place = others.findIndex((one) => isOlder(entry, one));
  const at = place < 0 ? others.length : place;
  if (at >= BACKLOG_MAX_DELIVERIES && others.length === before.length) {
    return [state, note(delivery, "not_kept", { cell: state.id })];
  }
  const waiting = [...others.slice(0, at), entry, ...others.slice(at)];
  const kept = withWaiting(state.id, waiting.slice(0, BACKLOG_MAX_DELIVERIES));
  const dropped = waiting.slice(BACKLOG_MAX_DELIVERIES);
  return [kept, ...dropped.map((one) => note(one.delivery, "not_kept", { cell: state.id }))];
}

const isSame = (a: Waiting, b: Waiting): boolean =>
  a.delivery === b.delivery &&
  a.since === b.since &&
  a.size === b.size &&
  a.vehicle === b.vehicle &&
  a.asked.length === b.asked.length &&
  a.asked.every((courier, i) => courier === b.asked[i]);

function leave(state: Cell, delivery: DeliveryId): Cell {
  const waiting = waitingIn(state);
  const others = waiting.filter((one) => one.delivery !== delivery);
  return others.length === waiting.length ? state : withWaiting(state.id, others);
}

/** One courier wakes one delivery: were all woken, they would ask for the same courier. */
function free(state: Cell, { courier, vehicle }: Extract<ToCell, { type: "free" }>): Step<Cell> {
  const first = waitingIn(state).find(
    (one) =>
      (one.vehicle === null || one.vehicle === vehicle) &&
      canCarry(vehicle, one.size) &&
      !one.asked.includes(courier),
  );
  if (first === undefined) return [state];
  return [
    leave(state, first.delivery),
    { do: "send", post: { kind: "delivery", id: first.delivery, msg: { type: "wake", courier } } },
  ];
}
