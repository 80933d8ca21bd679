/**
 * How often a courier's app should ping, from what passes through its connection: often where
 * somebody waits for it to arrive, less while it has something to answer or to carry, seldom else.
 * Pure; `gateway/websocket/connections.ts` tells the app.
 *
 *   near      expected within PING_NEAR_M of where it is
 *   carrying  it carries something
 *   offered   it has an offer to answer
 *   idle      none of these
 *
 * It only advises: a frame too many or too few costs battery or a few seconds, nothing else.
 */
import { distanceM } from "../../actors/geo.ts";
import type { ClientFrame, PingReason, ServerFrame } from "../../proto/frames.ts";
import type { LngLat } from "../../proto/geo.ts";
import type { Millis } from "../../proto/ids.ts";
import type { DispatchSettings } from "../../proto/limits.ts";
import type { AssignmentView } from "../../proto/views.ts";

type Stops = { readonly pickup: LngLat; readonly dropoff: LngLat; readonly pickedUp: boolean };

/** `offers`: until when, by delivery. */
export type PingAdvice = {
  readonly why: PingReason;
  readonly offers: ReadonlyMap<string, Millis>;
  readonly carried: ReadonlyMap<string, Stops>;
  readonly at: LngLat | null;
};

/** What an app starts with that carries these. */
export function startAdvice(assignments: readonly AssignmentView[]): PingAdvice {
  const carried = new Map(assignments.map((view) => [view.id, stopsOf(view)]));
  const why = carried.size > 0 ? "carrying" : "idle";
  return { why, carried, offers: new Map(), at: null };
}

export function intervalMs(why: PingReason, settings: DispatchSettings): number {
  if (why === "near") return settings.PING_NEAR_INTERVAL_MS;
  return why === "idle" ? settings.PING_INTERVAL_MS : settings.PING_BUSY_INTERVAL_MS;
}

/** A frame passed, either way. What does not concern it gives the same object back. */
export function observe(
  advice: PingAdvice,
  frame: ClientFrame | ServerFrame,
  now: Millis,
  nearM: number,
): PingAdvice {
  const next = afterFrame(advice, frame);
  if (next === advice && advice.why !== "offered") return advice;
  const why = reasonOf(next, now, nearM);
  return why === next.why ? next : { ...next, why };
}

function afterFrame(advice: PingAdvice, frame: ClientFrame | ServerFrame): PingAdvice {
  switch (frame.type) {
    case "ping":
      return { ...advice, at: { lng: frame.lng, lat: frame.lat } };
    case "pings": {
      const newest = frame.pings.at(-1);
      return newest === undefined
        ? advice
        : { ...advice, at: { lng: newest.lng, lat: newest.lat } };
    }
    case "offer":
      return { ...advice, offers: new Map(advice.offers).set(frame.delivery, frame.until) };
    case "withdrawn":
    case "decline":
      return { ...advice, offers: without(advice.offers, frame.delivery) };
    case "assignment": {
      const { id } = frame.assignment;
      const carried = new Map(advice.carried).set(id, stopsOf(frame.assignment));
      return { ...advice, carried, offers: without(advice.offers, id) };
    }
    case "assignment_over":
      return { ...advice, carried: without(advice.carried, frame.delivery) };
    case "status":
      return reported(advice, frame.delivery, frame.status);
    default:
      return advice;
  }
}

/**
 * Taken at its word: should the report be refused, only the interval is wrong until the next
 * connection.
 */
function reported(advice: PingAdvice, delivery: string, status: string): PingAdvice {
  const stops = advice.carried.get(delivery);
  if (stops === undefined) return advice;
  if (status !== "picked_up") return { ...advice, carried: without(advice.carried, delivery) };
  return {
    ...advice,
    carried: new Map(advice.carried).set(delivery, { ...stops, pickedUp: true }),
  };
}

function reasonOf({ offers, carried, at }: PingAdvice, now: Millis, nearM: number): PingReason {
  for (const { pickup, dropoff, pickedUp } of carried.values()) {
    if (at !== null && distanceM(at, pickedUp ? dropoff : pickup) <= nearM) return "near";
  }
  if (carried.size > 0) return "carrying";
  for (const until of offers.values()) if (until > now) return "offered";
  return "idle";
}

const stopsOf = ({ origin, destination, status }: AssignmentView): Stops => ({
  pickup: { lng: origin.lng, lat: origin.lat },
  dropoff: { lng: destination.lng, lat: destination.lat },
  pickedUp: status === "picked_up",
});

function without<V>(map: ReadonlyMap<string, V>, key: string): ReadonlyMap<string, V> {
  if (!map.has(key)) return map;
  const rest = new Map(map);
  rest.delete(key);
  return rest;
}
