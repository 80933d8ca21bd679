/**
 * Whether this database takes writes, asked of the database itself. `select 1` says nothing: a
 * standby, a full disk and a role without grants all answer it.
 *
 * `look` is a write of nothing: it names the tables and columns of a create, an accept and an event
 * and changes no row, so the server checks grants, tables, locks and whether it only reads, and
 * writes no log. `write` commits one row of this process's own, which costs a wait for the disk; a
 * full disk and a standby that must confirm and does not are met in no other way. The row is a key
 * of the table `idempotency`: it is in the way of every create, and its old rows go by themselves
 * (housekeeping), so that processes that are gone leave nothing behind.
 */
import type { Database } from "../io/postgres/postgres.ts";

/** No principal has such a name: see PRINCIPAL in `proto/ids.ts`. */
const PROBES = "~probe";

const LOOK = `
with no_delivery as (
  insert into deliveries (id, shard, owner, status, status_reason, version, courier_id)
  select id, shard, owner, status, status_reason, version, courier_id from deliveries where false
),
no_change as (update deliveries set version = version, epoch = epoch where false),
no_load as (update couriers set load = load, online = online where false),
no_event as (
  insert into outbox (delivery_id, owner, number, type, status, at)
  select delivery_id, owner, number, type, status, at from outbox where false
),
no_key as (
  insert into idempotency (principal, key, fingerprint, status, body)
  select principal, key, fingerprint, status, body from idempotency where false
)
select 1`;

const WRITE = `
insert into idempotency as i (principal, key, fingerprint, status, body)
values ($1, $2, '', 200, 'null')
on conflict (principal, key) do update set status = excluded.status, at = clock_timestamp()`;

/** Rejects when the database takes no writes. Not repeated: whoever probes asks again. */
export async function probeLook(db: Database): Promise<void> {
  await db.query(LOOK, [], { repeat: false });
}

/**
 * The same, with a commit. `process`: whose row it is; two of one name would wait for each other.
 */
export async function probeWrite(db: Database, process: string): Promise<void> {
  await db.query(WRITE, [PROBES, process], { repeat: false });
}
