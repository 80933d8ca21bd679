/**
 * A fleet's recorded day as couriers: straight lines between the pings of one cab, silence as off
 * shift, more couriers than cabs by playing the same day again shifted in time. What is implausible
 * in the data is counted here and smoothed by the bots, which never move faster than
 * FLEET_SPEED_MAX_MPS of world time.
 */
import { distanceM, inBox } from "../../actors/geo.ts";
import type { LngLat } from "../../proto/geo.ts";
import { SERVICE_AREA_DEFAULT } from "../../proto/limits.ts";
import { seeded, shuffled } from "./random.ts";
import type { Trace } from "./world.ts";

const DAY_S = 86_400;
/** A cab unheard of for longer has gone home. */
const SILENCE_MAX_S = 600;
/** Faster than this between two pings is a jump of the receiver. */
const JUMP_MPS = 40;
/** How fast a bot follows its trace at most. */
export const FLEET_SPEED_MAX_MPS = 25;
/** Copies of a day are shifted by up to this much either way. */
const SHIFT_MAX_S = 7_200;

/** One cab's pings in order: seconds since midnight, degrees. */
export type CabDay = { readonly t: number[]; readonly lng: number[]; readonly lat: number[] };

export type Fleet = { readonly traces: readonly Trace[]; readonly notes: readonly string[] };

/** `rows`: ts (Unix seconds), cab, lat, lng, sorted by time. */
export function readFleet(
  rows: readonly string[][],
  options: { readonly couriers: number; readonly seed: number },
): Fleet {
  const cabs = new Map<string, CabDay>();
  const midnight = Number(rows[0]?.[0] ?? 0);
  for (const [ts, cab = "", lat, lng] of rows) {
    const day = cabs.get(cab) ?? { t: [], lng: [], lat: [] };
    cabs.set(cab, day);
    day.t.push(Number(ts) - midnight);
    day.lng.push(Number(lng));
    day.lat.push(Number(lat));
  }
  if (cabs.size === 0) throw new Error("there are no pings in the fleet's file");
  const random = seeded(options.seed + 17);
  const order = shuffled(random, [...cabs.values()]);
  const traces = Array.from({ length: options.couriers }, (_, i) => {
    const first = i < order.length;
    const shiftS = first ? 0 : Math.round((random() * 2 - 1) * SHIFT_MAX_S);
    return traceOf(order[i % order.length] as CabDay, shiftS);
  });
  const jumps = [...cabs.values()].reduce((sum, day) => sum + jumpsOf(day), 0);
  const copies = Math.max(0, options.couriers - order.length);
  return {
    traces,
    notes: [
      `Couriers are ${Math.min(options.couriers, order.length)} of ${order.length} taxis of one real day, resampled from about one ping a minute by straight lines.`,
      `${copies} couriers are copies of these with the day shifted by up to ${SHIFT_MAX_S / 3600} h either way.`,
      `A silence over ${SILENCE_MAX_S / 60} min, or being outside the served area, is off shift; ${jumps} jumps of the day's positions (over ${JUMP_MPS} m/s) are ridden at ${FLEET_SPEED_MAX_MPS} m/s instead.`,
    ],
  };
}

function jumpsOf(day: CabDay): number {
  let jumps = 0;
  for (let i = 1; i < day.t.length; i++) {
    const seconds = (day.t[i] as number) - (day.t[i - 1] as number);
    if (seconds > SILENCE_MAX_S) continue;
    if (distanceM(pointAt(day, i - 1), pointAt(day, i)) > JUMP_MPS * Math.max(1, seconds)) jumps++;
  }
  return jumps;
}

const pointAt = (day: CabDay, i: number): LngLat => ({
  lng: day.lng[i] as number,
  lat: day.lat[i] as number,
});

/** The day of one cab, moved by `shiftS` and repeated each 24 h. */
export function traceOf(day: CabDay, shiftS: number): Trace {
  let cursor = 0;
  return {
    at: (worldS) => {
      const t = (((worldS - shiftS) % DAY_S) + DAY_S) % DAY_S;
      if ((day.t[cursor] as number) > t) cursor = 0; // A new day has begun.
      while (cursor + 1 < day.t.length && (day.t[cursor + 1] as number) <= t) cursor++;
      const from = day.t[cursor] as number;
      const until = day.t[cursor + 1];
      if (t < from || until === undefined || until - from > SILENCE_MAX_S) return null;
      const share = until === from ? 0 : (t - from) / (until - from);
      const [a, b] = [pointAt(day, cursor), pointAt(day, cursor + 1)];
      const here = {
        lng: a.lng + (b.lng - a.lng) * share,
        lat: a.lat + (b.lat - a.lat) * share,
      };
      return inBox(here, SERVICE_AREA_DEFAULT) ? here : null;
    },
  };
}
