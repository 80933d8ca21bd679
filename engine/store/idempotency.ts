/**
 * Answers by idempotency key (D4), for commands that are idempotent by nature; a create keeps its
 * own (`create.ts`). The first answer stays: whoever comes second with the same key has done the
 * same and changed nothing.
 */
import { PURGE_BATCH_MAX_ROWS } from "../../proto/limits.ts";
import { systemClock } from "../io/clock.ts";
import type { Database } from "../io/postgres/postgres.ts";
import type { IdempotencyKey, StoredAnswer } from "./port.ts";
import { olderSql } from "./rows.ts";

const FIND = `
select fingerprint, status, body from idempotency where principal = $1 and key = $2`;

const KEEP = `
insert into idempotency (principal, key, fingerprint, status, body)
values ($1, $2, $3, $4::smallint, $5::text::json)
on conflict (principal, key) do nothing`;

const PURGE = `
with old as materialized (
  select ctid from idempotency where ${olderSql("at", "$1", "$3")} limit $2
), gone as (
  delete from idempotency where ctid = any(array(select ctid from old)) returning 1
)
select count(*)::int as gone from gone`;

export async function storedAnswer(
  db: Database,
  { principal, key }: IdempotencyKey,
): Promise<StoredAnswer | null> {
  const [row] = await db.query<StoredAnswer>(FIND, [principal, key]);
  return row === undefined ? null : { ...row };
}

export async function keepAnswer(
  db: Database,
  { principal, key, fingerprint }: IdempotencyKey,
  status: number,
  body: unknown,
): Promise<void> {
  await db.query(KEEP, [principal, key, fingerprint, status, JSON.stringify(body)]);
}

/** Deletes some keys older than `hours`; resolves to how many, 0 when there is none left. */
export async function purgeIdempotency(db: Database, hours: number): Promise<number> {
  const [row] = await db.query<{ gone: number }>(PURGE, [
    hours,
    PURGE_BATCH_MAX_ROWS,
    systemClock.now(),
  ]);
  return row?.gone ?? 0;
}
