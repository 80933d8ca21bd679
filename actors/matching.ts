/**
 * Who may carry a delivery, and who of them is asked first. The gates say why a courier is no
 * candidate, under names that the ledger and the console show; the ranking orders those who are
 * left by travel time. Pure: positions come from the cell index, travel times from a function that
 * the engine passes in.
 */
import { CARRIES } from "../proto/geo.ts";
import type { LngLat, PackageSize, Vehicle } from "../proto/geo.ts";
import type { CourierId, Millis } from "../proto/ids.ts";
import { isRobot, isTestDelivery } from "../proto/test-mode.ts";
import type { Candidate, SearchQuery, SearchResult } from "./actor.ts";
import type { CellIndex } from "./cell-index.ts";
import { NearestResult } from "./nearest-result.ts";

/** Travel time in seconds. Must be finite. */
export type TravelS = (vehicle: Vehicle, from: LngLat, to: LngLat) => number;

export const canCarry = (vehicle: Vehicle, size: PackageSize): boolean =>
  CARRIES[size].includes(vehicle);

/** What is known of one courier with respect to one delivery. */
export type CandidateFacts = {
  readonly online: boolean;
  readonly ageMs: Millis;
  readonly slots: number;
  readonly askedBefore: boolean;
  readonly vehicle: Vehicle;
  readonly distanceM: number;
};

/** What the delivery and the present state of its search ask for. */
export type Need = {
  readonly staleMs: Millis;
  readonly radiusM: number;
  readonly vehicle: Vehicle | null;
  readonly size: PackageSize;
};

/** In the order in which they are asked; a courier counts for the first that stops it. */
const GATES = {
  too_far: (c, need) => c.distanceM > need.radiusM,
  off_shift: (c) => !c.online,
  stale: (c, need) => c.ageMs > need.staleMs,
  no_slots: (c) => c.slots <= 0,
  asked_before: (c) => c.askedBefore,
  vehicle: (c, need) => need.vehicle !== null && need.vehicle !== c.vehicle,
  package: (c, need) => !canCarry(c.vehicle, need.size),
} as const satisfies Record<string, (c: CandidateFacts, need: Need) => boolean>;

export type Gate = keyof typeof GATES;
export const GATE_NAMES = Object.keys(GATES) as readonly Gate[];

/** The first gate that stops this courier, or null when it is a candidate. */
export const gateOf = (facts: CandidateFacts, need: Need): Gate | null =>
  GATE_NAMES.find((name) => GATES[name](facts, need)) ?? null;

/** A courier near enough, before ranking. */
export type Found = {
  readonly courier: CourierId;
  readonly vehicle: Vehicle;
  readonly point: LngLat;
  readonly distanceM: number;
};

const better = (a: Candidate, b: Candidate): number =>
  a.etaS - b.etaS || a.distanceM - b.distanceM || (a.courier < b.courier ? -1 : 1);

/**
 * The best `max` by travel time to the pickup, then distance, then id, so that every node ranks
 * alike.
 */
export function rankCandidates(
  found: readonly Found[],
  pickup: LngLat,
  travelS: TravelS,
  max: number,
): Candidate[] {
  return found
    .map(({ courier, vehicle, point, distanceM }) => ({
      courier,
      distanceM,
      etaS: travelS(vehicle, point, pickup),
    }))
    .sort(better)
    .slice(0, Math.max(0, max));
}

export type SearchSettings = {
  readonly staleMs: Millis;
  /** How many of the nearest are ranked by travel time (the coarse cut). */
  readonly candidatesMax: number;
  readonly travelS: TravelS;
};

/**
 * The answer to a delivery's `search` effect, over one index. Made once per node: it keeps its
 * working memory, so the returned function must not be called from within itself.
 */
export function createSearch(
  index: CellIndex,
  settings: SearchSettings,
): (query: SearchQuery, now: Millis) => SearchResult {
  const out = new NearestResult(settings.candidatesMax);
  return (query, now) => {
    const { radiusM, pickup } = query;
    const asked = new Set(query.exclude);
    const gates: Partial<Record<Gate, number>> = {};
    const count = (gate: Gate, times = 1): void => {
      if (times > 0) gates[gate] = (gates[gate] ?? 0) + times;
    };
    const isTest = isTestDelivery(query.delivery);
    const accept = (ordinal: number): boolean => {
      const id = index.idAt(ordinal);
      // Robots are there for tests alone, and nobody else is. Not counted: there was no such
      // candidate.
      if (isRobot(id) !== isTest) return false;
      const gate = fitGate(index.vehicleAt(ordinal), asked.has(id), query);
      if (gate !== null) count(gate);
      return gate === null;
    };
    const admission = { staleMs: settings.staleMs, accept };
    index.nearest(pickup, radiusM, settings.candidatesMax, now, admission, out);
    count("off_shift", out.offShift);
    count("stale", out.stale);
    count("no_slots", out.noSlots);
    const candidates = rankCandidates(foundIn(index, out), pickup, settings.travelS, query.max);
    return { radiusM, candidates, gates };
  };
}

/** The gates that the index does not know. */
function fitGate(vehicle: Vehicle, askedBefore: boolean, query: SearchQuery): Gate | null {
  if (askedBefore) return "asked_before";
  if (query.vehicle !== null && query.vehicle !== vehicle) return "vehicle";
  return canCarry(vehicle, query.size) ? null : "package";
}

function foundIn(index: CellIndex, out: NearestResult): Found[] {
  const found: Found[] = [];
  for (let i = 0; i < out.count; i++) {
    const ordinal = out.ordinals[i]!;
    found.push({
      courier: index.idAt(ordinal),
      vehicle: index.vehicleAt(ordinal),
      point: index.pointAt(ordinal),
      distanceM: out.distancesM[i]!,
    });
  }
  return found;
}
