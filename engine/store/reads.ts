/**
 * Reads of deliveries: by id, by tracking link, in lists, near a point, and the snapshots from
 * which owners resume. Each has an index that it walks in the order it wants (`engine/sql`), so
 * none reads more than it gives back, save `available`, which reads what is pending in a box.
 */
import { CARRIES, PACKAGE_SIZES } from "../../proto/geo.ts";
import type { Vehicle } from "../../proto/geo.ts";
import type { CourierId, DeliveryId, Millis, ShardId } from "../../proto/ids.ts";
import { STATUSES } from "../../proto/status.ts";
import type { Status } from "../../proto/status.ts";
import type { DeliverySnapshot } from "../../proto/writes.ts";
import { numberArray, textArray } from "../io/postgres/postgres.ts";
import type { Database, Param } from "../io/postgres/postgres.ts";
import type { DeliveryRow, ListQuery } from "./port.ts";
import { DELIVERY_COLUMNS, SNAPSHOT_COLUMNS, isoTime, toDeliveryRow, toSnapshot } from "./rows.ts";
import type { RawDelivery, RawSnapshot } from "./rows.ts";

const BY_IDS = `
select ${DELIVERY_COLUMNS}
from deliveries d left join couriers c on c.id = d.courier_id
where d.id = any($1::text[])`;

const BY_TRACKING = `
select ${DELIVERY_COLUMNS}
from deliveries d left join couriers c on c.id = d.courier_id
where d.tracking_hash = decode($1, 'hex')`;

/**
 * Pending deliveries in a box of degrees, nearest first. Distances are those of a plane, with the
 * degree of longitude shortened by the latitude's cosine ($7): wrong by less than a thousandth
 * within 50 km.
 */
const AVAILABLE = `
select ${DELIVERY_COLUMNS}
from deliveries d
left join couriers c on c.id = d.courier_id
cross join lateral (
  select power(d.pickup_lat - $5, 2) + power((d.pickup_lng - $6) * $7, 2) as square
) away
where d.status = 'pending'
  -- Not for people: tests.
  and left(d.id, 4) <> 'tst_'
  and (d.vehicle is null or d.vehicle = $10)
  and d.size = any($11::text[])
  and d.pickup_lat between $1::float8 and $2::float8
  and d.pickup_lng between $3::float8 and $4::float8
  and away.square <= power($8::float8, 2)
order by away.square, d.id limit $9`;

const DUE = `
select ${SNAPSHOT_COLUMNS}
from deliveries d
where d.shard = any($1::smallint[]) and d.next_attempt_at < $2::timestamptz
  and (d.status = 'pending' or d.replacing)
order by d.next_attempt_at limit $3`;

const OPEN = `
select ${SNAPSHOT_COLUMNS}
from deliveries d
where d.id > $1 and d.shard = any($2::smallint[])
  and d.status in ('pending', 'assigned', 'picked_up')
order by d.id limit $3`;

const SNAPSHOT = `select ${SNAPSHOT_COLUMNS} from deliveries d where d.id = $1`;

/** Many ids in one statement; null for those that do not exist. */
export async function deliveriesByIds(
  db: Database,
  ids: readonly DeliveryId[],
): Promise<readonly (DeliveryRow | null)[]> {
  const rows = await db.query<RawDelivery>(BY_IDS, [textArray([...new Set(ids)])]);
  const found = new Map(rows.map((raw) => [raw.id, toDeliveryRow(raw)]));
  return ids.map((id) => found.get(id) ?? null);
}

export async function deliveryByTracking(
  db: Database,
  hash: Uint8Array,
): Promise<DeliveryRow | null> {
  const rows = await db.query<RawDelivery>(BY_TRACKING, [Buffer.from(hash).toString("hex")]);
  return rows[0] === undefined ? null : toDeliveryRow(rows[0]);
}

/**
 * A page, newest first: for each status one walk of an index that stands (who, status, time, id),
 * cut at the limit, then merged. So a page costs the same whether its statuses are common or rare.
 */
export async function listDeliveries(
  db: Database,
  query: ListQuery,
): Promise<readonly DeliveryRow[]> {
  return listBy(db, query, query.status === null ? STATUSES : [query.status]);
}

/** What a courier carries now, oldest first. Bounded by the capacity of a courier. */
export async function activeOfCourier(
  db: Database,
  courier: CourierId,
): Promise<readonly DeliveryRow[]> {
  const query = { owner: null, courier, status: null, before: null, limit: 100 };
  return (await listBy(db, query, ["assigned", "picked_up"])).toReversed();
}

async function listBy(
  db: Database,
  query: ListQuery,
  statuses: readonly Status[],
): Promise<readonly DeliveryRow[]> {
  const params: Param[] = [textArray(statuses), query.limit];
  const bind = (value: Param): string => `$${params.push(value)}`;
  const conditions: string[] = [];
  if (query.owner !== null) conditions.push(`and o.owner = ${bind(query.owner)}`);
  if (query.courier !== null) conditions.push(`and o.courier_id = ${bind(query.courier)}`);
  if (query.before !== null) {
    const { createdAt, id } = query.before;
    const before = `(${bind(isoTime(createdAt))}::timestamptz, ${bind(id)}::text)`;
    conditions.push(`and (o.created_at, o.id) < ${before}`);
  }
  const text = `
    select ${DELIVERY_COLUMNS}
    from unnest($1::text[]) s(status)
    cross join lateral (
      select o.* from deliveries o
      where o.status = s.status ${conditions.join(" ")}
      order by o.created_at desc, o.id desc limit $2
    ) d
    left join couriers c on c.id = d.courier_id
    order by d.created_at desc, d.id desc limit $2`;
  return (await db.query<RawDelivery>(text, params)).map(toDeliveryRow);
}

/** Metres in a degree of latitude, on the sphere of mean radius 6,371,008.8 m. */
const METRES_PER_DEGREE = (6_371_008.8 * Math.PI) / 180;
/** Nearer to a pole than this a degree of longitude is nothing to divide by. */
const COSINE_MIN = 0.01;

export async function availableNear(
  db: Database,
  near: { readonly lng: number; readonly lat: number },
  radiusM: number,
  max: number,
  vehicle: Vehicle,
): Promise<readonly DeliveryRow[]> {
  const radiusDeg = radiusM / METRES_PER_DEGREE;
  const cosine = Math.max(COSINE_MIN, Math.cos((near.lat * Math.PI) / 180));
  const { lng, lat } = near;
  const box = [
    lat - radiusDeg,
    lat + radiusDeg,
    lng - radiusDeg / cosine,
    lng + radiusDeg / cosine,
  ];
  const sizes = PACKAGE_SIZES.filter((size) => CARRIES[size].includes(vehicle));
  const params = [...box, lat, lng, cosine, radiusDeg, max, vehicle, textArray(sizes)];
  return (await db.query<RawDelivery>(AVAILABLE, params)).map(toDeliveryRow);
}

export async function dueDeliveries(
  db: Database,
  shards: readonly ShardId[],
  now: Millis,
  limit: number,
): Promise<readonly DeliverySnapshot[]> {
  const params = [numberArray(shards), isoTime(now), limit];
  return (await db.query<RawSnapshot>(DUE, params)).map(toSnapshot);
}

export async function openDeliveries(
  db: Database,
  shards: readonly ShardId[],
  after: string,
  limit: number,
): Promise<readonly DeliverySnapshot[]> {
  const params = [after, numberArray(shards), limit];
  return (await db.query<RawSnapshot>(OPEN, params)).map(toSnapshot);
}

export async function snapshotOf(db: Database, id: DeliveryId): Promise<DeliverySnapshot | null> {
  const rows = await db.query<RawSnapshot>(SNAPSHOT, [id]);
  return rows[0] === undefined ? null : toSnapshot(rows[0]);
}
