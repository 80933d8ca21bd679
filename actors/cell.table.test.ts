/**
 * The full table of the cell's backlog, and its order, bound and fit. Cells as in
 * `delivery.table.test.ts`.
 */
import { describe, expect, it } from "vitest";
import { T0, courierId, deliveryId, drive, outcomeOf } from "../sim/drive.ts";
import type { DeliveryId } from "../proto/ids.ts";
import { BACKLOG_MAX_DELIVERIES } from "../proto/limits.ts";
import { cellActor, emptyCell } from "./cell.ts";
import type { Cell, CellMessage } from "./cell.ts";

const actor = cellActor();
const ANNA = courierId("anna");
const wait = (
  n: number,
  more: Partial<Extract<CellMessage, { type: "wait" }>> = {},
): Extract<CellMessage, { type: "wait" }> => ({
  type: "wait",
  delivery: deliveryId(n),
  since: T0 + n,
  size: "small",
  vehicle: null,
  asked: [],
  ...more,
});
const free = (vehicle: "bike" | "car" = "bike"): CellMessage => ({
  type: "free",
  courier: ANNA,
  vehicle,
});
const leave = (n: number): CellMessage => ({ type: "leave", delivery: deliveryId(n) });
const run = (...messages: readonly CellMessage[]) =>
  messages.reduce<Cell>((state, m) => actor.step(state, m, T0)[0], emptyCell("cell"));

const STATES: Record<Cell["at"], Cell> = { empty: emptyCell("cell"), backlog: run(wait(1)) };
const MESSAGES = {
  wait: wait(2),
  "wait, again": wait(1),
  "wait, more were asked": wait(1, { asked: [ANNA] }),
  leave: leave(1),
  "leave, another": leave(2),
  free: free(),
} as const satisfies Record<string, CellMessage>;

const TABLE: Record<Cell["at"], Record<keyof typeof MESSAGES, string>> = {
  empty: {
    wait: "backlog",
    "wait, again": "backlog",
    "wait, more were asked": "backlog",
    leave: "-",
    "leave, another": "-",
    free: "-",
  },
  backlog: {
    wait: "backlog",
    "wait, again": "-",
    "wait, more were asked": "backlog",
    leave: "empty",
    "leave, another": "-",
    free: "empty: send wake",
  },
};

const woken = (state: Cell, message: CellMessage): string | null => {
  const [, ...effects] = actor.step(state, message, T0);
  const [first] = effects;
  return first?.do === "send" ? first.post.id : null;
};

describe("the cell's backlog", () => {
  for (const [row, state] of Object.entries(STATES) as [Cell["at"], Cell][]) {
    it(`cell ${row}: every message does what the table says`, () => {
      const outcomes: Record<string, string> = {};
      for (const [column, message] of Object.entries(MESSAGES)) {
        const [next, ...effects] = actor.step(state, message, T0);
        outcomes[column] = outcomeOf(state, next, next.at, effects);
      }
      expect(outcomes).toEqual(TABLE[row]);
    });
  }

  it("a free courier wakes the oldest delivery, in whatever order they came", () => {
    expect(woken(run(wait(3), wait(1), wait(2)), free())).toBe(deliveryId(1));
  });

  it("one free courier wakes one delivery, and that one leaves the backlog", () => {
    const cell = drive(actor, run(wait(1), wait(2)));
    cell.send(free());
    cell.send(free());
    expect(cell.log.map((effect) => effect.do === "send" && effect.post.id)).toEqual([
      deliveryId(1),
      deliveryId(2),
    ]);
    expect(cell.state()).toEqual(emptyCell("cell"));
  });

  it("who was asked before, or has the wrong vehicle, does not wake a delivery", () => {
    const cell = run(
      wait(1, { asked: [ANNA] }),
      wait(2, { vehicle: "car" }),
      wait(3, { size: "large" }),
      wait(4),
    );
    expect(woken(cell, free("bike"))).toBe(deliveryId(4));
    expect(woken(cell, free("car"))).toBe(deliveryId(2));
  });

  it("a full backlog keeps the oldest, and the ledger says who is not kept", () => {
    let cell = emptyCell("cell");
    for (let n = 1; n <= BACKLOG_MAX_DELIVERIES; n++) [cell] = actor.step(cell, wait(n), T0);
    const [same, line] = actor.step(cell, wait(BACKLOG_MAX_DELIVERIES + 1), T0);
    expect(same).toBe(cell);
    expect(line).toMatchObject({ do: "ledger", delivery: deliveryId(BACKLOG_MAX_DELIVERIES + 1) });
    const [older, dropped] = actor.step(cell, wait(0), T0);
    expect(older.at === "backlog" && older.waiting[0]?.delivery).toBe(deliveryId(0));
    expect(dropped).toMatchObject({ do: "ledger", delivery: deliveryId(BACKLOG_MAX_DELIVERIES) });
  });

  it("keeps no tests: neither couriers nor room are theirs", () => {
    const test = wait(1, { delivery: "tst_005d0000000000000000001" as DeliveryId });
    expect(actor.step(emptyCell("cell"), test, T0)).toEqual([emptyCell("cell")]);
  });
});
