/** Times that are promised and times that are computed from the courier's position. */
import { describe, expect, it } from "vitest";
import { DROPOFF_HANDLING_S, PICKUP_HANDLING_S } from "../../engine/geo/travel-time.ts";
import type { TravelTime } from "../../engine/geo/travel-time.ts";
import { current, promise } from "./estimates.ts";
import type { Underway } from "./estimates.ts";
import { ASSIGNMENT_S } from "./eta-forecast.ts";
import type { Expectation } from "./eta-forecast.ts";

const NOW = Date.parse("2026-05-03T14:00:00Z");
const LONGEST_S = 900;
/** Every leg takes ten minutes. */
const travel: TravelTime = { estimateS: () => 600 };
const pickup = { lng: -122.4, lat: 37.78 };
const dropoff = { lng: -122.42, lat: 37.76 };
const trip = { pickup, dropoff, vehicle: null, size: "small", readyAt: null } as const;
const d: Underway = {
  id: "del_1",
  status: "pending",
  pickup,
  dropoff,
  vehicle: null,
  readyAt: null,
  promised: { pickupAt: NOW + 700_000, arrivalAt: NOW + 1_600_000 },
  carried: [],
};
const minutes = (ms: number | null): number | null => (ms === null ? null : (ms - NOW) / 60_000);
const promiseOf = (expected: Expectation | null, more: object = {}) => {
  const { pickupAt, arrivalAt } = promise(
    { travel, forecast: { expect: () => expected } },
    { ...trip, ...more },
    LONGEST_S,
    NOW,
  );
  return { pickupS: (pickupAt - NOW) / 1000, tripS: (arrivalAt - pickupAt) / 1000 };
};

describe("estimates", () => {
  it("promise assignment, approach, handling, trip and handing over", () => {
    const plain = promiseOf(null);
    expect(plain.pickupS).toBe(ASSIGNMENT_S + 600 + PICKUP_HANDLING_S);
    expect(plain.tripS).toBe(600 + DROPOFF_HANDLING_S);
    const later = promiseOf(null, { readyAt: NOW + 3_600_000 });
    expect(later.pickupS).toBe(3_600 + PICKUP_HANDLING_S);
  });

  it("promise what the couriers at hand can do, or the wait where there are none", () => {
    expect(promiseOf({ kind: "couriers", pickedUpS: 400, deliveredS: 1_000 })).toEqual({
      pickupS: 400,
      tripS: 600,
    });
    const plain = promiseOf(null).pickupS;
    expect(promiseOf({ kind: "backlog", waitS: 300 }).pickupS).toBe(plain + 300);
    expect(promiseOf({ kind: "backlog", waitS: 9_999 }).pickupS).toBe(plain + LONGEST_S);
  });

  it("start from where the courier was when, once it is on its way", () => {
    const from = { ...pickup, at: NOW - 60_000 };
    const assigned = current(travel, { ...d, status: "assigned" }, from, NOW);
    expect([minutes(assigned.pickupAt), minutes(assigned.arrivalAt)]).toEqual([12, 24]);
    const carried = current(travel, { ...d, status: "picked_up" }, from, NOW);
    expect([minutes(carried.pickupAt), minutes(carried.arrivalAt)]).toEqual([null, 11]);
  });

  it("count what the courier visits before", () => {
    const from = { ...pickup, at: NOW };
    const near = { lng: -122.401, lat: 37.78 };
    const other = { id: "del_2", pickup: null, dropoff: near, readyS: 0 };
    const far = { ...d, status: "picked_up", carried: [other] } as const;
    expect(minutes(current(travel, far, from, NOW).arrivalAt)).toBe(24);
    // What is known of this delivery itself may be older than its row.
    const stale = { id: d.id, pickup, dropoff, readyS: 0 };
    expect(minutes(current(travel, { ...far, carried: [stale, other] }, from, NOW).arrivalAt)).toBe(
      24,
    );
  });

  it("without a position are the promised ones, moved on while they pass", () => {
    const assigned = current(travel, { ...d, status: "assigned" }, null, NOW);
    expect(assigned).toEqual(d.promised);
    const late = current(travel, d, null, d.promised.pickupAt + 59_000);
    expect((late.arrivalAt as number) - (late.pickupAt as number)).toBe(900_000);
  });

  it("are never in the past, and then change once a minute", () => {
    const late = NOW + 3_600_001;
    const first = current(travel, d, null, late).pickupAt as number;
    expect(first).toBeGreaterThan(late);
    expect(current(travel, d, null, late + 1_000).pickupAt).toBe(first);
    expect(current(travel, d, null, late + 60_000).pickupAt).toBe(first + 60_000);
  });

  it("end with the delivery", () => {
    for (const status of ["delivered", "canceled", "unfilled", "returned"] as const) {
      expect(current(travel, { ...d, status }, null, NOW)).toEqual({
        pickupAt: null,
        arrivalAt: null,
      });
    }
  });
});
