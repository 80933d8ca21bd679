/**
 * The circuit's question to a database that answers and takes no writes, in each way in which that
 * happens.
 */
import type postgres from "postgres";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { migrate } from "../../engine/store/migrate.ts";
import { connectOnce } from "../../scripts/services/postgres.ts";
import { testDatabase } from "../../scripts/testing/services.ts";
import type { TestDatabase } from "../../scripts/testing/services.ts";
import { openProbe } from "./postgres-probe.ts";
import type { Probe } from "./postgres-probe.ts";

let database: TestDatabase;
let admin: postgres.Sql;
let role: string;
let probe: Probe;
let renewed: number;

beforeAll(async () => {
  database = await testDatabase();
  await migrate(database.url);
  admin = connectOnce(database.url);
  role = `probe_${Math.floor(Math.random() * 1e9)}`;
  await admin.unsafe(`create role ${role} login password 'probe'`);
  await admin.unsafe(`grant all on all tables in schema public to ${role}`);
  await admin.unsafe(`grant all on all sequences in schema public to ${role}`);
});
afterAll(async () => {
  await admin.unsafe(`drop owned by ${role}`);
  await admin.unsafe(`drop role ${role}`);
  await admin.end();
  await database.drop();
});
beforeEach(() => {
  renewed = 0;
  const url = new URL(database.url);
  url.username = role;
  url.password = "probe";
  probe = openProbe(url.href, "probed", [{ renew: () => void (renewed += 1) }]);
});
afterEach(() => probe.close());

const isYes = (what: "look" | "write"): Promise<boolean> =>
  probe.ask(what).then(
    () => true,
    () => false,
  );

it("says yes, by a look and by a write, where everything is as it should be", async () => {
  expect([await isYes("look"), await isYes("write"), probe.isWritable()]).toEqual([
    ...[true, true, true],
  ]);
  expect(renewed).toBe(0);
});

describe("a database that answers every read says no", () => {
  it.each([
    ["to its deliveries", "revoke insert on deliveries from", "grant insert on deliveries to"],
    ["to its events", "revoke insert on outbox from", "grant insert on outbox to"],
    ["to its couriers", "revoke update on couriers from", "grant update on couriers to"],
    ["to its keys", "revoke all on idempotency from", "grant all on idempotency to"],
  ])("while a grant is missing %s", async (_, on, off) => {
    await admin.unsafe(`${on} ${role}`);
    const during = [await isYes("look"), probe.isWritable()];
    await admin.unsafe(`${off} ${role}`);
    expect(during).toEqual([false, false]);
    expect([await isYes("look"), probe.isWritable()]).toEqual([true, true]);
  });

  it("while a table is away", async () => {
    await admin`alter table outbox rename to outbox_away`;
    const during = await isYes("look");
    await admin`alter table outbox_away rename to outbox`;
    expect([during, await isYes("look")]).toEqual([false, true]);
  });

  it("while it only reads, and the sessions that were begun there are given up", async () => {
    await admin.unsafe(`alter role ${role} set default_transaction_read_only = on`);
    const during = [await isYes("look"), await isYes("write")];
    await admin.unsafe(`alter role ${role} reset default_transaction_read_only`);
    expect(during).toEqual([false, false]);
    expect(renewed).toBeGreaterThan(0);
  });

  it("while nothing can be committed, though everything can be written: the write says it", async () => {
    await admin`create function no_commit() returns trigger language plpgsql as
      $$ begin raise exception 'no space left on device' using errcode = '53100'; end $$`;
    await admin`create constraint trigger no_commit after insert or update on idempotency
      deferrable initially deferred for each row execute function no_commit()`;
    const during = [await isYes("look"), await isYes("write")];
    await admin`drop function no_commit cascade`;
    expect(during).toEqual([true, false]);
    expect(await isYes("write")).toBe(true);
  });
});
