import { expect, test } from "vitest";
import type { DeliveryEvent } from "../../proto/events.ts";
import { EventOrder } from "./event-watch.ts";

const event = (delivery_id: string, number: number, at = 1_000): DeliveryEvent => ({
  id: `${delivery_id}-${number}`,
  delivery_id,
  number,
  type: "created",
  status: "pending",
  reason: null,
  courier_id: null,
  external_id: null,
  test: false,
  at: new Date(at).toISOString(),
});

test("each event of a delivery is told once, in its turn, and one that is early comes again", () => {
  const order = new EventOrder();
  const take = (delivery: string, number: number): string =>
    order.take(event(delivery, number), 1_100);
  expect([take("a", 1), take("b", 1), take("a", 3), take("a", 1)]).toEqual([
    "new",
    "new",
    "early",
    "repeat",
  ]);
  expect([take("a", 2), take("a", 3)]).toEqual(["new", "new"]);
});

test("it says how late events were told meanwhile, and who has not been told all", () => {
  const order = new EventOrder();
  order.take(event("a", 1, 1_000), 1_050);
  order.take(event("a", 2, 1_100), 9_100);
  order.take(event("b", 1, 9_000), 9_200);
  expect(order.latestMs(1_000, 2_000)).toBe(50);
  expect(order.latestMs(2_000, 10_000)).toBe(8_000);
  expect(order.latestMs(10_000, 20_000)).toBe(0);
  expect([order.hasToldSince(9_000), order.hasToldSince(9_001)]).toEqual([true, false]);
  const wanted = new Map([
    ["a", 2],
    ["b", 2],
    ["c", 1],
  ]);
  expect(order.missing(wanted)).toEqual(["b", "c"]);
});
