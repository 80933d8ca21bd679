/**
 * What is kept so long and no longer, one row on either side of each time; and more than one bite
 * of what is old.
 */
import type postgres from "postgres";
import { afterAll, beforeAll, expect, it } from "vitest";
import {
  DISPATCH_DEFAULTS,
  IDEMPOTENCY_KEPT_H,
  NOTICES_KEPT_H,
  PERSONAL_BATCH_MAX_ROWS,
  PURGE_BATCH_MAX_ROWS,
  WEBHOOK_KEPT_H,
} from "../../proto/limits.ts";
import { connectOnce } from "../../scripts/services/postgres.ts";
import { testDatabase } from "../../scripts/testing/services.ts";
import type { TestDatabase } from "../../scripts/testing/services.ts";
import { createLog } from "../io/log.ts";
import { keepHouse } from "../node.ts";
import { createOf, newCourierId, newDeliveryId, newTestId, upTo } from "./contract/world.ts";
import { migrate } from "./migrate.ts";
import { openPartnerStore } from "./partners.ts";
import type { PartnerStore } from "./partners.ts";
import { openPostgresStore } from "./postgres-store.ts";
import type { PostgresStore } from "./postgres-store.ts";

const log = createLog("silent", {});

let database: TestDatabase;
let admin: postgres.Sql;
let store: PostgresStore;
let partners: PartnerStore;

beforeAll(async () => {
  database = await testDatabase();
  await migrate(database.url);
  admin = connectOnce(database.url);
  store = openPostgresStore({ url: database.url, applicationName: "kept" });
  partners = openPartnerStore({ url: database.url, applicationName: "kept" });
});
afterAll(async () => {
  await Promise.all([store.close(), partners.close()]);
  await admin.end();
  await database.drop();
});

/** A delivery that ended so many hours ago. */
async function delivery(endedHoursAgo: number): Promise<string> {
  const id = newDeliveryId();
  await store.create(createOf({ id }));
  await admin`
    update deliveries set status = 'canceled',
      ended_at = now() - make_interval(hours => ${endedHoursAgo}) where id = ${id}`;
  return id;
}

/** What is kept so long, and no longer: one row on either side of it. */
it.each([
  ["keys", IDEMPOTENCY_KEPT_H, 48],
  ["tracks", DISPATCH_DEFAULTS.TRACKS_KEPT_H, 30 * 24],
  ["people", DISPATCH_DEFAULTS.PERSONAL_KEPT_H, 90 * 24],
  ["messages", WEBHOOK_KEPT_H, 7 * 24],
  ["notices", NOTICES_KEPT_H, 14 * 24],
] as const)("%s are kept for %i hours, and an hour later they are gone", async (what, hours, h) => {
  expect(hours).toBe(h);
  const courier = newCourierId();
  const [young, old] = [hours - 1, hours + 1];
  const people = [await delivery(young), await delivery(old)];
  await admin`insert into idempotency (principal, key, fingerprint, status, body, at)
    select ${courier}, h::text, '', 201, '{}', now() - make_interval(hours => h)
    from unnest(${[young, old]}::int[]) h`;
  await admin`insert into ping_history (courier_id, at, lng_e7, lat_e7)
    select ${courier}, now() - make_interval(hours => h), 0, 0 from unnest(${[young, old]}::int[]) h`;
  await admin`insert into webhook_messages
      (webhook_id, delivery_id, number, type, body, state, ended_at)
    select ${courier}, 'del', h, 'created', '{}', 'sent', now() - make_interval(hours => h)
    from unnest(${[young, old]}::int[]) h`;
  await admin`insert into notices (delivery_id, number, outcome, at)
    select ${courier}, h, 'sent', now() - make_interval(hours => h)
    from unnest(${[young, old]}::int[]) h`;

  await keepHouse(store, DISPATCH_DEFAULTS, log);
  await partners.webhooks.purge(WEBHOOK_KEPT_H);
  await partners.notices.purge(NOTICES_KEPT_H);

  const count = async (rows: Promise<readonly unknown[]>): Promise<number> => (await rows).length;
  const left = {
    keys: () => count(admin`select 1 from idempotency where principal = ${courier}`),
    tracks: () => count(admin`select 1 from ping_history where courier_id = ${courier}`),
    people: () => count(admin`select 1 from deliveries where id = any(${people}) and phone <> ''`),
    messages: () => count(admin`select 1 from webhook_messages where webhook_id = ${courier}`),
    notices: () => count(admin`select 1 from notices where delivery_id = ${courier}`),
  };
  expect(await left[what]()).toBe(1);
});

it("however much is old, all of it goes at one time of housekeeping, and nothing that is young", async () => {
  const count = PURGE_BATCH_MAX_ROWS + 1;
  const tests = PERSONAL_BATCH_MAX_ROWS + 1;
  await admin`insert into idempotency (principal, key, fingerprint, status, body, at)
    select 'customer:many', n::text, '', 201, '{}',
      now() - make_interval(hours => case when n = 0 then 1 else 100 end)
    from generate_series(0, ${count}::int) n`;
  await store.appendHistory(
    upTo(count + 1).map((i) => ({
      courier: newCourierId(),
      at: Date.now() - (i === 0 ? 0 : 1_000) * 3_600_000,
      ...{ lng: 0, lat: 0 },
    })),
  );
  await admin`insert into revocations (subject, not_before)
    select 'customer:many' || n, now() - make_interval(days => case when n = 0 then 1 else 400 end)
    from generate_series(0, ${count}::int) n`;
  for (let n = 0; n < tests; n++) await store.create(createOf({ id: newTestId() }));
  await admin`update deliveries set status = 'canceled', ended_at = now() - interval '100 hours'
    where id > 'tst_' and ended_at is null`;
  await keepHouse(store, DISPATCH_DEFAULTS, log);
  const [left] = await admin`select
    (select count(*)::int from idempotency where principal = 'customer:many') as keys,
    (select count(*)::int from ping_history where at < now() - interval '720 hours') as tracks,
    (select count(*)::int from revocations where subject like 'customer:many%') as revoked,
    (select count(*)::int from deliveries where id > 'tst_') as tests`;
  expect(left).toEqual({ keys: 1, tracks: 0, revoked: 1, tests: 0 });
});
