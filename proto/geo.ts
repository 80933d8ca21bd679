/**
 * Points and vehicles, the words every part shares about space. Only types and plain checks:
 * distances and H3 cells live in `actors/geo.ts`, which is the one place that calls h3-js.
 */

/** A WGS 84 point in degrees: `lng` in [-180, 180], `lat` in [-90, 90]. */
export type LngLat = { readonly lng: number; readonly lat: number };

/** A box in degrees; west <= east and south <= north (no box crosses the antimeridian). */
export type Box = {
  readonly west: number;
  readonly south: number;
  readonly east: number;
  readonly north: number;
};

/** What a courier moves with. Speeds stand in `engine/geo/travel-time.ts`. */
export const VEHICLES = ["walk", "bike", "scooter", "car", "van"] as const;
export type Vehicle = (typeof VEHICLES)[number];

/** How large the parcel is. */
export const PACKAGE_SIZES = ["small", "medium", "large"] as const;
export type PackageSize = (typeof PACKAGE_SIZES)[number];

/** Which vehicle carries which size: an envelope goes on foot, a crate does not go on a bike. */
export const CARRIES: Readonly<Record<PackageSize, readonly Vehicle[]>> = {
  small: ["walk", "bike", "scooter", "car", "van"],
  medium: ["bike", "scooter", "car", "van"],
  large: ["car", "van"],
};
