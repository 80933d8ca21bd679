/**
 * The promises D1, D2, D3 and D5 as checks over what is durable: rows of deliveries and couriers,
 * numbered events, and (after a replay) what the server acknowledged. Pure: `load.ts` reads, this
 * judges.
 */
import { EVENT_TYPES, NEXT_STATUSES, STATUSES, isTerminal } from "../../proto/status.ts";
import type { EventType, Status } from "../../proto/status.ts";

export type DeliveryFacts = {
  readonly id: string;
  readonly version: number;
  readonly status: Status;
  readonly statusReason: string | null;
  readonly courier: string | null;
  /** When it ended, milliseconds; null while it has not. */
  readonly endedAt: number | null;
};
export type CourierFacts = {
  readonly id: string;
  readonly capacity: number;
  readonly load: number;
};
export type EventFacts = {
  readonly delivery: string;
  readonly number: number;
  readonly type: string;
  readonly status: string;
  readonly courier: string | null;
  /** Why it ended, or why its courier was replaced. */
  readonly reason: string | null;
  /** Milliseconds since 1970, of the server. */
  readonly at: number;
};
/** What clients were told; all of it must still be true. */
export type AcknowledgedFacts = {
  readonly creates: readonly string[];
  readonly accepts: readonly { readonly delivery: string; readonly courier: string }[];
  readonly statuses: readonly { readonly delivery: string; readonly status: string }[];
  readonly cancels: readonly string[];
};
export type Facts = {
  readonly deliveries: ReadonlyMap<string, DeliveryFacts>;
  readonly couriers: ReadonlyMap<string, CourierFacts>;
  /** By delivery, in the order of the stream. */
  readonly events: ReadonlyMap<string, readonly EventFacts[]>;
  readonly acknowledged: AcknowledgedFacts;
  /** Deliveries whose first events have left the stream by age: their numbers may begin later. */
  readonly eventsSince: number | null;
};

export type Violation = {
  readonly rule: "D1" | "D2" | "D3" | "D4" | "D5" | "D6";
  readonly delivery: string | null;
  readonly text: string;
};
export type CheckReport = {
  readonly deliveries: number;
  readonly couriers: number;
  readonly events: number;
  readonly violations: readonly Violation[];
  readonly notes: readonly string[];
};

/**
 * Two events of one courier this close in time may be recorded in either order: times are those of
 * statements, not commits.
 */
const TIE_MS = 1_000;

const ACTIVE: readonly string[] = ["assigned", "picked_up"];

export function checkFacts(facts: Facts): CheckReport {
  const violations: Violation[] = [];
  const notes: string[] = [];
  let events = 0;
  for (const row of facts.deliveries.values()) {
    const list = facts.events.get(row.id) ?? [];
    events += list.length;
    violations.push(...checkEvents(row, list, facts.eventsSince), ...checkRow(row));
  }
  for (const id of facts.events.keys()) {
    if (!facts.deliveries.has(id)) {
      violations.push({ rule: "D3", delivery: id, text: "has events and no row" });
    }
  }
  violations.push(...checkLoads(facts));
  const overTime = checkLoadsOverTime(facts);
  violations.push(...overTime.violations);
  if (overTime.ties > 0) {
    notes.push(
      `${overTime.ties} times a courier seemed over capacity for less than ${TIE_MS} ms by the events' times: the order of commits within that is not known.`,
    );
  }
  violations.push(...checkAcknowledged(facts));
  const { deliveries, couriers } = facts;
  return {
    deliveries: deliveries.size,
    couriers: couriers.size,
    events,
    violations: violations.toSorted((a, b) => (a.rule < b.rule ? -1 : 1)),
    notes,
  };
}

/**
 * D5: numbers 1..version without a gap or a double, moves along the state machine, the last one as
 * the row has it.
 */
function checkEvents(
  row: DeliveryFacts,
  list: readonly EventFacts[],
  since: number | null,
): Violation[] {
  const found: Violation[] = [];
  const bad = (text: string): void => void found.push({ rule: "D5", delivery: row.id, text });
  const cut = since !== null && (list[0]?.number ?? 1) > 1 && (list[0]?.at ?? 0) >= since;
  let expected = cut ? (list[0]?.number ?? 1) : 1;
  let status: Status | null = null;
  for (const event of list) {
    if (event.number !== expected) {
      const what = event.number < expected ? "is doubled or out of order" : "comes after a gap";
      bad(`event ${event.number} ${what}: ${expected} was expected`);
    }
    expected = event.number + 1;
    const next = event.status as Status;
    if (!STATUSES.includes(next) || !EVENT_TYPES.includes(event.type as EventType)) {
      bad(`event ${event.number} has an unknown type or status: ${event.type}, ${event.status}`);
    } else if (
      status === null ? !cut && next !== "pending" : !NEXT_STATUSES[status].includes(next)
    ) {
      bad(`event ${event.number} moves from ${status ?? "nothing"} to ${next}`);
    }
    if (event.type === "reassigned" && event.reason === null) {
      const text = `event ${event.number} gives it to ${event.courier}, and no reason why`;
      found.push({ rule: "D1", delivery: row.id, text });
    }
    status = next;
  }
  const last = list.at(-1);
  if (last === undefined) bad(`version ${row.version} and not one event`);
  else if (last.number !== row.version || last.status !== row.status) {
    bad(
      `the row is ${row.status} at version ${row.version}, the last event ${last.status} at ${last.number}`,
    );
  } else if (ACTIVE.includes(row.status) && last.courier !== row.courier) {
    found.push({
      rule: "D1",
      delivery: row.id,
      text: `the row's courier is ${row.courier}, the last event's ${last.courier}`,
    });
  }
  return found;
}

/** D1, D3: a carried delivery has a courier, one that waits says why, one that ended says when. */
function checkRow(row: DeliveryFacts): Violation[] {
  const found: Violation[] = [];
  const carried = ["assigned", "picked_up", "delivered", "returned"].includes(row.status);
  if (carried && row.courier === null) {
    found.push({ rule: "D1", delivery: row.id, text: `is ${row.status} without a courier` });
  }
  if (isTerminal(row.status) !== (row.endedAt !== null)) {
    found.push({
      rule: "D3",
      delivery: row.id,
      text: `is ${row.status} and ended at ${row.endedAt}`,
    });
  }
  const silent = row.status === "pending" || row.status === "unfilled";
  if (silent && row.statusReason === null) {
    found.push({ rule: "D3", delivery: row.id, text: `is ${row.status} without a reason` });
  }
  return found;
}

/** D2: the load of a courier is what it carries, and not more than it can. */
function checkLoads(facts: Facts): Violation[] {
  const carried = new Map<string, number>();
  for (const { status, courier } of facts.deliveries.values()) {
    if (!ACTIVE.includes(status) || courier === null) continue;
    carried.set(courier, (carried.get(courier) ?? 0) + 1);
  }
  const found: Violation[] = [];
  const bad = (text: string): void => void found.push({ rule: "D2", delivery: null, text });
  for (const { id, capacity, load } of facts.couriers.values()) {
    const count = carried.get(id) ?? 0;
    if (load !== count) bad(`${id} has load ${load} and carries ${count}`);
    if (count > capacity) bad(`${id} carries ${count} and can carry ${capacity}`);
  }
  for (const id of carried.keys()) if (!facts.couriers.has(id)) bad(`${id} carries and is unknown`);
  return found;
}

/** D2 at every moment, from the events: each takes or gives back one place of a courier. */
function checkLoadsOverTime(facts: Facts): { violations: Violation[]; ties: number } {
  const changes = new Map<string, Change[]>();
  const change = (courier: string, at: number, by: 1 | -1, delivery: string): void => {
    const list = changes.get(courier) ?? [];
    changes.set(courier, list);
    list.push({ at, by, delivery });
  };
  for (const [delivery, list] of facts.events) {
    let holder: string | null = null;
    for (const { type, status, courier, at } of list) {
      const next: string | null = ACTIVE.includes(status) ? (courier ?? holder) : null;
      if (next === holder && type !== "reassigned") continue;
      if (holder !== null) change(holder, at, -1, delivery);
      if (next !== null) change(next, at, 1, delivery);
      holder = next;
    }
  }
  const violations: Violation[] = [];
  let ties = 0;
  for (const [courier, list] of changes) {
    const capacity = facts.couriers.get(courier)?.capacity ?? 0;
    for (const excess of excesses(list, capacity)) {
      if (excess.ms <= TIE_MS) ties++;
      else violations.push(over(courier, excess.load, capacity, excess.delivery, excess.ms));
    }
  }
  return { violations, ties };
}

type Change = { readonly at: number; readonly by: 1 | -1; readonly delivery: string };
type Excess = { readonly load: number; readonly delivery: string; readonly ms: number };

/** The spans in which a courier carried more than `capacity`; one that has not ended is endless. */
function excesses(list: Change[], capacity: number): Excess[] {
  list.sort((a, b) => a.at - b.at || a.by - b.by);
  const found: Excess[] = [];
  let load = 0;
  let since: Change | null = null;
  for (const change of list) {
    load += change.by;
    if (load > capacity) since ??= change;
    else if (since !== null) {
      found.push({ load: load + 1, delivery: since.delivery, ms: change.at - since.at });
      since = null;
    }
  }
  if (since !== null) found.push({ load, delivery: since.delivery, ms: Number.POSITIVE_INFINITY });
  return found;
}

const over = (
  courier: string,
  load: number,
  capacity: number,
  delivery: string,
  ms: number,
): Violation => ({
  rule: "D2",
  delivery,
  text: `${courier} carried ${load} of ${capacity} at once for ${ms} ms, by the events`,
});

/** D1, D3, D5: what was said yes to is there, or its end or replacement is. */
function checkAcknowledged({ acknowledged, deliveries, events }: Facts): Violation[] {
  const found: Violation[] = [];
  const bad = (rule: Violation["rule"], delivery: string, text: string): void =>
    void found.push({ rule, delivery, text });
  const has = (delivery: string, wanted: (event: EventFacts) => boolean): boolean =>
    (events.get(delivery) ?? []).some(wanted);
  for (const id of acknowledged.creates) {
    if (!deliveries.has(id)) bad("D3", id, "was acknowledged and is not there");
  }
  for (const { delivery, courier } of acknowledged.accepts) {
    const assigned = has(
      delivery,
      (event) => event.courier === courier && ACTIVE.includes(event.status),
    );
    if (!assigned)
      bad("D1", delivery, `the accept of ${courier} was acknowledged and is in no event`);
    const now = deliveries.get(delivery)?.courier ?? null;
    if (now === courier || !assigned) continue;
    const list = events.get(delivery) ?? [];
    const from = list.findIndex((event) => event.courier === courier);
    const replaced = list.slice(from + 1).some(({ type }) => type === "reassigned");
    const ended = isTerminal(deliveries.get(delivery)?.status ?? "pending") && now === null;
    if (!replaced && !ended) bad("D1", delivery, `was ${courier}'s and is ${now}'s without a word`);
  }
  for (const { delivery, status } of acknowledged.statuses) {
    if (!has(delivery, (event) => event.status === status)) {
      bad("D5", delivery, `${status} was acknowledged and is in no event`);
    }
  }
  for (const delivery of acknowledged.cancels) {
    const status = deliveries.get(delivery)?.status;
    if (status !== "canceled") bad("D3", delivery, `was canceled, acknowledged, and is ${status}`);
  }
  return found;
}
