/**
 * Decisions of shard owners: rounds of the offer protocol, unfilled deliveries, shifts. Each is
 * conditional on the shard's epoch in the same statement (D8). The shard's row is read `for share`:
 * whoever takes the shard waits for the statements that still decide under the old epoch, and those
 * that come later see the new one; so no write of an older epoch takes effect after one of a newer
 * epoch. Order of locks: shards, deliveries, couriers.
 */
import type { Epoch, ShardId } from "../../proto/ids.ts";
import type { ActorWrite, WriteOutcome } from "../../proto/writes.ts";
import type { Database } from "../io/postgres/postgres.ts";
import { SNAPSHOT_COLUMNS, changeTimeSql, isoTime, numbered, toSnapshot } from "./rows.ts";
import type { RawSnapshot } from "./rows.ts";

export type OwnedWrite<K extends ActorWrite["kind"]> = {
  readonly write: Extract<ActorWrite, { kind: K }>;
  readonly shard: ShardId;
  readonly epoch: Epoch;
};

/**
 * Which writes have a shard that is still at their epoch, and stays so until the commit. All of
 * them are kept, with the verdict, and looked up in sets: the planner expects a single row of a
 * join here and would compare all with all.
 */
const JUDGED = `
owned as materialized (
  select s.shard, s.epoch from shards s
  where s.shard = any(array(select w.shard from wanted w))
  order by s.shard for share
),
judged as materialized (
  select w.*, (w.shard, w.epoch) in (select o.shard, o.epoch from owned o) as is_mine
  from wanted w
)`;

/** The deliveries of those writes, locked in the order of their ids. */
const LOCKED_DELIVERY = `
delivery as materialized (
  select d.* from deliveries d
  where d.id = any(array(select j.delivery from judged j where j.is_mine))
  order by d.id for update
)`;

/**
 * How each write ended; `done` holds the ids of what was recorded. Superseded ones come with the
 * row as it stands.
 */
const OUTCOMES = `
select a.ord, a.outcome, ${SNAPSHOT_COLUMNS}
from (
  select
    j.ord, j.delivery,
    case when not j.is_mine then 'fenced' when j.delivery in (select id from done) then 'recorded'
      else 'superseded' end as outcome
  from judged j
) a
left join delivery d on d.id = a.delivery and a.outcome = 'superseded'
order by a.ord`;

/**
 * A round changes no status and no version, so it is simply written again when its answer was lost.
 */
const ROUND = `
with wanted as materialized (
  select * from json_to_recordset($1::text::json) as w(
    ord int, shard smallint, epoch bigint, delivery text, version int, wave int, offers jsonb,
    asked text[], next_attempt_at timestamptz, replacing boolean, reason text)
),
${JUDGED},
${LOCKED_DELIVERY},
done as (
  update deliveries d set
    wave = j.wave, offers = j.offers, asked = j.asked, next_attempt_at = j.next_attempt_at,
    replacing = j.replacing, status_reason = j.reason, epoch = j.epoch,
    -- No change, but what the constraints look at must come from the locked row (see accept.ts).
    status = l.status, courier_id = l.courier_id
  from judged j join delivery l on l.id = j.delivery
  where d.id = j.delivery and j.is_mine and l.version = j.version and l.epoch <= j.epoch
    -- "replacing" false on an assigned delivery: its courier is well again, the search is called
    -- off.
    and (l.status = 'assigned' or (l.status = 'pending' and not j.replacing))
  returning d.id
)
${OUTCOMES}`;

/**
 * A row that this very owner has already made unfilled is recorded: the answer of the first time
 * was lost.
 */
const UNFILLED = `
with wanted as materialized (
  select * from json_to_recordset($1::text::json) as w(
    ord int, shard smallint, epoch bigint, delivery text, reason text)
),
${JUDGED},
${LOCKED_DELIVERY},
ended as (
  update deliveries d set
    status = 'unfilled', status_reason = j.reason, version = l.version + 1,
    ended_at = ${changeTimeSql("l")}, changed_at = ${changeTimeSql("l")},
    offers = '[]', next_attempt_at = null, epoch = j.epoch
  from judged j join delivery l on l.id = j.delivery
  where d.id = j.delivery and j.is_mine and l.status = 'pending' and l.epoch <= j.epoch
  returning d.*
),
event as (
  insert into outbox (delivery_id, owner, number, type, status, reason, external_id, at)
  select id, owner, version, 'unfilled', 'unfilled', status_reason, external_id, ended_at
  from ended
),
done as (
  select id from ended
  union all
  select l.id from delivery l join judged j on j.delivery = l.id
  where l.status = 'unfilled' and j.is_mine and l.epoch = j.epoch
)
${OUTCOMES}`;

const SHIFT = `
with wanted as materialized (
  select * from json_to_recordset($1::text::json) as w(
    ord int, shard smallint, epoch bigint, courier text, online boolean)
),
${JUDGED},
courier as materialized (
  select c.* from couriers c
  where c.id = any(array(select j.courier from judged j where j.is_mine))
  order by c.id for update
),
done as (
  update couriers c set online = j.online, epoch = j.epoch
  from judged j join courier l on l.id = j.courier
  where c.id = j.courier and j.is_mine and l.epoch <= j.epoch
  returning c.id
)
select
  j.ord,
  case when not j.is_mine then 'fenced'
    when j.courier in (select id from done) then 'recorded'
    -- A row of a newer epoch than the shard's: this owner is not the newest.
    when j.courier in (select id from courier) then 'fenced'
    else 'superseded' end as outcome,
  null::text as id
from judged j
order by j.ord`;

/** Without a row to show, its columns are null, the id among them. */
type Answer = { readonly outcome: WriteOutcome["outcome"] } & (RawSnapshot | { readonly id: null });

const toOutcome = (answer: Answer): WriteOutcome =>
  answer.outcome === "superseded"
    ? { outcome: "superseded", snapshot: answer.id === null ? null : toSnapshot(answer) }
    : { outcome: answer.outcome };

export async function writeRounds(
  db: Database,
  writes: readonly OwnedWrite<"round">[],
): Promise<readonly WriteOutcome[]> {
  const records = writes.map(({ write, shard, epoch }) => ({
    shard,
    epoch,
    delivery: write.delivery,
    version: write.version,
    wave: write.wave,
    offers: write.offers,
    asked: write.asked,
    next_attempt_at: isoTime(write.nextAttemptAt),
    replacing: write.replacing,
    reason: write.reason,
  }));
  return (await db.query<Answer>(ROUND, [numbered(records)])).map(toOutcome);
}

export async function writeUnfilled(
  db: Database,
  writes: readonly OwnedWrite<"unfilled">[],
): Promise<readonly WriteOutcome[]> {
  const records = writes.map(({ write: { delivery, reason }, shard, epoch }) => ({
    shard,
    epoch,
    delivery,
    reason,
  }));
  return (await db.query<Answer>(UNFILLED, [numbered(records)])).map(toOutcome);
}

export async function writeShifts(
  db: Database,
  writes: readonly OwnedWrite<"shift">[],
): Promise<readonly WriteOutcome[]> {
  const records = writes.map(({ write: { courier, online }, shard, epoch }) => ({
    shard,
    epoch,
    courier,
    online,
  }));
  return (await db.query<Answer>(SHIFT, [numbered(records)])).map(toOutcome);
}
