/**
 * Revocations of credentials, and the forgetting of people: statements beside the store's own, none of them hot.
 */
import { PERSONAL_BATCH_MAX_ROWS, PURGE_BATCH_MAX_ROWS } from "../../proto/limits.ts";
import type { Millis } from "../../proto/ids.ts";
import type { Database } from "../io/postgres.ts";

/** `subject`: a principal's name or a token's; its credentials made at `notBefore` or earlier count no more. */
export type RevocationRow = { readonly subject: string; readonly notBefore: Millis };

/** What a gateway asks about revocations. */
export type AccessStore = {
  /** Now, by the database's clock. Repeating it makes it later, never earlier. */
  readonly revoke: (subject: string) => Promise<void>;
  /** Those later than `since`, the oldest first, a bounded number: ask again from the last. */
  readonly revocations: (since: Millis) => Promise<readonly RevocationRow[]>;
};

const REVOCATIONS_MAX_ROWS = 10_000;

const REVOKE = `
insert into revocations as r (subject) values ($1)
on conflict (subject) do update set not_before = greatest(r.not_before, excluded.not_before)`;

const READ = `
select subject, not_before as "notBefore" from revocations
where not_before > to_timestamp($1 / 1000.0) order by not_before limit $2`;

const PURGE = `
with old as materialized (
  select subject from revocations where not_before < now() - make_interval(hours => $1) limit $2
), gone as (
  delete from revocations where subject in (select subject from old) returning 1
)
select count(*)::int as gone from gone`;

/**
 * An ended delivery keeps what statistics need (times, size, status, who carried it) and where it went to about 100 m;
 * phones, notes, addresses and the free words of a cancellation go. An empty phone marks what is done.
 */
const FORGET = `
with old as materialized (
  select id from deliveries
  where ended_at < now() - make_interval(hours => $1) and ended_at is not null and phone <> ''
  order by ended_at limit $2
  for update skip locked
), done as (
  update deliveries d set
    phone = '', recipient_phone = null, notes = null,
    pickup_address = null, dropoff_address = null,
    pickup_lng = round(pickup_lng::numeric, 3), pickup_lat = round(pickup_lat::numeric, 3),
    dropoff_lng = round(dropoff_lng::numeric, 3), dropoff_lat = round(dropoff_lat::numeric, 3),
    status_reason = split_part(status_reason, ': ', 1)
  from old where d.id = old.id
  returning 1
)
select count(*)::int as gone from done`;

/**
 * Tests that ended so long ago, whole, and robots whose test is gone. Both stand together at the end of their index, so
 * however many real deliveries there are, they are not looked at.
 */
const PURGE_TESTS = `
with old as materialized (
  select id from deliveries
  where id > 'tst_' and ended_at < now() - make_interval(hours => $1)
  order by id limit $2
  for update skip locked
), gone as (
  delete from deliveries where id in (select id from old) returning id
), robots as (
  delete from couriers where id > 'bot_' and id < 'bot~' and load = 0
    and 'tst_' || substr(id, 5, 23) in (select id from gone)
)
select count(*)::int as gone from gone`;

export async function revoke(db: Database, subject: string): Promise<void> {
  await db.query(REVOKE, [subject]);
}

export const revocations = (db: Database, since: Millis): Promise<readonly RevocationRow[]> =>
  db.query<RevocationRow>(READ, [since, REVOCATIONS_MAX_ROWS]);

/** Deletes some that are older than `hours`; resolves to how many, 0 when there is none left. */
export async function purgeRevocations(db: Database, hours: number): Promise<number> {
  const [row] = await db.query<{ gone: number }>(PURGE, [hours, PURGE_BATCH_MAX_ROWS]);
  return row?.gone ?? 0;
}

/** Forgets the people of some deliveries that ended more than `hours` ago; resolves to how many, 0 at the end. */
export async function forgetPeople(db: Database, hours: number): Promise<number> {
  const [row] = await db.query<{ gone: number }>(FORGET, [hours, PERSONAL_BATCH_MAX_ROWS]);
  return row?.gone ?? 0;
}

/** Deletes some tests that ended more than `hours` ago, with their robots; resolves to how many, 0 at the end. */
export async function purgeTests(db: Database, hours: number): Promise<number> {
  const [row] = await db.query<{ gone: number }>(PURGE_TESTS, [hours, PERSONAL_BATCH_MAX_ROWS]);
  return row?.gone ?? 0;
}
