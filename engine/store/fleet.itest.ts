/** The fleet as estimates read it, out of a real database. */
import { afterAll, beforeAll, expect, it } from "vitest";
import { testDatabase } from "../../scripts/testing/services.ts";
import type { TestDatabase } from "../../scripts/testing/services.ts";
import { NOW, fixtures } from "./contract/world.ts";
import { migrate } from "./migrate.ts";
import { openPostgresStore } from "./postgres-store.ts";
import type { PostgresStore } from "./postgres-store.ts";

let database: TestDatabase;
let store: PostgresStore;
const given = fixtures(() => ({
  stores: [store, store],
  setClock: () => Promise.reject(new Error("nothing here asks for it")),
  close: () => Promise.resolve(),
}));

beforeAll(async () => {
  database = await testDatabase();
  await migrate(database.url);
  store = openPostgresStore({ url: database.url, applicationName: "fleet" });
});
afterAll(async () => {
  await store.close();
  await database.drop();
});

it("the fleet is who is on shift and where, what they carry, and where deliveries wait", async () => {
  const [busy, idle] = [await given.courier({ capacity: 3 }), await given.courier()];
  const [home, nowhere] = [await given.courier({ online: false }), await given.courier()];
  const at = { at: NOW, lng: -122.4, lat: 37.77 };
  await store.saveLastKnown([busy, idle, home].map((courier) => ({ courier, ...at })));
  const [fetched, taken] = [await given.created(), await given.created()];
  for (const delivery of [fetched, taken]) await store.accept({ delivery, courier: busy });
  const report = { delivery: fetched, courier: busy, claimedAt: null, reason: null };
  await store.status({ ...report, status: "picked_up" });
  for (const lat of [37.791, 37.792, 37.71]) await given.created({ pickupLat: lat });

  const { couriers, deliveries, backlogs } = await store.fleet();
  const slots = new Map(couriers.map((courier) => [courier.id, courier.slots]));
  expect([slots.get(busy), slots.has(idle), slots.has(home), slots.has(nowhere)]).toEqual([
    1,
    true,
    false,
    false,
  ]);
  expect(couriers[0]).toMatchObject({ lng: at.lng, lat: at.lat, vehicle: "bike" });
  const of = (id: string) => deliveries.find((delivery) => delivery.id === id);
  const dropoff = { lng: -122.42, lat: 37.76 };
  expect(of(fetched)).toMatchObject({ courier: busy, pickup: null, dropoff, readyAt: null });
  expect(of(taken)).toMatchObject({ pickup: { lng: -122.39, lat: 37.79 } });
  expect(of(taken)?.searchS).toBeGreaterThanOrEqual(0);
  expect(backlogs.map(({ waiting }) => waiting).toSorted()).toEqual([1, 2]);
});
