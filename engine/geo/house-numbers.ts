/**
 * The known house numbers of one side of a street, and the points between them. It knows no names.
 * A number between two known ones lies on the straight line between them; beyond the last known one
 * it is only accepted when it is nearly that one, since nobody knows where the street goes on.
 */
import { distanceM } from "../../actors/geo.ts";
import type { LngLat } from "../../proto/geo.ts";

/** The nearest known numbers on both sides may be this far apart; beyond, the list has a hole. */
const GAP_MAX_M = 600;
const GAP_MAX_NUMBERS = 300;
/** Beyond the last known number of a street: a few houses on. */
const BEYOND_MAX_NUMBERS = 20;

export type HousePoint = { readonly point: LngLat; readonly match: "exact" | "interpolated" };
export type Side = { readonly locate: (number: number) => HousePoint | null };

export const emptySide: Side = { locate: () => null };

/** A point from two CSV fields, or null when they hold none. */
export function pointOf(lat: string, lng: string): LngLat | null {
  const point = { lng: Number(lng), lat: Number(lat) };
  const valid = lat !== "" && lng !== "" && Math.abs(point.lat) <= 90 && Math.abs(point.lng) <= 180;
  return valid ? point : null;
}

/** The numbers of one parity (1: odd, 0: even), each at the median of its records. */
export function sideOf(records: ReadonlyMap<number, readonly LngLat[]>, parity: 0 | 1): Side {
  const numbers = [...records.keys()].filter((n) => n % 2 === parity).sort((a, b) => a - b);
  const points = numbers.map((n) => medianPoint(records.get(n) ?? []));
  return { locate: (number) => locate(number, numbers, points) };
}

function locate(
  number: number,
  numbers: readonly number[],
  points: readonly LngLat[],
): HousePoint | null {
  const at = firstNotBelow(numbers, number);
  const [low, high] = [numbers[at - 1], numbers[at]];
  const [from, to] = [points[at - 1], points[at]];
  if (high === number && to !== undefined) return { point: to, match: "exact" };
  if (low !== undefined && high !== undefined && from !== undefined && to !== undefined) {
    const whole = high - low <= GAP_MAX_NUMBERS && distanceM(from, to) <= GAP_MAX_M;
    if (whole)
      return { point: between(from, to, (number - low) / (high - low)), match: "interpolated" };
  }
  const lowIsNear = low !== undefined && number - low <= BEYOND_MAX_NUMBERS;
  const highIsNear = high !== undefined && high - number <= BEYOND_MAX_NUMBERS;
  const highIsNearer = highIsNear && (!lowIsNear || high - number < number - low);
  const point = highIsNearer ? to : lowIsNear ? from : undefined;
  return point === undefined ? null : { point, match: "interpolated" };
}

const between = (a: LngLat, b: LngLat, share: number): LngLat => ({
  lng: a.lng + (b.lng - a.lng) * share,
  lat: a.lat + (b.lat - a.lat) * share,
});

/** Index of the first number >= `wanted`; the length when there is none. */
function firstNotBelow(numbers: readonly number[], wanted: number): number {
  let low = 0;
  let high = numbers.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((numbers[middle] ?? Infinity) < wanted) low = middle + 1;
    else high = middle;
  }
  return low;
}

/**
 * Of each coordinate by itself: sources disagree by the width of a street, and some are far off.
 */
function medianPoint(points: readonly LngLat[]): LngLat {
  const [only] = points;
  if (only !== undefined && points.length === 1) return only;
  return { lng: median(points.map((p) => p.lng)), lat: median(points.map((p) => p.lat)) };
}

function median(values: number[]): number {
  values.sort((a, b) => a - b);
  const middle = values.length >> 1;
  const upper = values[middle] ?? Number.NaN;
  return values.length % 2 === 1 ? upper : (upper + (values[middle - 1] ?? Number.NaN)) / 2;
}
