/**
 * The create: the idempotency key with its whole answer, the delivery and its first event, in one
 * statement for a batch of creates. Either all of a create exists or nothing of it. Doing it again
 * with the same id is harmless, which is how a create whose answer was lost is asked about again.
 */
import { DispatchError } from "../../proto/errors.ts";
import { FIRST_SWEEP_AFTER_MS } from "../../proto/limits.ts";
import { shardOfDelivery } from "../../proto/ids.ts";
import type { StatusReason } from "../../proto/status.ts";
import type { Database } from "../io/postgres/postgres.ts";
import type { CreateCommand, CreateOutcome } from "./port.ts";
import { NOW_SQL, isoTime, numbered } from "./rows.ts";

const CREATE = `
with wanted as materialized (
  select * from json_to_recordset($1::text::json) as w(
    principal text, key text, fingerprint text, answer_status smallint, answer_body json,
    id text, shard smallint, owner text, external_id text,
    pickup_address text, pickup_lng float8, pickup_lat float8,
    dropoff_address text, dropoff_lng float8, dropoff_lat float8,
    size text, weight_kg float8, vehicle text, phone text, recipient_phone text, notes text,
    ready_at timestamptz, created_at timestamptz, search_until timestamptz,
    estimated_pickup_at timestamptz, estimated_arrival_at timestamptz,
    next_attempt_at timestamptz, tracking_hash text, reason text)
),
-- A key that another transaction is just inserting makes this wait for its end: then it is either
-- ours, or committed by the other. In order, so that two gateways with the same keys cannot wait
-- for each other.
fresh_key as (
  insert into idempotency (principal, key, fingerprint, status, body)
  select principal, key, fingerprint, answer_status, answer_body
  from wanted w
  -- The id follows from the key: a delivery without its key row is one whose key was purged. It must not
  -- come to answer for another request.
  where key is not null and not exists (select 1 from deliveries d where d.id = w.id)
  order by principal, key
  on conflict (principal, key) do nothing
  returning principal, key
),
-- Without a fresh key there is no delivery. A repeat of ourselves meets the row of the first time.
created as (
  insert into deliveries (
    id, shard, owner, external_id, pickup_address, pickup_lng, pickup_lat,
    dropoff_address, dropoff_lng, dropoff_lat, size, weight_kg, vehicle, phone, recipient_phone,
    notes, ready_at, created_at, search_until, estimated_pickup_at, estimated_arrival_at,
    next_attempt_at, tracking_hash, status_reason, changed_at)
  select
    w.id, w.shard, w.owner, w.external_id, w.pickup_address, w.pickup_lng, w.pickup_lat,
    w.dropoff_address, w.dropoff_lng, w.dropoff_lat, w.size, w.weight_kg, w.vehicle, w.phone,
    w.recipient_phone, w.notes, w.ready_at, w.created_at, w.search_until, w.estimated_pickup_at,
    w.estimated_arrival_at, w.next_attempt_at, decode(w.tracking_hash, 'hex'),
    -- D3: it waits visibly from its first moment.
    w.reason, greatest(${NOW_SQL}, w.created_at)
  from wanted w left join fresh_key k on k.principal = w.principal and k.key = w.key
  where w.key is null or k.key is not null
  on conflict (id) do nothing
  returning id, owner, external_id, changed_at
),
event as (
  insert into outbox (delivery_id, owner, number, type, status, external_id, at)
  select id, owner, 1, 'created', 'pending', external_id, changed_at from created
)
select id from created`;

/**
 * What became of creates that the statement did not make. A statement of its own, because only a
 * new snapshot sees what was committed while the first one waited.
 */
const FIND = `
select w.id, d.id is not null as "exists", d.created_at = w.created_at as "isOurs",
  k.fingerprint, k.status, k.body
from json_to_recordset($1::text::json) as w(
  id text, principal text, key text, created_at timestamptz)
left join deliveries d on d.id = w.id
left join idempotency k on k.principal = w.principal and k.key = w.key`;

type Found = {
  readonly id: string;
  readonly exists: boolean;
  /** Created at the very time of this command; null when there is none. */
  readonly isOurs: boolean | null;
  readonly fingerprint: string | null;
  readonly status: number;
  readonly body: unknown;
};

/** Creates with the same key, or the same id, must not run together. */
export const createKeys = ({ job, idempotency }: CreateCommand): readonly string[] =>
  idempotency === null
    ? [job.id]
    : [job.id, `${idempotency.principal.length} ${idempotency.principal} ${idempotency.key}`];

/** One statement for all, and one more when keys were known already. */
export async function createAll(
  db: Database,
  commands: readonly CreateCommand[],
): Promise<readonly CreateOutcome[]> {
  const rows = await db.query<{ id: string }>(CREATE, [JSON.stringify(commands.map(toRecord))]);
  const created = new Set(rows.map((row) => row.id));
  const others = commands.filter((command) => !created.has(command.job.id));
  const found = others.length === 0 ? new Map<string, Found>() : await find(db, others);
  return commands.map((command) =>
    created.has(command.job.id) ? { outcome: "created" } : outcomeOf(found.get(command.job.id)),
  );
}

async function find(
  db: Database,
  commands: readonly CreateCommand[],
): Promise<ReadonlyMap<string, Found>> {
  const wanted = commands.map(({ job, idempotency }) => ({
    id: job.id,
    principal: idempotency?.principal ?? null,
    key: idempotency?.key ?? null,
    created_at: isoTime(job.createdAt),
  }));
  const rows = await db.query<Found>(FIND, [numbered(wanted)]);
  return new Map(rows.map((row) => [row.id, row]));
}

function outcomeOf(found: Found | undefined): CreateOutcome {
  // Same id and same moment: an earlier attempt of this very create was committed. With a key the
  // id alone says less: it is the same for every request with that key and body (decision 0007).
  if (found?.isOurs === true) return { outcome: "created" };
  if (found?.exists === true && found.fingerprint === null) return { outcome: "spent" };
  if (found === undefined || found.fingerprint === null) {
    throw new DispatchError("unavailable", "The key was purged while it was being looked at.");
  }
  const { fingerprint, status, body } = found;
  return { outcome: "replayed", answer: { fingerprint, status, body } };
}

/** What a new delivery says of itself. */
export const firstReason = ({ searchAt, job }: CreateCommand): StatusReason =>
  searchAt > job.createdAt ? "scheduled" : "searching";

const toRecord = (command: CreateCommand): object => ({
  principal: command.idempotency?.principal ?? null,
  key: command.idempotency?.key ?? null,
  fingerprint: command.idempotency?.fingerprint ?? null,
  answer_status: command.answer.status,
  answer_body: command.answer.body,
  id: command.job.id,
  shard: shardOfDelivery(command.job.id),
  owner: command.job.owner,
  external_id: command.externalId,
  pickup_address: command.pickupAddress,
  pickup_lng: command.job.pickupLng,
  pickup_lat: command.job.pickupLat,
  dropoff_address: command.dropoffAddress,
  dropoff_lng: command.job.dropoffLng,
  dropoff_lat: command.job.dropoffLat,
  size: command.job.size,
  weight_kg: command.weightKg,
  vehicle: command.job.vehicle,
  phone: command.phone,
  recipient_phone: command.recipientPhone,
  notes: command.notes,
  ready_at: isoTime(command.readyAt),
  created_at: isoTime(command.job.createdAt),
  search_until: isoTime(command.job.searchUntil),
  estimated_pickup_at: isoTime(command.estimatedPickupAt),
  estimated_arrival_at: isoTime(command.estimatedArrivalAt),
  next_attempt_at: isoTime(command.searchAt + FIRST_SWEEP_AFTER_MS),
  reason: firstReason(command),
  tracking_hash: Buffer.from(command.trackingHash).toString("hex"),
});
