/**
 * All known points of one street, for one question: where do two streets come together? Lists of
 * intersections have gaps, above all at wide streets that meet several others in one place (in the
 * list at hand Market St has no crossing with 3rd, 4th, Powell, Grant, Stockton, Church and
 * others). Where the list says nothing, a crossing of one street close to a house or crossing of
 * the other says it.
 *
 * 35 m finds all of those; of 96 pairs of parallel streets one block apart, which never meet, it
 * believes 5 because of misplaced houses. Houses alone are not enough: then it would believe 17 of
 * them.
 */
import { DEGREE_RAD, distanceM, EARTH_RADIUS_M } from "../../actors/geo.ts";
import type { LngLat } from "../../proto/geo.ts";

const MEET_MAX_M = 35;
const MEET_MAX_DEG = MEET_MAX_M / (EARTH_RADIUS_M * DEGREE_RAD);

export type StreetPoints = {
  readonly crossings: readonly LngLat[];
  /** Crossings and houses by rising latitude, so that a search looks at a narrow band only. */
  readonly all: readonly LngLat[];
};

export const NO_STREET_POINTS: StreetPoints = { crossings: [], all: [] };

export const streetPointsOf = (
  crossings: readonly LngLat[],
  houses: readonly LngLat[],
): StreetPoints => ({
  crossings,
  all: [...crossings, ...houses].sort((a, b) => a.lat - b.lat),
});

type Meeting = { readonly point: LngLat; readonly apartM: number };

/** Half way between the nearest points of two streets, or null when they do not seem to meet. */
export function meetingOf(a: StreetPoints, b: StreetPoints): LngLat | null {
  const found = [meeting(a.crossings, b.all), meeting(b.crossings, a.all)];
  let nearest: Meeting | null = null;
  for (const m of found) {
    if (m !== null && (nearest === null || m.apartM < nearest.apartM)) nearest = m;
  }
  return nearest?.point ?? null;
}

function meeting(crossings: readonly LngLat[], others: readonly LngLat[]): Meeting | null {
  let nearest: Meeting | null = null;
  for (const p of crossings) {
    const reachLng = MEET_MAX_DEG / Math.cos(p.lat * DEGREE_RAD);
    for (let i = firstNorthOf(others, p.lat - MEET_MAX_DEG); i < others.length; i++) {
      const q = others[i];
      if (q === undefined || q.lat > p.lat + MEET_MAX_DEG) break;
      if (Math.abs(q.lng - p.lng) > reachLng) continue;
      const apartM = distanceM(p, q);
      if (apartM > (nearest?.apartM ?? MEET_MAX_M)) continue;
      nearest = { apartM, point: { lng: (p.lng + q.lng) / 2, lat: (p.lat + q.lat) / 2 } };
    }
  }
  return nearest;
}

function firstNorthOf(points: readonly LngLat[], lat: number): number {
  let low = 0;
  let high = points.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((points[middle]?.lat ?? Infinity) < lat) low = middle + 1;
    else high = middle;
  }
  return low;
}
