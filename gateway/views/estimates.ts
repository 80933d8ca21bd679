/**
 * When a parcel will be in the courier's bag and when handed over: promised at the create from the
 * forecast of the fleet, and computed anew from the courier's position and its other stops as soon
 * as there is a courier. Every estimate is a whole second, and none lies in the past.
 */
import { visits } from "../../engine/geo/route.ts";
import type { Errand, Visit } from "../../engine/geo/route.ts";
import { DROPOFF_HANDLING_S, PICKUP_HANDLING_S } from "../../engine/geo/travel-time.ts";
import type { TravelTime } from "../../engine/geo/travel-time.ts";
import type { LngLat, Vehicle } from "../../proto/geo.ts";
import type { Millis } from "../../proto/ids.ts";
import type { Status } from "../../proto/status.ts";
import { ASSIGNMENT_S } from "./eta-forecast.ts";
import type { EtaForecast, Trip } from "./eta-forecast.ts";

/**
 * Without an forecast the courier is expected this far from the pickup (straight line): between the
 * reach of wave 1 and 2.
 */
export const APPROACH_M = 1_200;
/** The vehicle of an unknown courier. */
const VEHICLE_EXPECTED: Vehicle = "bike";
const METRES_PER_DEGREE = 111_195;

export type Estimates = { readonly pickupAt: Millis; readonly arrivalAt: Millis };

/** The promise of a create. `longestWaitS`: how long it would be searched for. */
export function promise(
  parts: { readonly travel: TravelTime; readonly forecast: Pick<EtaForecast, "expect"> },
  trip: Trip,
  longestWaitS: number,
  now: Millis,
): Estimates {
  const expected = parts.forecast.expect(trip);
  const at = (seconds: number): Millis => wholeSecond(now + seconds * 1000);
  if (expected?.kind === "couriers") {
    return { pickupAt: at(expected.pickedUpS), arrivalAt: at(expected.deliveredS) };
  }
  const waitS = Math.min(expected?.waitS ?? 0, longestWaitS);
  const vehicle = trip.vehicle ?? VEHICLE_EXPECTED;
  const from = { lng: trip.pickup.lng, lat: trip.pickup.lat - APPROACH_M / METRES_PER_DEGREE };
  const there = ASSIGNMENT_S + waitS + parts.travel.estimateS(from, trip.pickup, vehicle);
  const readyS = trip.readyAt === null ? 0 : (trip.readyAt - now) / 1000;
  const pickedUpS = Math.max(there, readyS) + PICKUP_HANDLING_S;
  const tripS = parts.travel.estimateS(trip.pickup, trip.dropoff, vehicle) + DROPOFF_HANDLING_S;
  return { pickupAt: at(pickedUpS), arrivalAt: at(pickedUpS + tripS) };
}

/** What an estimate is computed from. */
export type Underway = {
  readonly id: string;
  readonly status: Status;
  readonly pickup: LngLat;
  readonly dropoff: LngLat;
  readonly vehicle: Vehicle | null;
  readonly readyAt: Millis | null;
  readonly promised: Estimates;
  /** What its courier carries, this delivery included or not. */
  readonly carried: readonly Errand[];
};

/** Null where the moment is past or will not come. */
export type CurrentEstimates = {
  readonly pickupAt: Millis | null;
  readonly arrivalAt: Millis | null;
};

/** The estimates as they stand. `from`: the courier's position and its time, if known. */
export function current(
  travel: TravelTime,
  d: Underway,
  from: (LngLat & { readonly at: Millis }) | null,
  now: Millis,
): CurrentEstimates {
  if (d.status !== "pending" && d.status !== "assigned" && d.status !== "picked_up") {
    return { pickupAt: null, arrivalAt: null };
  }
  const vehicle = d.vehicle ?? VEHICLE_EXPECTED;
  const isInBag = d.status === "picked_up";
  if (from === null || d.status === "pending") {
    const { pickupAt, arrivalAt } = d.promised;
    const nextAt = notPast(pickupAt, now);
    if (isInBag) return { pickupAt: null, arrivalAt: notPast(arrivalAt, now) };
    const lateMs = nextAt - pickupAt;
    return { pickupAt: nextAt, arrivalAt: notPast(arrivalAt + Math.max(0, lateMs), now) };
  }
  const readyS = Math.max(0, ((d.readyAt ?? 0) - from.at) / 1000);
  const own = { id: d.id, pickup: isInBag ? null : d.pickup, dropoff: d.dropoff, readyS };
  // What else it carries may be some seconds old; of this delivery the row knows best.
  const errands = [...d.carried.filter(({ id }) => id !== d.id), own];
  const visit = visits(travel, from, vehicle, errands).get(d.id) as Visit;
  const at = (seconds: number): Millis => notPast(from.at + seconds * 1000, now);
  return {
    pickupAt: visit.pickedUpS === null ? null : at(visit.pickedUpS),
    arrivalAt: at(visit.deliveredS),
  };
}

const wholeSecond = (at: Millis): Millis => Math.ceil(at / 1000) * 1000;

/**
 * A moment that has passed becomes the end of this minute, so that it changes (and the ETag with
 * it) once a minute.
 */
const notPast = (at: Millis, now: Millis): Millis =>
  at > now ? wholeSecond(at) : Math.ceil((now + 1) / 60_000) * 60_000;
