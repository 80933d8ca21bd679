/**
 * Positions in bulk: where each courier was last, and the history of all. Arrays in, one statement
 * a thousand rows.
 */
import type { CourierId } from "../../proto/ids.ts";
import { POSITIONS_BATCH_MAX_ROWS, PURGE_BATCH_MAX_ROWS } from "../../proto/limits.ts";
import { systemClock } from "../io/clock.ts";
import { numberArray, textArray } from "../io/postgres/postgres.ts";
import type { Database, Param } from "../io/postgres/postgres.ts";
import type { Position } from "./port.ts";
import { olderSql } from "./rows.ts";

/**
 * Never an older position over a newer one. Sorted, so that two nodes that save the same couriers
 * cannot deadlock.
 */
const SAVE = `
insert into courier_positions as p (courier_id, at, lng, lat)
select distinct on (courier) courier, to_timestamp(at / 1000.0), lng, lat
from unnest($1::text[], $2::float8[], $3::float8[], $4::float8[]) as n(courier, at, lng, lat)
order by courier, at desc
on conflict (courier_id) do update set at = excluded.at, lng = excluded.lng, lat = excluded.lat
where p.at < excluded.at`;

const APPEND = `
insert into ping_history (courier_id, at, lng_e7, lat_e7)
select courier, to_timestamp(at / 1000.0), lng, lat
from unnest($1::text[], $2::float8[], $3::int[], $4::int[]) as n(courier, at, lng, lat)`;

const LAST_KNOWN = "select at, lng, lat from courier_positions where courier_id = $1";

/** A bounded bite of what is old; the BRIN index finds it without reading the rest. */
const PURGE = `
with old as materialized (
  select ctid from ping_history where ${olderSql("at", "$1", "$3")} limit $2
), gone as (
  delete from ping_history where ctid = any(array(select ctid from old)) returning 1
)
select count(*)::int as gone from gone`;

/** 1e-7 degree fits 180 degrees into an int4. */
const toE7 = (degrees: number): number => Math.round(degrees * 1e7);

export async function saveLastKnown(db: Database, positions: readonly Position[]): Promise<void> {
  for (const part of inBatches(positions)) {
    await db.query(
      SAVE,
      columns(part, (degrees) => degrees),
    );
  }
}

/**
 * Not repeated when the answer is lost: the rows have no key, and a hole of a thousand pings hurts
 * a track as little as the same pings twice. Rejects with `unavailable` then, and the caller
 * decides.
 */
export async function appendHistory(db: Database, positions: readonly Position[]): Promise<void> {
  for (const part of inBatches(positions)) {
    await db.query(APPEND, columns(part, toE7), { repeat: false });
  }
}

export async function lastKnown(db: Database, courier: CourierId): Promise<Position | null> {
  type Raw = Omit<Position, "courier">;
  const [row] = await db.query<Raw>(LAST_KNOWN, [courier]);
  return row === undefined ? null : { courier, ...row };
}

/**
 * Deletes some history older than `hours`; resolves to how many rows, 0 when there is none left.
 */
export async function purgeHistory(db: Database, hours: number): Promise<number> {
  const [row] = await db.query<{ gone: number }>(PURGE, [
    hours,
    PURGE_BATCH_MAX_ROWS,
    systemClock.now(),
  ]);
  return row?.gone ?? 0;
}

const columns = (part: readonly Position[], toUnit: (degrees: number) => number): Param[] => [
  textArray(part.map((position) => position.courier)),
  numberArray(part.map((position) => position.at)),
  numberArray(part.map((position) => toUnit(position.lng))),
  numberArray(part.map((position) => toUnit(position.lat))),
];

function* inBatches(positions: readonly Position[]): Generator<readonly Position[]> {
  for (let at = 0; at < positions.length; at += POSITIONS_BATCH_MAX_ROWS) {
    yield positions.slice(at, at + POSITIONS_BATCH_MAX_ROWS);
  }
}
