/**
 * Rows of Postgres and what the code makes of them: the columns that statements give back, once as
 * SQL and once as the type they arrive in, and the way from one to the other. Nothing else knows
 * the names of columns in results.
 */
import { shortenAddress } from "../../proto/address.ts";
import type { PackageSize, Vehicle } from "../../proto/geo.ts";
import type { CourierId, DeliveryId, Millis, PrincipalId, ShardId } from "../../proto/ids.ts";
import type { Status } from "../../proto/status.ts";
import type { DeliverySnapshot, OfferRecord } from "../../proto/writes.ts";
import type { CourierRow, DeliveryRow } from "./port.ts";

/** A whole delivery: `d` is its row, `c` the row of its courier, if any. */
export const DELIVERY_COLUMNS = `
  d.id, d.shard, d.version, d.status, d.status_reason, d.owner, d.external_id,
  d.pickup_address, d.pickup_lng, d.pickup_lat, d.dropoff_address, d.dropoff_lng, d.dropoff_lat,
  d.size, d.weight_kg, d.vehicle, d.phone, d.recipient_phone, d.notes, d.ready_at, d.created_at,
  d.search_until, d.estimated_pickup_at, d.estimated_arrival_at, d.assigned_at, d.picked_up_at,
  d.delivered_at, d.ended_at, d.picked_up_claimed_at, d.delivered_claimed_at, d.courier_id,
  c.name as courier_name, c.phone as courier_phone, c.vehicle as courier_vehicle,
  d.wave, d.replacing`;

/** What `DELIVERY_COLUMNS` arrive as. Times are milliseconds since 1970. */
export type RawDelivery = {
  readonly id: string;
  readonly shard: number;
  readonly version: number;
  readonly status: Status;
  readonly status_reason: string | null;
  readonly owner: string;
  readonly external_id: string | null;
  readonly pickup_address: string | null;
  readonly pickup_lng: number;
  readonly pickup_lat: number;
  readonly dropoff_address: string | null;
  readonly dropoff_lng: number;
  readonly dropoff_lat: number;
  readonly size: PackageSize;
  readonly weight_kg: number | null;
  readonly vehicle: Vehicle | null;
  readonly phone: string;
  readonly recipient_phone: string | null;
  readonly notes: string | null;
  readonly ready_at: Millis | null;
  readonly created_at: Millis;
  readonly search_until: Millis;
  readonly estimated_pickup_at: Millis;
  readonly estimated_arrival_at: Millis;
  readonly assigned_at: Millis | null;
  readonly picked_up_at: Millis | null;
  readonly delivered_at: Millis | null;
  readonly ended_at: Millis | null;
  readonly picked_up_claimed_at: Millis | null;
  readonly delivered_claimed_at: Millis | null;
  readonly courier_id: string | null;
  readonly courier_name: string | null;
  readonly courier_phone: string | null;
  readonly courier_vehicle: Vehicle | null;
  readonly wave: number;
  readonly replacing: boolean;
};

export const toDeliveryRow = (raw: RawDelivery): DeliveryRow => ({
  id: raw.id as DeliveryId,
  shard: raw.shard as ShardId,
  version: raw.version,
  status: raw.status,
  statusReason: raw.status_reason,
  owner: raw.owner as PrincipalId,
  externalId: raw.external_id,
  pickupAddress: raw.pickup_address,
  pickupLng: raw.pickup_lng,
  pickupLat: raw.pickup_lat,
  dropoffAddress: raw.dropoff_address,
  dropoffLng: raw.dropoff_lng,
  dropoffLat: raw.dropoff_lat,
  size: raw.size,
  weightKg: raw.weight_kg,
  vehicle: raw.vehicle,
  phone: raw.phone,
  recipientPhone: raw.recipient_phone,
  notes: raw.notes,
  readyAt: raw.ready_at,
  createdAt: raw.created_at,
  searchUntil: raw.search_until,
  estimatedPickupAt: raw.estimated_pickup_at,
  estimatedArrivalAt: raw.estimated_arrival_at,
  assignedAt: raw.assigned_at,
  pickedUpAt: raw.picked_up_at,
  deliveredAt: raw.delivered_at,
  endedAt: raw.ended_at,
  pickedUpClaimedAt: raw.picked_up_claimed_at,
  deliveredClaimedAt: raw.delivered_claimed_at,
  courierId: raw.courier_id as CourierId | null,
  courierName: raw.courier_name,
  courierPhone: raw.courier_phone,
  courierVehicle: raw.courier_vehicle,
  wave: raw.wave,
  replacing: raw.replacing,
});

/**
 * What an owner resumes from: `d` is the delivery's row. The array comes as JSON, which the driver
 * reads.
 */
export const SNAPSHOT_COLUMNS = `
  d.id, d.owner, d.pickup_lng, d.pickup_lat, d.pickup_address, d.dropoff_lng, d.dropoff_lat,
  d.dropoff_address, d.size, d.vehicle, d.created_at, d.search_until, d.status, d.version,
  d.courier_id, d.assigned_at, d.wave, d.offers, to_json(d.asked) as asked, d.next_attempt_at,
  d.replacing`;

/** What `SNAPSHOT_COLUMNS` arrive as. */
export type RawSnapshot = Pick<
  RawDelivery,
  | "id"
  | "owner"
  | "pickup_lng"
  | "pickup_lat"
  | "pickup_address"
  | "dropoff_lng"
  | "dropoff_lat"
  | "dropoff_address"
  | "size"
  | "vehicle"
  | "created_at"
  | "search_until"
  | "status"
  | "version"
  | "courier_id"
  | "assigned_at"
  | "wave"
  | "replacing"
> & {
  readonly offers: readonly OfferRecord[];
  readonly asked: readonly CourierId[];
  readonly next_attempt_at: Millis | null;
};

export const toSnapshot = (raw: RawSnapshot): DeliverySnapshot => ({
  job: {
    id: raw.id as DeliveryId,
    owner: raw.owner as PrincipalId,
    pickupLng: raw.pickup_lng,
    pickupLat: raw.pickup_lat,
    pickupArea: shortenAddress(raw.pickup_address),
    dropoffLng: raw.dropoff_lng,
    dropoffLat: raw.dropoff_lat,
    dropoffArea: shortenAddress(raw.dropoff_address),
    size: raw.size,
    vehicle: raw.vehicle,
    createdAt: raw.created_at,
    searchUntil: raw.search_until,
    receivedAtUs: 0,
  },
  status: raw.status,
  version: raw.version,
  courier: raw.courier_id as CourierId | null,
  assignedAt: raw.assigned_at,
  wave: raw.wave,
  offers: raw.offers,
  asked: raw.asked,
  nextAttemptAt: raw.next_attempt_at,
  replacing: raw.replacing,
});

/** A courier: `c` is its row. */
export const COURIER_COLUMNS = "c.id, c.name, c.phone, c.vehicle, c.capacity, c.online, c.load";
/** These columns need no translation. */
export type RawCourier = CourierRow;

/** A time for SQL, in a JSON record or as a parameter that is cast to timestamptz. */
export function isoTime(at: Millis): string;
export function isoTime(at: Millis | null): string | null;
export function isoTime(at: Millis | null): string | null {
  return at === null ? null : new Date(at).toISOString();
}

/**
 * The rows of a statement's input, numbered from 0 by `ord`, so that the answers find their way
 * back.
 */
export const numbered = (records: readonly object[]): string =>
  JSON.stringify(records.map((record, ord) => ({ ord, ...record })));

/**
 * The server's own time of a change, in the precision of the columns, read when the row is already
 * locked.
 */
export const NOW_SQL = "date_trunc('milliseconds', clock_timestamp())";

/**
 * The time of a change to the locked delivery `row`: now, and not before its last change, however
 * the server's clock was set meanwhile. A row made by a gateway whose clock is ahead begins at that
 * gateway's time.
 */
export const changeTimeSql = (row: string): string =>
  `greatest(${NOW_SQL}, ${row}.changed_at, ${row}.created_at, ${row}.assigned_at, ${row}.picked_up_at)`;

/**
 * Whether a column's time is older than the hours in the parameter `$hours`, by the server's clock
 * and by the one of this process in `$now` (milliseconds): a clock that was set forward deletes
 * nothing early.
 */
export const olderSql = (column: string, hours: string, now: string): string =>
  `${column} < least(now(), to_timestamp(${now}::float8 / 1000)) - make_interval(hours => ${hours})`;
