/**
 * How long a vehicle takes from one point to another. The interface is all the engine knows; the
 * provider here needs no map: great-circle distance, a detour factor, a speed, and the time lost at
 * both ends of a leg. It does not include handing over the parcel: that is the same for all
 * couriers and stands in the constants below, to be added where a time is promised to a customer.
 */
import { distanceM } from "../../actors/geo.ts";
import type { LngLat, Vehicle } from "../../proto/geo.ts";

export type TravelTime = {
  /** Seconds from `from` to `to`: finite, not negative, 0 for the same point. Never throws. */
  readonly estimateS: (from: LngLat, to: LngLat, vehicle: Vehicle) => number;
};

/**
 * From arriving at the pickup to leaving it with a parcel that is ready. An assumption; see the
 * note.
 */
export const PICKUP_HANDLING_S = 180;
/**
 * From standing at the dropoff to having handed over. Both numbers are for ready parcels. Couriers
 * who had to buy the goods first stood 15 minutes at the pickup (median of 3,300 deliveries in New
 * York, 2014); in the same data a bicycle's ride holds about 4 minutes that do not depend on
 * distance, half of which we count here.
 */
export const DROPOFF_HANDLING_S = 120;

/**
 * Road distance over straight distance. 1.2 to 1.4 in street grids; speeds below are fitted with
 * this one.
 */
export const DETOUR_FACTOR = 1.35;

/** A leg's start time counts in full from this straight distance on, and in proportion below it. */
const START_FULL_M = 500;

export type Pace = {
  /** Speed along the road once under way, metres a second. */
  readonly speedMps: number;
  /** Setting off, the first and last crossings, finding the door, seconds for each leg. */
  readonly startS: number;
};

/**
 * car: least mean absolute error, by a coarse grid, on a sixth of 120,000 taxi trips in San
 * Francisco (2008, 200 m and more, both ends in the city). Seen on all of them: absolute error
 * median 86 s, mean 124 s, 90 % below 264 s; 65 % within 2, 80 % within 3 and 92 % within 5
 * minutes; 30 s too low on average, since a few trips are very slow. One speed without a start time
 * is worse (6.5 m/s: mean 145 s, 89 % within 5 minutes).
 * bike: the same on a third of 46,733 subscribers' rides between bike-share docks there (January
 * 2018): mean absolute error 139 s, 61 s too low on average; fitted and seen on the same third.
 * walk: usual pedestrian design speed (1.2 to 1.4 m/s). scooter, van: too few trips to fit (43
 * each, New York 2014); there a scooter kept a car's pace and lost 2 minutes less at the ends, a
 * van was as a car.
 */
export const PACES: Readonly<Record<Vehicle, Pace>> = {
  walk: { speedMps: 1.35, startS: 0 },
  bike: { speedMps: 4.5, startS: 60 },
  scooter: { speedMps: 8.5, startS: 60 },
  car: { speedMps: 9.5, startS: 150 },
  van: { speedMps: 9, startS: 180 },
};

export type GreatCircleSettings = {
  /** 1 or more. */
  readonly detourFactor?: number;
  /** Replaces the pace of single vehicles. Speeds above 0. */
  readonly paces?: Partial<Record<Vehicle, Pace>>;
};

/** The provider without a map. Throws a RangeError on settings that make no sense. */
export function createGreatCircleTravel(settings: GreatCircleSettings = {}): TravelTime {
  const detour = settings.detourFactor ?? DETOUR_FACTOR;
  const paces = { ...PACES, ...settings.paces };
  if (!(detour >= 1 && Number.isFinite(detour))) throw new RangeError("detourFactor is below 1");
  for (const [vehicle, pace] of Object.entries(paces)) {
    if (!(pace.speedMps > 0 && pace.startS >= 0)) throw new RangeError(`bad pace of ${vehicle}`);
  }
  return {
    estimateS: (from, to, vehicle) => {
      const straightM = distanceM(from, to);
      const { speedMps, startS } = paces[vehicle];
      return startS * Math.min(1, straightM / START_FULL_M) + (straightM * detour) / speedMps;
    },
  };
}
