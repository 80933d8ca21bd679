/** What the report's measures mean, on tales small enough to reckon by hand. */
import { expect, test } from "vitest";
import { etaErrorsS, reasonsOf, samplesOf } from "./figures.ts";
import { memoryByMinute } from "./memory.ts";
import type { Sample } from "./memory.ts";
import { curve, errorSummary, histogram, perStep, summary } from "./stats.ts";
import { parseMetrics } from "./system.ts";
import { Tales } from "./tales.ts";
import type { Tale } from "./tales.ts";

function tale(more: Partial<Tale>): Tale {
  return Object.assign(new Tales().of("del_1"), more);
}

test("the system's own share leaves out how long the courier thought about it", () => {
  const one = tale({
    createSentAt: 0,
    createdAt: 30,
    firstOfferAt: 50,
    acceptSentAt: 6_000,
    acceptedAt: 6_010,
  });
  const samples = samplesOf([one]);
  expect(samples.ownShareS[0]).toBeCloseTo(0.06);
  expect(samples.firstOfferS).toEqual([0.02]);
  expect(samples.assignmentS).toEqual([5.98]);
});

test("an offer that overtakes the answer of its create counts as no waiting", () => {
  expect(samplesOf([tale({ createdAt: 30, firstOfferAt: 25 })]).firstOfferS).toEqual([0]);
});

test("the unfilled are told by their reasons, and no others", () => {
  const unfilled = { status: "unfilled", reason: "no_courier_free" } as const;
  const tales = [
    tale(unfilled),
    tale(unfilled),
    tale({ status: "unfilled", reason: "search_deadline" }),
    tale({ status: "canceled", reason: "customer" }),
    tale({ status: "open", reason: "waiting_at_end" }),
  ];
  expect(reasonsOf(tales, "unfilled")).toEqual({ no_courier_free: 2, search_deadline: 1 });
});

test("an estimate is held against the truth in world seconds", () => {
  const one = tale({ status: "delivered", pickedUpAt: 31_000, endedAt: 61_000 });
  one.estimates.create = { madeAt: 1_000, pickupAt: 301_000, arrivalAt: 501_000 };
  // Ten times faster: the pickup came after 300 world seconds as promised, the arrival 100 later
  // than promised.
  expect(etaErrorsS([one], "pickup at create", 10)).toEqual([0]);
  expect(etaErrorsS([one], "arrival at create", 10)).toEqual([-100]);
  expect(etaErrorsS([one], "arrival at pickup", 10)).toEqual([]);
});

test("percentiles are values that occurred", () => {
  const values = Array.from({ length: 100 }, (_, i) => i + 1);
  expect(summary(values)).toEqual({ n: 100, mean: 50.5, p50: 50, p95: 95, p99: 99, max: 100 });
  expect(summary([]).p50).toBeNull();
  expect(errorSummary([-400, 100, 200])).toMatchObject({ medianAbsS: 200, within5Min: 0.667 });
});

test("curves, bins and steps keep every value", () => {
  expect(curve([3, 1, 2])).toEqual([
    [1, 2, 3],
    [1 / 3, 2 / 3, 1],
  ]);
  expect(histogram([-5, 0, 5, 99], 0, 20, 10)).toEqual([
    [5, 15],
    [3, 1],
  ]);
  expect(perStep([0, 999, 1_000, 9_999], 0, 1_000, 2)).toEqual([2, 1]);
});

test("memory stands beside the open deliveries, a mean for each minute", () => {
  const MIB = 1_048_576;
  const sample = (at: number, open: number, mib: number): Sample => ({
    ...{ at, open, onShift: 1, busy: 1, connected: 1, gateway: null },
    node: { resident: mib * MIB, heap: (mib * MIB) / 2 },
  });
  const samples = [sample(-1, 9, 9), sample(0, 10, 100), sample(59_999, 20, 120)];
  expect(memoryByMinute([...samples, sample(60_000, 30, 140)], 0)).toEqual([
    { minute: 1, open: 15, node: 110, nodeHeap: 55, gateway: null, gatewayHeap: null },
    { minute: 2, open: 30, node: 140, nodeHeap: 70, gateway: null, gatewayHeap: null },
  ]);
});

test("metrics are read by name and labels", () => {
  const metrics = parseMetrics('# HELP a b\na_total{code="x y"} 3\nb 1.5\n');
  expect([metrics.get('a_total{code="x y"}'), metrics.get("b")]).toEqual([3, 1.5]);
});
