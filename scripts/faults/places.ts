// One place and one courier for each shard, far enough from each other and from the replay's city
// that nobody else is a candidate there: a create at the place depends on that shard alone. Pure.

import { distanceM } from "../../actors/geo.ts";
import { shardOfCourier, shardOfPoint } from "../../engine/cluster/shards.ts";
import type { Box } from "../../proto/geo.ts";
import type { LngLat } from "../../proto/geo.ts";
import type { CourierId, ShardId } from "../../proto/ids.ts";
import { DISPATCH_DEFAULTS } from "../../proto/limits.ts";

export interface Place {
  readonly shard: ShardId;
  readonly at: LngLat;
  /** Lives in the same shard. */
  readonly courier: CourierId;
}

/** Where a courier without a socket looks for work. */
export type PullPlace = Pick<Place, "at" | "courier">;

/** Served by the cluster of the suite: the city and enough land for the probes. */
export const WIDE_AREA: Box = { west: -123, south: 36, east: -120, north: 38.5 };
/** Where probes may stand: far from the city in the north-west corner. */
const PROBE_AREA: Box = { west: -122, south: 36, east: -120, north: 37.3 };
/** Two of the widest waves do not meet. */
const APART_M = 2 * DISPATCH_DEFAULTS.WAVE_3_RADIUS_M + 2_000;
const GRID_STEP = 0.07;
const NAMES_MAX = 100_000;

/** Throws when the area has no room for so many shards. */
export function probePlaces(shards: number): Place[] {
  const places = new Map<ShardId, LngLat>();
  for (const at of grid()) {
    const shard = shardOfPoint(at, shards);
    const isFree = [...places.values()].every((other) => distanceM(at, other) > APART_M);
    if (!places.has(shard) && isFree) places.set(shard, at);
  }
  return Array.from({ length: shards }, (_, i) => {
    const shard = i as ShardId;
    const at = places.get(shard);
    if (at === undefined) throw new Error(`there is no room for a probe of shard ${shard}`);
    return { shard, at, courier: courierOf(shard, shards) };
  });
}

/** Places like those for couriers without a socket, as far from all probes and from each other. */
export function pullPlaces(probes: readonly Place[], count: number): PullPlace[] {
  const taken = probes.map(({ at }) => at);
  const places: PullPlace[] = [];
  for (const at of grid()) {
    if (places.length === count) break;
    if (!taken.every((other) => distanceM(at, other) > APART_M)) continue;
    taken.push(at);
    places.push({ at, courier: `cur_pull_${places.length + 1}` as CourierId });
  }
  return places;
}

function* grid(): Generator<LngLat> {
  for (let lat = PROBE_AREA.south + 0.05; lat < PROBE_AREA.north; lat += GRID_STEP) {
    for (let lng = PROBE_AREA.west + 0.05; lng < PROBE_AREA.east; lng += GRID_STEP) {
      yield { lng: round(lng), lat: round(lat) };
    }
  }
}

function courierOf(shard: ShardId, shards: number): CourierId {
  for (let i = 0; i < NAMES_MAX; i++) {
    const id = `cur_probe_${shard}_${i}` as CourierId;
    if (shardOfCourier(id, shards) === shard) return id;
  }
  throw new Error(`no courier id falls to shard ${shard}`);
}

const round = (degrees: number): number => Math.round(degrees * 1e5) / 1e5;
