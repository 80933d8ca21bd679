/** The standing check must see each loss that is planted (the simulator's claim rests on it). */
import { beforeEach, describe, expect, it } from "vitest";
import type { DeliveryEvent } from "../proto/events.ts";
import { SimClock } from "./clock.ts";
import { History } from "./history.ts";
import { Promises } from "./promises.ts";
import type { PromiseSources } from "./promises.ts";

type Event = Partial<DeliveryEvent>;
const SECOND = "2026-01-01T00:00:01.000Z";

let history: History;
let events: Event[];
let row: Record<string, unknown> | null;
let waiting: Set<string>;
let promises: Promises;

beforeEach(() => {
  history = new History(new SimClock(0), false);
  events = [
    { number: 1, type: "created", status: "pending", courier_id: null, at: SECOND },
    { number: 2, type: "assigned", status: "assigned", courier_id: "cur_1", at: SECOND },
  ];
  row = { version: 2, status: "assigned", courierId: "cur_1", assignedAt: Date.parse(SECOND) };
  waiting = new Set();
  promises = new Promises({
    history,
    store: { peek: () => row } as unknown as PromiseSources["store"],
    eventsOf: () => events as DeliveryEvent[],
    waitingIn: () => waiting,
  });
  promises.created("del_1", 201);
  promises.accepted("del_1", "cur_1", SECOND);
  promises.shown("del_1", 2, "assigned");
});

const violated = (): string | null => {
  promises.compare("now");
  return history.violation?.invariant ?? null;
};

describe("what clients were told", () => {
  it("holds as long as it is stored", () => {
    expect(violated()).toBeNull();
    expect(promises.compared).toBe(1);
  });

  it("is broken by a create that is nowhere, unless it was answered 202 and waits", () => {
    row = null;
    events = [];
    promises.created("del_2", 202);
    expect(violated()).toBe("D3");
    history.violation = null;
    promises = new Promises({
      ...{ history, eventsOf: () => [], waitingIn: () => waiting },
      store: { peek: () => null },
    });
    promises.created("del_2", 202);
    waiting.add("del_2");
    expect(violated()).toBeNull();
    waiting.clear();
    expect(violated()).toBe("D3");
  });

  it("forgives a create whose only copy lay on a disk that was lost", () => {
    promises = new Promises({
      ...{ history, eventsOf: () => [], waitingIn: () => waiting },
      store: { peek: () => null },
    });
    promises.created("del_2", 202);
    promises.lose(["del_2"]);
    expect(violated()).toBeNull();
  });

  it.each<[string, () => void]>([
    ["an accept that no event shows", () => promises.accepted("del_1", "cur_2", SECOND)],
    ["a status that no event shows", () => promises.hasStatus("del_1", "cur_1", "picked_up")],
    ["a cancel that no event shows", () => promises.canceled("del_1")],
    ["a version that never was", () => promises.shown("del_1", 3, "assigned")],
    ["another courier in the row", () => (row = { ...row, courierId: "cur_2" })],
  ])("is broken by %s", (_, breakIt) => {
    breakIt();
    expect(violated()).toBe("D1");
  });

  it("is broken by a row that is behind its events, and by times that run backwards", () => {
    row = { ...row, version: 1 };
    expect(violated()).toBe("D5");
    history.violation = null;
    row = { ...row, version: 2, pickedUpAt: Date.parse(SECOND) - 1 };
    expect(violated()).toBe("D5");
  });
});
