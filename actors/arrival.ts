/**
 * Whether a courier is at a stop: two thresholds and two pings in a row each way, so that neither a
 * shaky fix nor pacing up and down before the door makes it arrive twice.
 */
import type { DispatchSettings } from "../proto/limits.ts";

/** `streak`: pings in a row that speak for the other side; 0 or 1. */
export type Arrival = { readonly isThere: boolean; readonly streak: number };

export const NOT_THERE: Arrival = { isThere: false, streak: 0 };

const STREAK_PINGS = 2;

/** After a believed ping so far from the stop; the very same object when nothing changed. */
export function arrive(arrival: Arrival, distanceM: number, s: DispatchSettings): Arrival {
  const isOtherSide = arrival.isThere ? distanceM > s.LEAVE_M : distanceM < s.ARRIVE_M;
  if (!isOtherSide) return arrival.streak === 0 ? arrival : { ...arrival, streak: 0 };
  const streak = arrival.streak + 1;
  if (streak < STREAK_PINGS) return { ...arrival, streak };
  return { isThere: !arrival.isThere, streak: 0 };
}
