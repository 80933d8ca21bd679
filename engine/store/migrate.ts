/**
 * Brings a database to the schema of this code: the numbered files of `engine/sql`, each in a
 * transaction of its own together with the row that records it. Any number of processes may start
 * at once; an advisory lock lets them through one by one, and the second finds nothing to do. A
 * file whose text differs from what was applied is refused: history is added to, never edited.
 * Migrations newer than this code are left alone, so that an older process may start beside newer
 * ones during a roll-out.
 */
import { createHash } from "node:crypto";
import { readFileSync, readdirSync } from "node:fs";
import { fileURLToPath } from "node:url";
import type postgres from "postgres";
import { POSTGRES_VERSION_MIN } from "../../proto/limits.ts";
import { connectPostgres } from "../io/postgres/driver.ts";

/** Beside this file's folder in the source and in dist/ alike. */
const SQL_FOLDER = fileURLToPath(new URL("../sql/", import.meta.url));
const FILE_PATTERN = /^(\d{4})_[a-z0-9_]+\.sql$/;
/** Any number does, as long as all versions of this program use the same: "hexd" in ASCII. */
const LOCK_KEY = 0x68657864;

type Migration = { readonly name: string; readonly text: string; readonly hash: string };

/**
 * Applies what is missing, in order, and resolves to the names of what it applied. Rejects when the
 * server is too old, cannot be reached, or was migrated by files that differ from ours.
 */
export async function migrate(url: string, folder = SQL_FOLDER): Promise<readonly string[]> {
  const migrations = readMigrations(folder);
  const applicationName = "hexdispatch migrate";
  const sql = connectPostgres(url, { applicationName, driver: { max: 1 } });
  try {
    await checkVersion(sql);
    const applied: string[] = [];
    for (const migration of migrations) {
      if (await sql.begin((tx) => applyOnce(tx, migration))) applied.push(migration.name);
    }
    return applied;
  } finally {
    await sql.end({ timeout: 1 });
  }
}

function readMigrations(folder: string): readonly Migration[] {
  const names = readdirSync(folder)
    .filter((name) => name.endsWith(".sql"))
    .sort();
  if (names.length === 0)
    throw new Error(`no migrations in ${folder}: was it copied at the build?`);
  return names.map((name, i) => {
    if (Number(FILE_PATTERN.exec(name)?.[1]) !== i + 1) {
      throw new Error(`${name} should be migration ${i + 1}, named like 0001_some_words.sql`);
    }
    // A checkout with Windows line ends is the same history.
    const text = readFileSync(`${folder}/${name}`, "utf8").replaceAll("\r\n", "\n");
    return { name, text, hash: createHash("sha256").update(text).digest("hex") };
  });
}

async function checkVersion(sql: postgres.Sql): Promise<void> {
  const [row] = await sql<{ version: number }[]>`
    select current_setting('server_version_num')::int / 10000 as version`;
  checkPostgres(row?.version ?? 0);
}

/** Throws for a version, its first number, that is too old. */
export function checkPostgres(version: number): void {
  if (version >= POSTGRES_VERSION_MIN) return;
  throw new Error(`Postgres ${version} is too old: ${POSTGRES_VERSION_MIN} is the oldest`);
}

/**
 * True when it was applied now. The lock ends with the transaction, whatever becomes of the
 * connection.
 */
async function applyOnce(tx: postgres.TransactionSql, migration: Migration): Promise<boolean> {
  await tx`select pg_advisory_xact_lock(${LOCK_KEY})`;
  await tx`
    create table if not exists schema_migrations (
      name text primary key,
      hash text not null,
      applied_at timestamptz(3) not null default clock_timestamp()
    )`;
  const [row] = await tx<{ name: string; hash: string }[]>`
    select name, hash from schema_migrations where left(name, 4) = ${migration.name.slice(0, 4)}`;
  if (row === undefined) {
    await tx.unsafe(migration.text);
    await tx`insert into schema_migrations (name, hash) values (${migration.name}, ${migration.hash})`;
    return true;
  }
  if (row.name !== migration.name || row.hash !== migration.hash) {
    throw new Error(
      `the database was migrated by another ${row.name} than this ${migration.name}: ` +
        "an applied migration must not be edited; add a new one",
    );
  }
  return false;
}
