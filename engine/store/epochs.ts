/**
 * Who owns a shard (D8): one row for each that was ever owned, never deleted, its epoch one higher
 * with each taking. Whoever takes a shard waits for the statements that still decide under the
 * epoch before (`rounds.ts` holds the row `for share`), so none of them takes effect after the
 * taking.
 */
import type { Epoch, ShardId } from "../../proto/ids.ts";
import { numberArray } from "../io/postgres/postgres.ts";
import type { Database } from "../io/postgres/postgres.ts";
import type { ExpectedEpochs, ShardOwner } from "./port.ts";
import { NOW_SQL } from "./rows.ts";

/**
 * By compare-and-set: of two that go by the same epoch, the second waits for the first and then
 * finds the row changed. Rows are locked in the order of their numbers, like everywhere. A row at
 * the next epoch under our own name is ours from the first time, whose answer was lost. Without a
 * row, whoever expects more than 0 goes by another database.
 */
const TAKE = `
insert into shards (shard, epoch, node, taken_at)
select w.shard, w.expected + 1, $1, ${NOW_SQL}
from unnest($2::smallint[], $3::bigint[]) as w(shard, expected)
where w.expected = 0 or exists (select 1 from shards s where s.shard = w.shard)
order by w.shard
on conflict (shard) do update set
  epoch = excluded.epoch, node = excluded.node, taken_at = excluded.taken_at
where shards.epoch = excluded.epoch - 1
  or (shards.epoch = excluded.epoch and shards.node = excluded.node)
returning shard, epoch`;

const OWNERS = "select shard, epoch, node from shards order by shard";

/** As they arrive: an int8 comes as text. */
type RawOwner = Omit<ShardOwner, "epoch"> & { readonly epoch: string };
const toEpoch = (epoch: string): Epoch => Number(epoch) as Epoch;

export async function takeShards(
  db: Database,
  node: string,
  expected: ExpectedEpochs,
): Promise<ReadonlyMap<ShardId, Epoch>> {
  if (expected.size === 0) return new Map();
  const params = [node, numberArray([...expected.keys()]), numberArray([...expected.values()])];
  const rows = await db.query<Omit<RawOwner, "node">>(TAKE, params);
  return new Map(rows.map(({ shard, epoch }) => [shard, toEpoch(epoch)]));
}

export async function shardOwners(db: Database): Promise<readonly ShardOwner[]> {
  const rows = await db.query<RawOwner>(OWNERS, []);
  return rows.map(({ epoch, ...rest }) => ({ ...rest, epoch: toEpoch(epoch) }));
}
