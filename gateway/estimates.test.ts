/** Times that are promised and times that are computed from the courier's position. */
import { describe, expect, it } from "vitest";
import { DROPOFF_HANDLING_S, PICKUP_HANDLING_S } from "../engine/geo/travel-time.ts";
import type { TravelTime } from "../engine/geo/travel-time.ts";
import { ASSIGNMENT_S, current, promise } from "./estimates.ts";
import type { Underway } from "./estimates.ts";

const NOW = Date.parse("2026-05-03T14:00:00Z");
/** Every leg takes ten minutes. */
const travel: TravelTime = { estimateS: () => 600 };
const pickup = { lng: -122.4, lat: 37.78 };
const dropoff = { lng: -122.42, lat: 37.76 };
const d: Underway = {
  status: "pending",
  pickup,
  dropoff,
  vehicle: null,
  readyAt: null,
  promised: { pickupAt: NOW + 700_000, arrivalAt: NOW + 1_600_000 },
};
const minutes = (ms: number | null): number | null => (ms === null ? null : (ms - NOW) / 60_000);

describe("estimates", () => {
  it("promise assignment, approach, handling, trip and handing over", () => {
    const trip = { pickup, dropoff, vehicle: null, readyAt: null };
    const { pickupAt, arrivalAt } = promise(travel, trip, NOW);
    expect((pickupAt - NOW) / 1000).toBe(ASSIGNMENT_S + 600);
    expect((arrivalAt - pickupAt) / 1000).toBe(PICKUP_HANDLING_S + 600 + DROPOFF_HANDLING_S);
    const readyAt = NOW + 3_600_000;
    expect(promise(travel, { ...trip, readyAt }, NOW).pickupAt).toBe(readyAt);
  });

  it("start from where the courier was when, once it is on its way", () => {
    const from = { ...pickup, at: NOW - 60_000 };
    const assigned = current(travel, { ...d, status: "assigned" }, from, NOW);
    expect([minutes(assigned.pickupAt), minutes(assigned.arrivalAt)]).toEqual([9, 24]);
    const carried = current(travel, { ...d, status: "picked_up" }, from, NOW);
    expect([minutes(carried.pickupAt), minutes(carried.arrivalAt)]).toEqual([null, 11]);
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
