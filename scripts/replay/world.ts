/**
 * What a replay plays: where couriers would be by themselves, and when and where deliveries are
 * asked for. Two worlds exist: one made of real data (`data-world.ts`) and one made up
 * (`made-world.ts`). Time in here is world time, seconds since midnight; the runner decides how
 * fast it passes.
 */
import type { LngLat } from "../../proto/geo.ts";
import type { Random } from "./random.ts";

/** One courier's day. `at` is called with times that do not go back; null: off shift. */
export type Trace = { readonly at: (worldS: number) => LngLat | null };

/** `address`: as a person would write it; null where there is none. */
export type Place = LngLat & { readonly address: string | null };
export type Order = { readonly origin: Place; readonly destination: Place };

export type World = {
  readonly name: string;
  /**
   * What the reader of the report must know about the data and what was done to it, one sentence
   * each.
   */
  readonly notes: readonly string[];
  readonly traces: readonly Trace[];
  /** How many deliveries are asked for in a second of world time. */
  readonly ordersPerS: (worldS: number) => number;
  readonly order: (worldS: number, random: Random) => Order;
};

/** Metres of one degree of latitude; of longitude at the equator. */
export const DEGREE_M = 111_195;

/** `from` moved by `eastM`, `northM` metres; good for distances within a city. */
export const shifted = (from: LngLat, eastM: number, northM: number): LngLat => ({
  lng: from.lng + eastM / (DEGREE_M * Math.cos((from.lat * Math.PI) / 180)),
  lat: from.lat + northM / DEGREE_M,
});

/** The point `stepM` metres from `from` towards `to`, or `to` when it is nearer than that. */
export function towards(from: LngLat, to: LngLat, distance: number, stepM: number): LngLat {
  if (distance <= stepM || distance === 0) return to;
  const share = stepM / distance;
  return {
    lng: from.lng + (to.lng - from.lng) * share,
    lat: from.lat + (to.lat - from.lat) * share,
  };
}
