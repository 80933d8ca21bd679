/**
 * What is kept of ended deliveries, of tracks and of revocations, and how the rest is forgotten.
 */
import type postgres from "postgres";
import { afterAll, beforeAll, expect, it } from "vitest";
import { DISPATCH_DEFAULTS, PERSONAL_BATCH_MAX_ROWS } from "../../proto/limits.ts";
import type { CourierId, DeliveryId } from "../../proto/ids.ts";
import { robotOf } from "../../proto/test-mode.ts";
import { connectOnce } from "../../scripts/services/postgres.ts";
import { testDatabase } from "../../scripts/testing/services.ts";
import type { TestDatabase } from "../../scripts/testing/services.ts";
import { createLog } from "../io/log.ts";
import { keepHouse } from "../node.ts";
import {
  SHIFT_SHARD,
  createOf,
  newCourierId,
  newDeliveryId,
  newTestId,
  upTo,
} from "./contract/world.ts";
import { migrate } from "./migrate.ts";
import { openPostgresStore } from "./postgres-store.ts";
import type { PostgresStore } from "./postgres-store.ts";

const PERSONAL = {
  pickupAddress: "123 Market St, SF",
  dropoffAddress: "456 Valencia St, SF",
  phone: "+1-555-0100",
  recipientPhone: "+1-555-0199",
  notes: "Ring twice, ask for Ana",
};
const WORDS = /Market|Valencia|555|Ana|too slow/;
const log = createLog("silent", {});

let database: TestDatabase;
let admin: postgres.Sql;
let store: PostgresStore;

beforeAll(async () => {
  database = await testDatabase();
  await migrate(database.url);
  admin = connectOnce(database.url);
  store = openPostgresStore({ url: database.url, applicationName: "retention" });
});
afterAll(async () => {
  await store.close();
  await admin.end();
  await database.drop();
});

/** A delivery that ended so many hours ago, or waits. */
async function delivery(endedHoursAgo: number | null): Promise<string> {
  const id = newDeliveryId();
  const job = { id, pickupLng: -122.394567, dropoffLat: 37.761234 };
  await store.create(createOf(job, PERSONAL));
  if (endedHoursAgo === null) return id;
  await admin`
    update deliveries set status = 'canceled', status_reason = 'canceled_by_customer: too slow, Ana',
      ended_at = now() - make_interval(hours => ${endedHoursAgo}) where id = ${id}`;
  return id;
}

const rowText = async (id: string): Promise<string> => {
  const [row] = await admin`select to_jsonb(d)::text as text from deliveries d where id = ${id}`;
  return (row?.["text"] as string | undefined) ?? "";
};

it("people of deliveries that ended long ago are forgotten, and what statistics need stays", async () => {
  const old = await Promise.all(upTo(PERSONAL_BATCH_MAX_ROWS + 5).map(() => delivery(50)));
  const [recent, open] = [await delivery(40), await delivery(null)];
  const courier = newCourierId();
  const at = Date.now() - 49 * 3_600_000;
  await store.appendHistory([{ courier, at, lng: 0, lat: 0 }]);
  await store.revoke("courier:cur_recent");

  await keepHouse(store, { TRACKS_KEPT_H: 48, PERSONAL_KEPT_H: 48 }, log);

  for (const id of [old[0], old.at(-1)]) expect(await rowText(id as string)).not.toMatch(WORDS);
  const row = await store.delivery(old[0] as never);
  expect(row).toMatchObject({
    status: "canceled",
    statusReason: "canceled_by_customer",
    phone: "",
    notes: null,
    pickupAddress: null,
    pickupLng: -122.395,
    dropoffLat: 37.761,
  });
  expect(row?.endedAt).not.toBeNull();
  for (const id of [recent, open]) expect(await rowText(id)).toMatch(/Market/);
  expect(await admin`select 1 from ping_history where courier_id = ${courier}`).toHaveLength(0);
  expect((await store.revocations(null)).rows).toHaveLength(1);
  // Nothing is done twice.
  expect(await store.forgetPeople(48)).toBe(0);
});

it("a revocation is kept a little longer than the longest token lives, and moves forward only", async () => {
  await store.revoke("courier:cur_1");
  const [first] = (await store.revocations(null)).rows.filter(
    (row) => row.subject === "courier:cur_1",
  );
  await store.revoke("courier:cur_1");
  const [second] = (await store.revocations(null)).rows.filter(
    (row) => row.subject === "courier:cur_1",
  );
  expect(second?.notBefore).toBeGreaterThanOrEqual(first?.notBefore ?? Number.NaN);
  await admin`update revocations set not_before = now() - interval '366 days'`;
  await keepHouse(store, DISPATCH_DEFAULTS, log);
  expect((await store.revocations(null)).rows.length).toBeGreaterThan(0);
  await admin`update revocations set not_before = now() - interval '368 days'`;
  await keepHouse(store, DISPATCH_DEFAULTS, log);
  expect((await store.revocations(null)).rows).toHaveLength(0);
});

it("tests that ended long ago are deleted with their robots; nothing else is", async () => {
  const make = async (endedHoursAgo: number | null): Promise<DeliveryId> => {
    const id = newTestId();
    await store.create(createOf({ id }, PERSONAL));
    const robot = robotOf(id, 1);
    const profile = { name: "Robo", phone: "+1-555-0100", vehicle: "bike", capacity: 1 } as const;
    await store.putCourier({ id: robot, shard: SHIFT_SHARD, ...profile });
    if (endedHoursAgo === null) return id;
    await admin`
      update deliveries set status = 'canceled',
        ended_at = now() - make_interval(hours => ${endedHoursAgo}) where id = ${id}`;
    return id;
  };
  const [old, recent, open] = [await make(50), await make(40), await make(null)];
  const real = await delivery(300);
  await keepHouse(store, DISPATCH_DEFAULTS, log);
  const left = async (id: DeliveryId) => [
    (await store.delivery(id)) !== null,
    (await store.courier(robotOf(id, 1))) !== null,
  ];
  expect(await left(old)).toEqual([false, false]);
  expect(await left(recent)).toEqual([true, true]);
  expect(await left(open)).toEqual([true, true]);
  expect(await rowText(real)).not.toBe("");
});

it("whatever is written, a test cannot have a courier, nor a parcel a robot", async () => {
  const [test, real] = [newTestId(), newDeliveryId()];
  for (const id of [test, real]) await store.create(createOf({ id }));
  const give = (id: DeliveryId, courier: CourierId) => admin`
    update deliveries set status = 'assigned', courier_id = ${courier} where id = ${id}`;
  await expect(give(test, newCourierId())).rejects.toThrow("a_test_is_carried_by_a_robot");
  await expect(give(real, robotOf(test, 1))).rejects.toThrow("a_test_is_carried_by_a_robot");
  expect((await give(test, robotOf(test, 1))).count).toBe(1);
});
