/**
 * The fleet as estimates need it, read in three statements every few seconds: who is on shift and
 * where, what they carry, and how many deliveries wait where. Nothing is decided by it, so it may
 * be some seconds old.
 */
import type { LngLat, Vehicle } from "../../proto/geo.ts";
import type { CourierId, DeliveryId, Millis } from "../../proto/ids.ts";
import { FLEET_MAX_COURIERS, FLEET_MAX_DELIVERIES } from "../../proto/limits.ts";
import type { Database } from "../io/postgres/postgres.ts";

/** A courier on shift. `slots`: how many deliveries more it may take. */
export type FleetCourier = LngLat & {
  readonly id: CourierId;
  readonly vehicle: Vehicle;
  readonly slots: number;
};
/** A delivery that a courier has taken; `pickup` is null once it is in the bag. */
export type FleetDelivery = {
  readonly id: DeliveryId;
  readonly courier: CourierId;
  readonly pickup: LngLat | null;
  readonly dropoff: LngLat;
  readonly readyAt: Millis | null;
  /** From when it could be taken until it was, seconds. */
  readonly searchS: number;
};
/** How many wait for a courier in a square of about a kilometre around the point. */
export type FleetBacklog = LngLat & { readonly waiting: number };
export type Fleet = {
  readonly couriers: readonly FleetCourier[];
  readonly deliveries: readonly FleetDelivery[];
  readonly backlogs: readonly FleetBacklog[];
};
export type FleetStore = { readonly fleet: () => Promise<Fleet> };

const COURIERS = `
select c.id, c.vehicle, c.capacity - c.load as slots, p.lng, p.lat
from couriers c join courier_positions p on p.courier_id = c.id
where c.online limit ${FLEET_MAX_COURIERS}`;

const DELIVERIES = `
select id, courier_id as courier, status, pickup_lng, pickup_lat, dropoff_lng, dropoff_lat,
  ready_at,
  greatest(0, extract(epoch from assigned_at - greatest(created_at, ready_at)))::float8 as search_s
from deliveries where status in ('assigned', 'picked_up') limit ${FLEET_MAX_DELIVERIES}`;

const BACKLOGS = `
select avg(pickup_lng) as lng, avg(pickup_lat) as lat, count(*)::int as waiting
from deliveries where status = 'pending' and status_reason is distinct from 'scheduled'
group by round(pickup_lng * 100), round(pickup_lat * 100)`;

type RawDelivery = {
  readonly id: DeliveryId;
  readonly courier: CourierId;
  readonly status: "assigned" | "picked_up";
  readonly pickup_lng: number;
  readonly pickup_lat: number;
  readonly dropoff_lng: number;
  readonly dropoff_lat: number;
  readonly ready_at: Millis | null;
  readonly search_s: number;
};

const toDelivery = (raw: RawDelivery): FleetDelivery => ({
  id: raw.id,
  courier: raw.courier,
  pickup: raw.status === "picked_up" ? null : { lng: raw.pickup_lng, lat: raw.pickup_lat },
  dropoff: { lng: raw.dropoff_lng, lat: raw.dropoff_lat },
  readyAt: raw.ready_at,
  searchS: raw.search_s,
});

export async function readFleet(db: Database): Promise<Fleet> {
  const [couriers, deliveries, backlogs] = await Promise.all([
    db.query<FleetCourier>(COURIERS, []),
    db.query<RawDelivery>(DELIVERIES, []),
    db.query<FleetBacklog>(BACKLOGS, []),
  ]);
  return { couriers, deliveries: deliveries.map(toDelivery), backlogs };
}
