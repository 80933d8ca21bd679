/**
 * From an address to a point. An address that cannot be found is an outcome, not an error; a guess
 * is never returned as a find, because a courier would ride to it. The provider with a city's data
 * is in `city-geocoder.ts`; without data every address is answered `no_city_data`, and deliveries
 * need coordinates.
 */
import type { LngLat } from "../../proto/geo.ts";

export type GeocodeResult =
  | {
      readonly found: true;
      readonly point: LngLat;
      /** A known address; between or just beside known ones; where two streets meet. */
      readonly match: "exact" | "interpolated" | "intersection";
      /** What was understood, to be shown back: "123 Market St". */
      readonly label: string;
    }
  | { readonly found: false; readonly reason: "no_city_data" | "not_found" | "ambiguous" };

export type Geocoder = {
  /** Never throws, whatever the text. Synchronous: a few microseconds. */
  readonly geocode: (text: string) => GeocodeResult;
};

export const NO_CITY_GEOCODER: Geocoder = {
  geocode: () => ({ found: false, reason: "no_city_data" }),
};
