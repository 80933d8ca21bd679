/**
 * The checker must see each kind of broken promise; every test breaks one thing in facts that are
 * otherwise sound.
 */
import { describe, expect, test } from "vitest";
import { checkFacts } from "./rules.ts";
import type { CourierFacts, DeliveryFacts, EventFacts, Facts } from "./rules.ts";

const DELIVERY = "del_1";
const types = ["created", "assigned", "picked_up", "delivered"];
const statuses = ["pending", "assigned", "picked_up", "delivered"];

const event = (number: number, more: Partial<EventFacts> = {}): EventFacts => ({
  delivery: DELIVERY,
  number,
  type: types[number - 1] ?? "delivered",
  status: statuses[number - 1] ?? "delivered",
  courier: number === 1 ? null : "cur_1",
  reason: null,
  at: number * 60_000,
  ...more,
});
const row = (more: Partial<DeliveryFacts> = {}): DeliveryFacts => ({
  id: DELIVERY,
  version: 4,
  status: "delivered",
  statusReason: null,
  courier: "cur_1",
  endedAt: 240_000,
  ...more,
});
const life = [event(1), event(2), event(3), event(4)];

function check(
  more: {
    rows?: DeliveryFacts[];
    events?: EventFacts[];
    couriers?: CourierFacts[];
    acknowledged?: Partial<Facts["acknowledged"]>;
  } = {},
): string[] {
  const rows = more.rows ?? [row()];
  const couriers = more.couriers ?? [{ id: "cur_1", capacity: 1, load: 0 }];
  const events = new Map<string, EventFacts[]>();
  for (const one of more.events ?? life) {
    events.set(one.delivery, [...(events.get(one.delivery) ?? []), one]);
  }
  const report = checkFacts({
    deliveries: new Map(rows.map((one) => [one.id, one])),
    couriers: new Map(couriers.map((one) => [one.id, one])),
    events,
    acknowledged: { creates: [], accepts: [], statuses: [], cancels: [], ...more.acknowledged },
    eventsSince: null,
  });
  return report.violations.map(({ rule, text }) => `${rule} ${text}`);
}

test("a sound life breaks nothing", () => {
  const acknowledged = {
    creates: [DELIVERY],
    accepts: [{ delivery: DELIVERY, courier: "cur_1" }],
    statuses: [{ delivery: DELIVERY, status: "delivered" }],
  };
  expect(check({ acknowledged })).toEqual([]);
});

describe("D5", () => {
  test("a missing event is seen", () => {
    expect(check({ events: [event(1), event(2), event(4)] }).join()).toContain("after a gap");
  });
  test("a doubled event is seen", () => {
    expect(check({ events: [...life.slice(0, 2), ...life.slice(1)] }).join()).toContain("doubled");
  });
  test("a jump of the status is seen", () => {
    const events = [event(1), event(2, { status: "delivered", type: "delivered" })];
    expect(check({ events, rows: [row({ version: 2 })] })).toEqual([
      "D5 event 2 moves from pending to delivered",
    ]);
  });
  test("a row that is not where its last event is is seen", () => {
    expect(check({ events: life.slice(0, 3) }).join()).toContain("the last event picked_up at 3");
  });
  test("an acknowledged status that is in no event is seen", () => {
    const acknowledged = { statuses: [{ delivery: DELIVERY, status: "returned" }] };
    expect(check({ acknowledged })).toHaveLength(1);
  });
});

describe("D1", () => {
  test("an acknowledged accept that another courier has is seen", () => {
    const acknowledged = { accepts: [{ delivery: DELIVERY, courier: "cur_2" }] };
    expect(check({ acknowledged })[0]).toContain("D1 the accept of cur_2");
  });
  test("a replacement that was announced is no violation", () => {
    const events = [
      event(1),
      event(2, { courier: "cur_2" }),
      event(3, { type: "reassigned", status: "assigned", reason: "courier_dark" }),
    ];
    const rows = [row({ version: 3, status: "assigned", endedAt: null })];
    const couriers = [
      { id: "cur_1", capacity: 1, load: 1 },
      { id: "cur_2", capacity: 1, load: 0 },
    ];
    const acknowledged = { accepts: [{ delivery: DELIVERY, courier: "cur_2" }] };
    expect(check({ events, rows, couriers, acknowledged })).toEqual([]);
    const silent = [...events.slice(0, 2), { ...events[2]!, reason: null }];
    const found = check({ events: silent, rows, couriers, acknowledged }).join();
    expect(found).toContain("D1 event 3 gives it to cur_1, and no reason why");
  });
  test("a carried delivery without a courier is seen", () => {
    expect(check({ rows: [row({ courier: null })] }).join()).toContain("without a courier");
  });
});

describe("D2", () => {
  test("a load that is not what is carried is seen", () => {
    const couriers = [{ id: "cur_1", capacity: 1, load: 1 }];
    expect(check({ couriers })).toEqual(["D2 cur_1 has load 1 and carries 0"]);
  });
  const second = (shiftMs: number): EventFacts[] =>
    life.map((one) => ({ ...one, delivery: "del_2", at: one.at + shiftMs }));
  const rows = [row(), row({ id: "del_2" })];
  test("two at once for a courier who carries one are seen, though both are over", () => {
    const found = check({ rows, events: [...life, ...second(30_000)] });
    expect(found.join()).toContain("D2 cur_1 carried 2 of 1 at once");
  });
  test("one after the other is fine, and so is a tie within the precision of the times", () => {
    expect(check({ rows, events: [...life, ...second(120_000)] })).toEqual([]);
    expect(check({ rows, events: [...life, ...second(119_500)] })).toEqual([]);
  });
});

describe("D3", () => {
  test("an acknowledged create that is not there is seen", () => {
    expect(check({ acknowledged: { creates: ["del_9"] } })[0]).toContain("D3 was acknowledged");
  });
  test("a delivery that waits without a reason is seen", () => {
    const rows = [row({ version: 1, status: "pending", courier: null, endedAt: null })];
    expect(check({ rows, events: [event(1)] })).toEqual(["D3 is pending without a reason"]);
  });
  test("an acknowledged cancel that did not take place is seen", () => {
    expect(check({ acknowledged: { cancels: [DELIVERY] } })[0]).toContain("and is delivered");
  });
});
