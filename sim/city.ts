/** Who lives in the simulated city and where: places, vehicles, deliveries, and which shard owns what. */
import { cellOf, shardCell } from "../actors/geo.ts";
import type { LngLat, Vehicle } from "../proto/geo.ts";
import { shardOfDelivery } from "../proto/ids.ts";
import type { CellId, DeliveryId, Millis, PrincipalId, ShardId } from "../proto/ids.ts";
import { DISPATCH_DEFAULTS } from "../proto/limits.ts";
import type { DispatchSettings } from "../proto/limits.ts";
import type { Job } from "../proto/messages.ts";
import type { CreateCommand } from "../engine/store/port.ts";
import type { SeededRandom } from "./random.ts";

/** Deadlines are shorter than in life, so that minutes see all of them. */
export const SIM_SETTINGS: DispatchSettings = {
  ...DISPATCH_DEFAULTS,
  SEARCH_DEADLINE_MS: 180_000,
  WARN_MS: 30_000,
  STILL_MS: 90_000,
};

/** Owners are missed for so long before a standby is promoted. */
export const PROMOTE_MS = 600;
export const TELL_AGAIN_MS = 200;
export const STORE_MS = 8;

export const SHARDS = 4;
export const OWNER = "shop" as PrincipalId;
export const VEHICLES: readonly Vehicle[] = ["walk", "bike", "bike", "scooter", "car"];
const AREA = { west: -122.45, south: 37.74, east: -122.39, north: 37.79 } as const;

/** FNV-1a, 32 bits. */
export function hashOf(text: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
  return hash >>> 0;
}

const shardOfCell = (cell: CellId): ShardId => (hashOf(shardCell(cell)) % SHARDS) as ShardId;

export function shardOf(key: { readonly kind: string; readonly id: string }): ShardId {
  if (key.kind === "delivery") return shardOfDelivery(key.id as DeliveryId);
  if (key.kind === "cell") return shardOfCell(key.id as CellId);
  return (hashOf(key.id) % SHARDS) as ShardId;
}

export const placeIn = (random: SeededRandom): LngLat => ({
  lng: random.between(AREA.west, AREA.east),
  lat: random.between(AREA.south, AREA.north),
});

/** A create from somewhere to somewhere not too far. */
export function createOf(number: number, now: Millis, random: SeededRandom): CreateCommand {
  const [pickup, far] = [placeIn(random), placeIn(random)];
  const shard = shardOfCell(cellOf(pickup, SIM_SETTINGS.CELL_RESOLUTION));
  const digits = String(number).padStart(20, "0");
  const job: Job = {
    id: `del_${shard.toString(16).padStart(3, "0")}${digits}` as DeliveryId,
    owner: OWNER,
    pickupLng: pickup.lng,
    pickupLat: pickup.lat,
    pickupArea: null,
    dropoffLng: pickup.lng + (far.lng - pickup.lng) / 4,
    dropoffLat: pickup.lat + (far.lat - pickup.lat) / 4,
    dropoffArea: null,
    size: random.chance(0.1) ? "large" : "small",
    vehicle: null,
    createdAt: now,
    searchUntil: now + SIM_SETTINGS.SEARCH_DEADLINE_MS,
    receivedAtUs: 0,
  };
  return {
    job,
    externalId: null,
    pickupAddress: null,
    dropoffAddress: null,
    weightKg: null,
    phone: "",
    recipientPhone: null,
    notes: null,
    readyAt: null,
    searchAt: now,
    estimatedPickupAt: now,
    estimatedArrivalAt: now,
    trackingHash: new TextEncoder().encode(job.id),
    idempotency: null,
    answer: { status: 201, body: null },
  };
}
