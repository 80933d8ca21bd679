/**
 * In which order a courier visits its stops, and when it is through with each: the nearest first, a
 * dropoff only after its pickup, as people on the road do it. Whoever plans tours better replaces
 * this function.
 */
import { distanceM } from "../../actors/geo.ts";
import type { LngLat, Vehicle } from "../../proto/geo.ts";
import { DROPOFF_HANDLING_S, PICKUP_HANDLING_S } from "./travel-time.ts";
import type { TravelTime } from "./travel-time.ts";

/**
 * A delivery to fetch and bring; `pickup` is null once it is in the bag. `readyS`: from now, 0 when
 * it is ready.
 */
export type Errand = {
  readonly id: string;
  readonly pickup: LngLat | null;
  readonly dropoff: LngLat;
  readonly readyS: number;
};
/** Seconds from now until it is in the bag (null: it is already) and handed over. */
export type Visit = { readonly pickedUpS: number | null; readonly deliveredS: number };

/** The visits of a courier who sets off now at `from`. */
export function visits(
  travel: TravelTime,
  from: LngLat,
  vehicle: Vehicle,
  errands: readonly Errand[],
): ReadonlyMap<string, Visit> {
  const done = new Map<string, Visit>();
  const pickedUp = new Map<string, number>();
  const open = [...errands];
  let here = from;
  let nowS = 0;
  const stopOf = (errand: Errand): LngLat =>
    errand.pickup === null || pickedUp.has(errand.id) ? errand.dropoff : errand.pickup;
  while (open.length > 0) {
    const next = nearest(open, here, stopOf);
    const errand = open[next] as Errand;
    const stop = stopOf(errand);
    nowS += travel.estimateS(here, stop, vehicle);
    here = stop;
    if (errand.pickup !== null && !pickedUp.has(errand.id)) {
      nowS = Math.max(nowS, errand.readyS) + PICKUP_HANDLING_S;
      pickedUp.set(errand.id, nowS);
      continue;
    }
    nowS += DROPOFF_HANDLING_S;
    done.set(errand.id, { pickedUpS: pickedUp.get(errand.id) ?? null, deliveredS: nowS });
    open.splice(next, 1);
  }
  return done;
}

function nearest(
  errands: readonly Errand[],
  here: LngLat,
  stopOf: (errand: Errand) => LngLat,
): number {
  let best = 0;
  let bestM = Number.POSITIVE_INFINITY;
  errands.forEach((errand, i) => {
    const metres = distanceM(here, stopOf(errand));
    if (metres < bestM) [best, bestM] = [i, metres];
  });
  return best;
}
