/**
 * What the schema promises about the frequent updates: heap-only (HOT), so they touch no index and
 * leave nothing that only vacuum clears away. One more index, or one on the wrong column, would end
 * that without any other sign.
 */
import type postgres from "postgres";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { ShardId } from "../../proto/ids.ts";
import { connectOnce } from "../../scripts/services/postgres.ts";
import { testDatabase } from "../../scripts/testing/services.ts";
import type { TestDatabase } from "../../scripts/testing/services.ts";
import { createOf, newCourierId, newDeliveryId, takeOver, upTo } from "./contract/world.ts";
import { migrate } from "./migrate.ts";
import { openPostgresStore } from "./postgres-store.ts";
import type { PostgresStore } from "./postgres-store.ts";

let database: TestDatabase;
let admin: postgres.Sql;

beforeAll(async () => {
  database = await testDatabase();
  await migrate(database.url);
  admin = connectOnce(database.url);
});
afterAll(async () => {
  await admin.end();
  await database.drop();
});

const SHARD = 5 as ShardId;

/**
 * Rows of a table that `work` updated, and how many of them heap-only. The store's processes report
 * what they counted when they end, which is why each work has a store of its own.
 */
async function updatesOf(
  table: string,
  work: (store: PostgresStore) => Promise<unknown>,
): Promise<{ all: number; hot: number }> {
  const counts = async (): Promise<{ all: number; hot: number }> => {
    const [row] = await admin<{ all: number; hot: number }[]>`
      select n_tup_upd::int as all, n_tup_hot_upd::int as hot
      from pg_stat_user_tables where relname = ${table}`;
    if (row === undefined) throw new Error(`there is no table ${table}`);
    return row;
  };
  const before = await counts();
  const store = openPostgresStore({
    ...{ url: database.url, applicationName: "hot", connections: 1 },
  });
  await work(store);
  await store.close();
  // Polled: they end a moment after their connection.
  await expect.poll(async () => (await counts()).all, { timeout: 20_000 }).not.toBe(before.all);
  const after = await counts();
  return { all: after.all - before.all, hot: after.hot - before.hot };
}

test("a courier's shift and load change without touching an index", async () => {
  const { all, hot } = await updatesOf("couriers", async (store) => {
    const epoch = await takeOver(store, "node", SHARD);
    const id = newCourierId();
    const profile = { name: "A", phone: "1", vehicle: "bike", capacity: 20 } as const;
    await store.putCourier({ id, shard: SHARD, ...profile });
    await store.write({ kind: "shift", courier: id, online: true }, SHARD, epoch);
    for (const _ of upTo(10)) {
      const { job } = createOf({ id: newDeliveryId(SHARD) });
      await store.create({ ...createOf(), job });
      await store.accept({ delivery: job.id, courier: id });
    }
  });
  expect(all).toBe(11);
  expect(hot).toBe(all);
});
