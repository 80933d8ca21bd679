/** Couriers: what the operator sets, and the snapshots from which courier actors resume. */
import type { CourierId, DeliveryId, ShardId } from "../../proto/ids.ts";
import type { ActiveDelivery, CourierSnapshot } from "../../proto/writes.ts";
import { numberArray } from "../io/postgres/postgres.ts";
import type { Database } from "../io/postgres/postgres.ts";
import type { CourierProfile, CourierRow } from "./port.ts";
import { COURIER_COLUMNS } from "./rows.ts";
import type { RawCourier } from "./rows.ts";

/** Makes or changes; shift and load are not the operator's to set. */
const PUT = `
insert into couriers as c (id, shard, name, phone, vehicle, capacity)
values ($1, $2::smallint, $3, $4, $5, $6::smallint)
on conflict (id) do update set
  shard = excluded.shard, name = excluded.name, phone = excluded.phone,
  vehicle = excluded.vehicle, capacity = excluded.capacity
returning ${COURIER_COLUMNS}`;

const ONE = `select ${COURIER_COLUMNS} from couriers c where c.id = $1`;
/** People: robots of tests stand before them in the order of ids. */
const ALL = `select ${COURIER_COLUMNS} from couriers c where c.id > 'bot~' order by c.id`;

/** `c` with what it carries and where it was last. */
const SNAPSHOT_COLUMNS = `
  c.id, c.vehicle, c.capacity, c.online, p.lng, p.lat, p.at,
  (
    select coalesce(json_agg(json_build_array(
      d.id, d.pickup_lng, d.pickup_lat, d.dropoff_lng, d.dropoff_lat, d.status = 'picked_up'
    ) order by d.assigned_at, d.id), '[]')
    from deliveries d
    where d.courier_id = c.id and d.status in ('assigned', 'picked_up')
  ) as active`;

const SNAPSHOT = `
select ${SNAPSHOT_COLUMNS}
from couriers c left join courier_positions p on p.courier_id = c.id
where c.id = $1`;

const SNAPSHOTS = `
select ${SNAPSHOT_COLUMNS}
from couriers c left join courier_positions p on p.courier_id = c.id
where c.shard = any($1::smallint[]) and c.id > $2 and (c.online or c.load > 0)
order by c.id limit $3`;

type RawSnapshot = Pick<RawCourier, "id" | "vehicle" | "capacity" | "online"> & {
  readonly lng: number | null;
  readonly lat: number | null;
  readonly at: number | null;
  readonly active: readonly (readonly [DeliveryId, number, number, number, number, boolean])[];
};

const toActive = (raw: RawSnapshot["active"][number]): ActiveDelivery => ({
  delivery: raw[0],
  pickupLng: raw[1],
  pickupLat: raw[2],
  dropoffLng: raw[3],
  dropoffLat: raw[4],
  pickedUp: raw[5],
});

const toCourierSnapshot = ({ lng, lat, at, ...raw }: RawSnapshot): CourierSnapshot => ({
  courier: raw.id,
  vehicle: raw.vehicle,
  capacity: raw.capacity,
  online: raw.online,
  active: raw.active.map(toActive),
  lastKnown: lng === null || lat === null || at === null ? null : { lng, lat, at },
});

export async function putCourier(db: Database, courier: CourierProfile): Promise<CourierRow> {
  const { id, shard, name, phone, vehicle, capacity } = courier;
  const [row] = await db.query<RawCourier>(PUT, [id, shard, name, phone, vehicle, capacity]);
  if (row === undefined) throw new Error("an upsert gave no row back");
  return { ...row };
}

export async function courierById(db: Database, id: CourierId): Promise<CourierRow | null> {
  const [row] = await db.query<RawCourier>(ONE, [id]);
  return row === undefined ? null : { ...row };
}

export async function allCouriers(db: Database): Promise<readonly CourierRow[]> {
  return (await db.query<RawCourier>(ALL, [])).map((row) => ({ ...row }));
}

export async function courierSnapshot(
  db: Database,
  id: CourierId,
): Promise<CourierSnapshot | null> {
  const [row] = await db.query<RawSnapshot>(SNAPSHOT, [id]);
  return row === undefined ? null : toCourierSnapshot(row);
}

export async function courierSnapshots(
  db: Database,
  shards: readonly ShardId[],
  after: string,
  limit: number,
): Promise<readonly CourierSnapshot[]> {
  const params = [numberArray(shards), after, limit];
  return (await db.query<RawSnapshot>(SNAPSHOTS, params)).map(toCourierSnapshot);
}
