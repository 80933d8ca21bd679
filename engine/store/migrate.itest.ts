/** Migrations over a real Postgres. */
import { cpSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { connectOnce } from "../../scripts/services/postgres.ts";
import { testDatabase } from "../../scripts/testing/services.ts";
import type { TestDatabase } from "../../scripts/testing/services.ts";
import { checkPostgres, migrate } from "./migrate.ts";

let database: TestDatabase;
let folder: string;

beforeEach(async () => {
  database = await testDatabase();
  folder = mkdtempSync(join(tmpdir(), "migrations-"));
});
afterEach(async () => {
  await database.drop();
  rmSync(folder, { recursive: true, force: true });
});

const add = (name: string, text: string): void => writeFileSync(join(folder, name), text);
const tables = async (): Promise<string[]> => {
  const sql = connectOnce(database.url);
  try {
    const rows = await sql<{ name: string }[]>`
      select tablename as name from pg_tables where schemaname = 'public' order by 1`;
    return rows.map((row) => row.name);
  } finally {
    await sql.end();
  }
};

test("an empty database gets everything, a migrated one nothing", async () => {
  expect(await migrate(database.url)).toEqual([
    "0001_init.sql",
    "0002_partners.sql",
    "0003_security.sql",
    "0004_test_mode.sql",
    "0005_revocation_position.sql",
    "0006_times.sql",
    "0007_secrets.sql",
  ]);
  expect(await migrate(database.url)).toEqual([]);
  expect(await tables()).toEqual([
    ...["courier_positions", "couriers", "deliveries", "idempotency", "notices", "outbox"],
    ...["partners", "ping_history", "revocations", "schema_migrations", "shards"],
    ...["webhook_messages", "webhooks"],
  ]);
});

test("a server that is too old is refused, and the line says which is the oldest", () => {
  expect(() => checkPostgres(14)).toThrow("Postgres 14 is too old: 15 is the oldest");
  for (const version of [15, 18]) expect(() => checkPostgres(version)).not.toThrow();
});

test("processes that start together migrate once", async () => {
  const applied = await Promise.all([1, 2, 3, 4, 5].map(() => migrate(database.url)));
  // Each file by one of them, whichever came first.
  expect(applied.flat().sort()).toEqual([
    "0001_init.sql",
    "0002_partners.sql",
    "0003_security.sql",
    "0004_test_mode.sql",
    "0005_revocation_position.sql",
    "0006_times.sql",
    "0007_secrets.sql",
  ]);
});

test("a migration that fails leaves nothing behind, and those before it stand", async () => {
  add("0001_first.sql", "create table one (id int);");
  add("0002_second.sql", "create table two (id int); select 1 / 0;");
  await expect(migrate(database.url, folder)).rejects.toThrow("division by zero");
  expect(await tables()).toEqual(["one", "schema_migrations"]);
  add("0002_second.sql", "create table two (id int);");
  expect(await migrate(database.url, folder)).toEqual(["0002_second.sql"]);
});

test("history that was edited or renamed is refused", async () => {
  add("0001_first.sql", "create table one (id int);\r\n");
  await migrate(database.url, folder);
  add("0001_first.sql", "create table one (id int);\n");
  expect(await migrate(database.url, folder)).toEqual([]);
  add("0001_first.sql", "create table one (id bigint);\n");
  await expect(migrate(database.url, folder)).rejects.toThrow("must not be edited");
  rmSync(join(folder, "0001_first.sql"));
  add("0001_other.sql", "create table one (id int);\n");
  await expect(migrate(database.url, folder)).rejects.toThrow("must not be edited");
});

test("a database that is newer than this code is left alone; a gap in the numbers is not", async () => {
  add("0001_first.sql", "select 1;");
  add("0002_second.sql", "select 1;");
  await migrate(database.url, folder);
  const older = mkdtempSync(join(tmpdir(), "migrations-"));
  cpSync(join(folder, "0001_first.sql"), join(older, "0001_first.sql"));
  expect(await migrate(database.url, older)).toEqual([]);
  cpSync(join(folder, "0002_second.sql"), join(older, "0003_third.sql"));
  await expect(migrate(database.url, older)).rejects.toThrow("should be migration 2");
  rmSync(older, { recursive: true });
});
