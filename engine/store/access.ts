/**
 * Revocations of credentials, and the forgetting of people: statements beside the store's own, none
 * of them hot.
 *
 * Revocations are read by position and not by time: what a reader has not seen is what was not
 * visible in the snapshot of its last reading (Postgres, "pg_snapshot"). So nothing is missed
 * however many rows share a moment, whichever transaction commits first, and however far the
 * database's clock is set; and nothing is read twice.
 */
import {
  PERSONAL_BATCH_MAX_ROWS,
  PURGE_BATCH_MAX_ROWS,
  REVOCATIONS_PAGE_ROWS,
} from "../../proto/limits.ts";
import type { Millis } from "../../proto/ids.ts";
import { systemClock } from "../io/clock.ts";
import type { Database } from "../io/postgres/postgres.ts";
import { olderSql } from "./rows.ts";

/**
 * `subject`: a principal's name or a token's; its credentials made at `notBefore` or earlier count
 * no more.
 */
export type RevocationRow = { readonly subject: string; readonly notBefore: Millis };

/**
 * How far a reader has come: the server that it read from and the snapshot of its last whole
 * reading, as Postgres writes them. Opaque to everybody else.
 */
export type RevocationCursor = { readonly server: string; readonly snapshot: string };
/** Where a page ended. */
type PageEnd = { readonly madeBy: string; readonly subject: string };
export type RevocationPage = {
  readonly rows: readonly RevocationRow[];
  /**
   * As of this statement. To be kept from the first page of a reading, once its last page has come.
   */
  readonly cursor: RevocationCursor;
  /** Null: this was the last page. */
  readonly next: PageEnd | null;
};

/** What a gateway asks about revocations. */
export type AccessStore = {
  /**
   * Now, by the database's clock; resolves to that time. Repeating it makes it later, never
   * earlier.
   */
  readonly revoke: (subject: string) => Promise<Millis>;
  /**
   * A page of those that became visible since the reading that gave `since`; null: of all. A server
   * that was started anew, or another one, counts its transactions differently: it gives all, under
   * another `cursor.server`.
   */
  readonly revocations: (
    since: RevocationCursor | null,
    after?: PageEnd | null,
  ) => Promise<RevocationPage>;
};

/**
 * A database further ahead than this has a wrong clock, and tokens that are made now must not wait
 * for it.
 */
const DATABASE_AHEAD_MAX_S = 60;

/**
 * Now by this process, whose clock judges tokens, or by the database where that is a little ahead.
 * A database whose clock was set back would let in what was issued in between.
 */
const REVOKE = `
insert into revocations as r (subject, not_before)
select $1, greatest(g.now, least(clock_timestamp(), g.now + interval '${DATABASE_AHEAD_MAX_S} s'))
from (select to_timestamp($2::float8 / 1000) as now) g
on conflict (subject) do update set
  not_before = greatest(r.not_before, excluded.not_before)
returning not_before as "notBefore"`;

/** In it nothing is visible. */
const SNAPSHOT_OF_NOTHING = "1:1:";

/**
 * One statement, so that the snapshot in the answer is the one in which the rows were seen. What
 * was visible before is skipped by the index up to the oldest transaction that was under way then,
 * and one by one from there.
 */
const READ = `
with here as materialized (
  select extract(epoch from pg_postmaster_start_time())::text as server,
    pg_current_snapshot()::text as snapshot
),
since as materialized (
  select case when h.server = $1 then $2 else '${SNAPSHOT_OF_NOTHING}' end::pg_snapshot as seen
  from here h
)
select h.server, h.snapshot, r.subject, r."notBefore", r."madeBy"
from here h left join lateral (
  select subject, not_before as "notBefore", made_by::text as "madeBy", made_by
  from revocations
  where made_by >= (select pg_snapshot_xmin(s.seen) from since s)
    and not pg_visible_in_snapshot(made_by, (select s.seen from since s))
    and (made_by, subject) > ($3::xid8, $4)
  order by made_by, subject limit $5
) r on true
order by r.made_by, r.subject`;

type ReadRow = RevocationCursor &
  (
    | (RevocationRow & { readonly madeBy: string })
    | { readonly subject: null; readonly notBefore: null; readonly madeBy: null }
  );

const PURGE = `
with old as materialized (
  select subject from revocations where ${olderSql("not_before", "$1", "$3")} limit $2
), gone as (
  delete from revocations where subject in (select subject from old) returning 1
)
select count(*)::int as gone from gone`;

/**
 * An ended delivery keeps what statistics need (times, size, status, who carried it) and where it
 * went to about 100 m; phones, notes, addresses and the free words of a cancellation go. An empty
 * phone marks what is done.
 */
const FORGET = `
with old as materialized (
  select id from deliveries
  where ${olderSql("ended_at", "$1", "$3")} and ended_at is not null and phone <> ''
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
 * Tests that ended so long ago, whole, and robots whose test is gone. Both stand together at the
 * end of their index, so however many real deliveries there are, they are not looked at.
 */
const PURGE_TESTS = `
with old as materialized (
  select id from deliveries
  where id > 'tst_' and ${olderSql("ended_at", "$1", "$3")}
  order by id limit $2
  for update skip locked
), gone as (
  delete from deliveries where id in (select id from old) returning id
), robots as (
  delete from couriers where id > 'bot_' and id < 'bot~' and load = 0
    and 'tst_' || substr(id, 5, 23) in (select id from gone)
)
select count(*)::int as gone from gone`;

export async function revoke(db: Database, subject: string): Promise<Millis> {
  const [row] = await db.query<{ notBefore: Millis }>(REVOKE, [subject, systemClock.now()]);
  if (row === undefined) throw new Error("a revocation wrote no row");
  return row.notBefore;
}

export async function revocations(
  db: Database,
  since: RevocationCursor | null,
  after: PageEnd | null = null,
  pageRows: number = REVOCATIONS_PAGE_ROWS,
): Promise<RevocationPage> {
  const found = await db.query<ReadRow>(READ, [
    since?.server ?? "",
    since?.snapshot ?? SNAPSHOT_OF_NOTHING,
    after?.madeBy ?? "0",
    after?.subject ?? "",
    pageRows,
  ]);
  const [{ server, snapshot } = { server: "", snapshot: SNAPSHOT_OF_NOTHING }] = found;
  const rows = found.flatMap((row) => (row.subject === null ? [] : [row]));
  const last = rows.length < pageRows ? undefined : rows.at(-1);
  const next = last === undefined ? null : { madeBy: last.madeBy, subject: last.subject };
  return { rows, cursor: { server, snapshot }, next };
}

/** Deletes some that are older than `hours`; resolves to how many, 0 when there is none left. */
export async function purgeRevocations(db: Database, hours: number): Promise<number> {
  const [row] = await db.query<{ gone: number }>(PURGE, [
    hours,
    PURGE_BATCH_MAX_ROWS,
    systemClock.now(),
  ]);
  return row?.gone ?? 0;
}

/**
 * Forgets the people of some deliveries that ended more than `hours` ago; resolves to how many, 0
 * at the end.
 */
export async function forgetPeople(db: Database, hours: number): Promise<number> {
  const [row] = await db.query<{ gone: number }>(FORGET, [
    hours,
    PERSONAL_BATCH_MAX_ROWS,
    systemClock.now(),
  ]);
  return row?.gone ?? 0;
}

/**
 * Deletes some tests that ended more than `hours` ago, with their robots; resolves to how many, 0
 * at the end.
 */
export async function purgeTests(db: Database, hours: number): Promise<number> {
  const [row] = await db.query<{ gone: number }>(PURGE_TESTS, [
    hours,
    PERSONAL_BATCH_MAX_ROWS,
    systemClock.now(),
  ]);
  return row?.gone ?? 0;
}
