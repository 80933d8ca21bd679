import { expect, test } from "vitest";
import type { DeliveryFacts, EventFacts } from "../check/rules.ts";
import { unorderedDeliveries } from "./delivery-model.ts";
import type { Outcome, Request, Verb } from "./history.ts";

const ok: Outcome = { is: "ok" };
const lost: Outcome = { is: "unknown", code: "unavailable" };
const no = (code: string): Outcome => ({ is: "refused", code });
const ID = "del_1";

/** A request from `sentAt` to `endedAt`. */
function request(
  verb: Verb,
  who: string,
  [sentAt, endedAt]: readonly [number, number],
  outcome: Outcome = ok,
  more: Partial<Request> = {},
): Request {
  return {
    verb,
    who,
    sentAt,
    endedAt,
    outcome,
    delivery: ID,
    status: null,
    courier: null,
    ...more,
  };
}
const created = request("create", "cus", [0, 1]);
const picks = (who: string, at: readonly [number, number], outcome = ok): Request =>
  request("status", who, at, outcome, { status: "picked_up" });
const gives = (who: string, at: readonly [number, number], outcome = ok): Request =>
  request("status", who, at, outcome, { status: "delivered" });
const reads = (at: readonly [number, number], status: string, courier: string | null = null) =>
  request("read", "cus", at, ok, { status, courier });

/** The verdict on requests that end in this row, with these events. */
function verdict(
  requests: readonly Request[],
  status: DeliveryFacts["status"],
  courier: string | null,
  events: readonly Partial<EventFacts>[] = [],
): string {
  const row = { id: ID, version: 1, status, statusReason: null, courier, endedAt: null };
  const { bad } = unorderedDeliveries(requests, {
    deliveries: new Map([[ID, row]]),
    events: new Map([[ID, events as EventFacts[]]]),
  });
  return bad[0]?.verdict ?? "linearizable";
}

test("a delivery's usual life is linearizable", () => {
  const life = [
    created,
    request("accept", "a", [2, 4]),
    request("accept", "b", [3, 5], no("delivery_taken")),
    reads([5, 6], "assigned", "a"),
    picks("a", [6, 7]),
    gives("a", [8, 9]),
    reads([10, 11], "delivered"),
  ];
  expect(verdict(life, "delivered", "a")).toBe("linearizable");
});

test("overlapping requests may take effect in either order, others may not", () => {
  const overlap = [created, request("accept", "a", [2, 9]), reads([3, 4], "pending")];
  expect(verdict(overlap, "assigned", "a")).toBe("linearizable");
  const apart = [created, request("accept", "a", [2, 3]), reads([4, 5], "pending")];
  expect(verdict(apart, "assigned", "a")).toBe("not");
});

test("two couriers told yes is no order (D1)", () => {
  const both = [created, request("accept", "a", [2, 3]), request("accept", "b", [2, 4])];
  expect(verdict(both, "assigned", "b")).toBe("not");
});

test("two couriers told yes is fine where the events tell of a replacement", () => {
  const both = [created, request("accept", "a", [2, 3]), request("accept", "b", [8, 9])];
  const event = { type: "reassigned", status: "assigned" };
  const replaced = [{ ...event, reason: "courier_dark" }];
  expect(verdict(both, "assigned", "b", replaced)).toBe("linearizable");
  expect(verdict(both, "assigned", "b", [{ ...event, reason: null }])).toBe("not");
});

test("an accept that was acknowledged and is gone is no order", () => {
  const accepted = [created, request("accept", "a", [2, 3])];
  expect(verdict(accepted, "pending", null)).toBe("not");
});

test("a create that is asked for again under its key changes nothing", () => {
  const both = [created, request("accept", "a", [2, 3]), request("create", "cus", [6, 7])];
  expect(verdict(both, "assigned", "a")).toBe("linearizable");
  expect(verdict(both, "pending", null)).toBe("not");
});

test("many reads at once, as on a slow machine, are put into order all the same", () => {
  const before = Array.from({ length: 20 }, (_, i) => reads([2 + i / 100, 60], "pending"));
  const after = Array.from({ length: 20 }, (_, i) => reads([3 + i / 100, 61], "assigned", "a"));
  const refused = ["b", "c", "d", "e", "f"].map((who) =>
    request("accept", who, [4, 62], no("delivery_taken")),
  );
  const unknown = ["g", "h"].map((who) => request("accept", who, [5, 63], lost));
  const all = [created, ...before, ...after, ...refused, ...unknown];
  const taken = [...all, request("accept", "a", [6, 32])];
  expect(verdict(taken, "assigned", "a")).toBe("linearizable");
  expect(verdict(all, "assigned", "a")).toBe("not");
});

test("a create that was acknowledged and is gone is no order", () => {
  const { bad } = unorderedDeliveries([created], { deliveries: new Map(), events: new Map() });
  expect(bad).toEqual([{ delivery: ID, verdict: "not" }]);
});

test("a status that was acknowledged and lost is no order (D5)", () => {
  const reported = [created, request("accept", "a", [2, 3]), picks("a", [4, 5])];
  expect(verdict(reported, "assigned", "a")).toBe("not");
});

test("an unknown accept may have been done at any later moment, or never", () => {
  const unknown = [created, request("accept", "a", [2, 3], lost)];
  expect(verdict(unknown, "assigned", "a")).toBe("linearizable");
  expect(verdict(unknown, "pending", null)).toBe("linearizable");
  const late = [...unknown, reads([5, 6], "pending"), reads([7, 8], "assigned", "a")];
  expect(verdict(late, "assigned", "a")).toBe("linearizable");
  const back = [...unknown, reads([5, 6], "assigned", "a"), reads([7, 8], "pending")];
  expect(verdict(back, "pending", null)).toBe("not");
});

test("an unknown accept cannot have been done before it was sent", () => {
  const early = [created, reads([2, 3], "assigned", "a"), request("accept", "a", [4, 5], lost)];
  expect(verdict(early, "assigned", "a")).toBe("not");
});

test("a refusal that was wrong is no order", () => {
  const refused = [created, request("accept", "a", [2, 3], no("delivery_taken"))];
  expect(verdict(refused, "pending", null)).toBe("not");
  const late = [created, request("cancel", "cus", [2, 3], no("wrong_status"))];
  expect(verdict(late, "pending", null)).toBe("not");
  expect(
    verdict([created, request("accept", "a", [2, 3], no("courier_busy"))], "pending", null),
  ).toBe("linearizable");
});

test("a cancel is kept, and beats an accept that comes later", () => {
  const canceled = [
    created,
    request("cancel", "cus", [2, 3]),
    request("accept", "a", [4, 5], no("delivery_over")),
  ];
  expect(verdict(canceled, "canceled", null)).toBe("linearizable");
  expect(verdict([created, request("cancel", "cus", [2, 3])], "pending", null)).toBe("not");
});

test("what ends by itself ends only if an event says so", () => {
  expect(verdict([created], "unfilled", null)).toBe("not");
  const ended = [{ type: "unfilled", status: "unfilled" }];
  expect(verdict([created], "unfilled", null, ended)).toBe("linearizable");
});

test("a delivery whose create was never answered is not judged", () => {
  const unknown = request("create", "cus", [0, 1], lost);
  const facts = { deliveries: new Map(), events: new Map() };
  expect(unorderedDeliveries([unknown], facts)).toEqual({ judged: 0, bad: [] });
});
