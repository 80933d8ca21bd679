/**
 * The standing check over a real Postgres: a run that is sound, and each loss done to its rows by
 * hand.
 */
import type postgres from "postgres";
import { afterAll, beforeAll, beforeEach, expect, it } from "vitest";
import { createOf, fixtures } from "../../engine/store/contract/world.ts";
import type { Fixtures } from "../../engine/store/contract/world.ts";
import { migrate } from "../../engine/store/migrate.ts";
import { openPostgresStore } from "../../engine/store/postgres-store.ts";
import type { PostgresStore } from "../../engine/store/postgres-store.ts";
import type { DeliveryId, PrincipalId } from "../../proto/ids.ts";
import { connectOnce } from "../services/postgres.ts";
import { testDatabase } from "../testing/services.ts";
import type { TestDatabase } from "../testing/services.ts";
import { checkClaims } from "./claims-read.ts";
import type { Request } from "./history.ts";

let database: TestDatabase;
let store: PostgresStore;
let admin: postgres.Sql;
let f: Fixtures;
let requests: Request[];
let id: DeliveryId;

beforeAll(async () => {
  database = await testDatabase();
  await migrate(database.url);
  admin = connectOnce(database.url);
  store = openPostgresStore({ url: database.url, applicationName: "claims" });
  const nothing = (): Promise<void> => Promise.resolve();
  f = fixtures(() => ({ stores: [store, store], close: nothing, setClock: nothing }));
});
afterAll(async () => {
  await store.close();
  await admin.end();
  await database.drop();
});

/** One delivery from its create to the pickup, each step answered yes. */
beforeEach(async () => {
  await admin`truncate deliveries`;
  const command = createOf({ owner: "cus_told" as PrincipalId }, { externalId: "o-1" });
  const { job } = command;
  await store.create(command);
  const courier = await f.courier();
  await store.accept({ delivery: job.id, courier });
  await store.status({
    ...{ delivery: job.id, courier, status: "picked_up", claimedAt: null, reason: null },
  });
  ({ id } = job);
  const yes = (verb: Request["verb"], who: string, more: Partial<Request> = {}): Request => ({
    ...{ verb, who, delivery: id, status: null, courier: null },
    ...{ sentAt: 1, endedAt: 2, outcome: { is: "ok" } },
    ...more,
  });
  const { pickupLng, pickupLat, dropoffLng, dropoffLat, size } = job;
  const made = { externalId: "o-1", pickupLng, pickupLat, dropoffLng, dropoffLat, size };
  requests = [
    yes("create", "cus_told", { made }),
    yes("accept", courier),
    yes("status", courier, { status: "picked_up" }),
  ];
});

const kinds = async (): Promise<string[]> => {
  const sources = { postgresUrl: database.url, wasReplaced: () => false, deadlineMs: 0 };
  const { claims, mismatches } = await checkClaims(sources, requests, 0);
  expect(claims).toBe(3);
  return mismatches.map(({ kind }) => kind).toSorted();
};

it("all that was answered is there", async () => {
  expect(await kinds()).toEqual([]);
});

it("a row that is gone, a status that went back and an owner who changed are seen", async () => {
  await admin`update deliveries set status = 'assigned', picked_up_at = null where id = ${id}`;
  expect(await kinds()).toEqual(["lost"]);
  await admin`update deliveries set owner = 'cus_other' where id = ${id}`;
  expect(await kinds()).toEqual(["changed", "lost"]);
  await admin`delete from deliveries where id = ${id}`;
  expect(await kinds()).toEqual(["lost", "lost", "lost"]);
});

it("a second row for one order is seen", async () => {
  await store.create(createOf({ owner: "cus_told" as PrincipalId }, { externalId: "o-1" }));
  expect(await kinds()).toEqual(["doubled", "doubled"]);
});

it("what is on its way is waited for, and a database that does not answer is an error", async () => {
  const [row] = await admin`delete from deliveries where id = ${id} returning *`;
  const sources = { postgresUrl: database.url, wasReplaced: () => false };
  const checked = checkClaims(sources, requests, 0);
  await admin`insert into deliveries ${admin(row as postgres.Row)}`;
  expect((await checked).mismatches).toEqual([]);
  const nobody = "postgres://nobody:x@127.0.0.1:1/none";
  const away = checkClaims({ ...sources, postgresUrl: nobody, deadlineMs: 0 }, requests, 0);
  await expect(away).rejects.toThrow();
});
