/**
 * A city for those who have no data: streets in a grid, three busy quarters, couriers who ride
 * around them corner by corner and stop now and then, deliveries of a few kilometres. Everything
 * follows from the seed.
 */
import type { LngLat } from "../../proto/geo.ts";
import { exponential, normal, seeded } from "./random.ts";
import type { Random } from "./random.ts";
import { shifted } from "./world.ts";
import type { Place, Trace, World } from "./world.ts";

const CENTRE: LngLat = { lng: -122.425, lat: 37.775 };
/** Busy quarters: metres east and north of the centre, and how far they spread. */
const QUARTERS = [
  { eastM: 0, northM: 0, spreadM: 700 },
  { eastM: 1_600, northM: 1_200, spreadM: 500 },
  { eastM: -300, northM: -1_700, spreadM: 600 },
] as const;
const BLOCK_M = 110;
const REACH_M = 3_500;
const DROPOFF_MEAN_M = 2_300;
const WANDER_MPS = 4;
const PAUSE_MEAN_S = 90;

type Spot = { eastM: number; northM: number };

const snapped = (metres: number): number =>
  Math.round(Math.max(-REACH_M, Math.min(REACH_M, metres)) / BLOCK_M) * BLOCK_M;

function busySpot(random: Random): Spot {
  const quarter = QUARTERS[Math.floor(random() * QUARTERS.length)] ?? QUARTERS[0];
  return {
    eastM: snapped(quarter.eastM + normal(random) * quarter.spreadM),
    northM: snapped(quarter.northM + normal(random) * quarter.spreadM),
  };
}

/**
 * Rides from corner to corner towards a busy spot, first east or west, then north or south; stops;
 * the next.
 */
function wandering(random: Random, startS: number): Trace {
  let here = busySpot(random);
  let goal = here;
  let now = startS;
  let restUntil = startS + exponential(random, PAUSE_MEAN_S);
  const move = (seconds: number): void => {
    let metres = seconds * WANDER_MPS;
    for (const axis of ["eastM", "northM"] as const) {
      const gap = goal[axis] - here[axis];
      const step = Math.sign(gap) * Math.min(Math.abs(gap), metres);
      here = { ...here, [axis]: here[axis] + step };
      metres -= Math.abs(step);
    }
  };
  return {
    at: (worldS) => {
      const from = Math.max(now, restUntil);
      if (worldS > from) move(worldS - from);
      now = Math.max(now, worldS);
      if (now >= restUntil && here.eastM === goal.eastM && here.northM === goal.northM) {
        goal = busySpot(random);
        restUntil = now + exponential(random, PAUSE_MEAN_S);
      }
      return shifted(CENTRE, here.eastM, here.northM);
    },
  };
}

export type MadeWorldOptions = {
  readonly couriers: number;
  readonly ordersPerDay: number;
  readonly seed: number;
  /** World time at which the replay begins, seconds since midnight. */
  readonly startS: number;
};

export function makeWorld(options: MadeWorldOptions): World {
  const place = (spot: Spot): Place => ({
    ...shifted(CENTRE, spot.eastM, spot.northM),
    address: null,
  });
  return {
    name: "a made-up city",
    notes: [
      "No data was given (--data): streets are a grid, couriers wander between three busy quarters, and deliveries are spread evenly over the day.",
    ],
    traces: Array.from({ length: options.couriers }, (_, i) =>
      wandering(seeded(options.seed * 7_919 + i), options.startS),
    ),
    ordersPerS: () => options.ordersPerDay / 86_400,
    order: (_, random) => {
      const from = busySpot(random);
      const distance = 300 + exponential(random, DROPOFF_MEAN_M - 300);
      const angle = random() * 2 * Math.PI;
      const to = {
        eastM: snapped(from.eastM + Math.cos(angle) * distance),
        northM: snapped(from.northM + Math.sin(angle) * distance),
      };
      return { origin: place(from), destination: place(to) };
    },
  };
}
