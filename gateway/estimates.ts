/**
 * When a courier will be at the pickup and at the dropoff: promised at the create, and computed anew from the courier's
 * position as soon as there is one. Every estimate is a whole second, and none lies in the past.
 */
import { DROPOFF_HANDLING_S, PICKUP_HANDLING_S } from "../engine/geo/travel-time.ts";
import type { TravelTime } from "../engine/geo/travel-time.ts";
import type { LngLat, Vehicle } from "../proto/geo.ts";
import type { Millis } from "../proto/ids.ts";
import type { Status } from "../proto/status.ts";

/** From the create to the accept: people need 15 to 30 s for an offer, and not everybody takes the first. */
export const ASSIGNMENT_S = 60;
/** The courier who accepts is expected this far from the pickup (straight line): between the reach of wave 1 and 2. */
export const APPROACH_M = 1_200;
/** The vehicle of an unknown courier. */
const VEHICLE_EXPECTED: Vehicle = "bike";
const METRES_PER_DEGREE = 111_195;

export type Estimates = { readonly pickupAt: Millis; readonly arrivalAt: Millis };

/** The promise of a create. `vehicle`: required by the customer, or null. */
export function promise(
  travel: TravelTime,
  trip: {
    readonly pickup: LngLat;
    readonly dropoff: LngLat;
    readonly vehicle: Vehicle | null;
    readonly readyAt: Millis | null;
  },
  now: Millis,
): Estimates {
  const vehicle = trip.vehicle ?? VEHICLE_EXPECTED;
  const from = { lng: trip.pickup.lng, lat: trip.pickup.lat - APPROACH_M / METRES_PER_DEGREE };
  const approachS = ASSIGNMENT_S + travel.estimateS(from, trip.pickup, vehicle);
  const pickupAt = wholeSecond(Math.max(now + approachS * 1000, trip.readyAt ?? 0));
  const tripS = PICKUP_HANDLING_S + travel.estimateS(trip.pickup, trip.dropoff, vehicle);
  return { pickupAt, arrivalAt: wholeSecond(pickupAt + (tripS + DROPOFF_HANDLING_S) * 1000) };
}

/** What an estimate is computed from. */
export type Underway = {
  readonly status: Status;
  readonly pickup: LngLat;
  readonly dropoff: LngLat;
  readonly vehicle: Vehicle | null;
  readonly readyAt: Millis | null;
  readonly promised: Estimates;
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
  const handOverS = DROPOFF_HANDLING_S;
  if (d.status === "picked_up") {
    if (from === null) return { pickupAt: null, arrivalAt: notPast(d.promised.arrivalAt, now) };
    const restS = travel.estimateS(from, d.dropoff, vehicle) + handOverS;
    return { pickupAt: null, arrivalAt: notPast(from.at + restS * 1000, now) };
  }
  const legS = PICKUP_HANDLING_S + travel.estimateS(d.pickup, d.dropoff, vehicle) + handOverS;
  const reachedAt =
    d.status === "assigned" && from !== null
      ? Math.max(from.at + travel.estimateS(from, d.pickup, vehicle) * 1000, d.readyAt ?? 0)
      : d.promised.pickupAt;
  const pickupAt = notPast(reachedAt, now);
  return { pickupAt, arrivalAt: notPast(pickupAt + legS * 1000, now) };
}

const wholeSecond = (at: Millis): Millis => Math.ceil(at / 1000) * 1000;

/** A moment that has passed becomes the end of this minute, so that it changes (and the ETag with it) once a minute. */
const notPast = (at: Millis, now: Millis): Millis =>
  at > now ? wholeSecond(at) : Math.ceil((now + 1) / 60_000) * 60_000;
