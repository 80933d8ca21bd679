/**
 * PgBouncer itself between us and Postgres: what each of its modes may, and what is said where it
 * may not.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { connectOnce } from "../../../scripts/services/postgres.ts";
import { projectRoot } from "../../../scripts/run/state.ts";
import { shipped, startPgbouncer } from "../../../scripts/testing/proxies.ts";
import type { Beside } from "../../../scripts/testing/proxies.ts";
import { testDatabase } from "../../../scripts/testing/services.ts";
import type { TestDatabase } from "../../../scripts/testing/services.ts";
import { migrate } from "../../store/migrate.ts";
import { openPostgresStore } from "../../store/postgres-store.ts";
import { parsePostgresUrl } from "./url.ts";
import { PoolingError, checkSessions } from "./pooling.ts";
import { openDatabase } from "./postgres.ts";
import type { Database } from "./postgres.ts";

const ROLE = `front_${process.pid}`;
const PASSWORD = "p@ss:word";

let database: TestDatabase;
const bouncers: Beside[] = [];
const databases: Database[] = [];

/** The shipped file with a mode and more lines, leading to the test's database. */
async function bouncer(mode: string, more = ""): Promise<string> {
  const { host, port, database: name } = parsePostgresUrl(database.url);
  const users = { "users.txt": `"${ROLE}" "${PASSWORD}"\n` };
  const made = await startPgbouncer(
    (listen, folder) =>
      shipped("pgbouncer.ini", [
        [
          "hexdispatch = host=127.0.0.1 port=5432 dbname=hexdispatch",
          `hexdispatch = host=${host} port=${port} dbname=${name}`,
        ],
        ["listen_port = 6432", `listen_port = ${listen}\nunix_socket_dir =`],
        ["/etc/pgbouncer/userlist.txt", join(folder, "users.txt")],
        ["pool_mode = session", `pool_mode = ${mode}`],
        ["default_pool_size = 60", more === "" ? "default_pool_size = 60" : more],
      ]),
    users,
  );
  bouncers.push(made);
  return `postgres://${ROLE}:${encodeURIComponent(PASSWORD)}@127.0.0.1:${made.port}/hexdispatch`;
}

function open(url: string, more: { connections?: number; statementTimeoutMs?: number } = {}) {
  const db = openDatabase({ url, applicationName: "pooled", ...more });
  databases.push(db);
  return db;
}

const SETTINGS_SQL = `
  select current_setting('statement_timeout') as timeout, current_setting('jit') as jit,
    current_setting('enable_seqscan') as seqscan, current_setting('TimeZone') as zone,
    current_setting('plan_cache_mode') as plans, current_setting('application_name') as name`;
const OURS = {
  ...{ timeout: "2500ms", jit: "off", seqscan: "off", zone: "UTC" },
  ...{ plans: "force_generic_plan", name: "pooled" },
};

async function asAdmin(...statements: readonly string[]): Promise<void> {
  const sql = connectOnce(database.url);
  try {
    for (const statement of statements) await sql.unsafe(statement);
  } finally {
    await sql.end({ timeout: 1 });
  }
}

beforeAll(async () => {
  database = await testDatabase();
  const { database: name } = parsePostgresUrl(database.url);
  await asAdmin(
    `create role ${ROLE} login password '${PASSWORD}'`,
    `grant create on schema public to ${ROLE}`,
    `grant all on database ${name} to ${ROLE}`,
  );
});

afterAll(async () => {
  for (const db of databases) await db.close();
  for (const one of bouncers) await one.stop();
  await asAdmin(`drop owned by ${ROLE}`, `drop role ${ROLE}`);
  await database.drop();
});

describe("PgBouncer in session mode, by the shipped file", () => {
  let url = "";
  beforeAll(async () => {
    url = await bouncer("session");
  });

  it("keeps sessions, and is migrated through by any number at once", async () => {
    await checkSessions(url);
    const applied = await Promise.all([migrate(url), migrate(url), migrate(url)]);
    // Which of them applies which is chance; each is applied once, and none is left.
    const names = applied.flat();
    expect(names.length).toBeGreaterThan(0);
    expect(new Set(names).size).toBe(names.length);
    expect(await migrate(url)).toEqual([]);
    const store = openPostgresStore({ url, applicationName: "pooled" });
    await store.ping();
    await store.close();
  });

  it("gives each session the settings that the store leans on, before its first statement", async () => {
    const db = open(url, { connections: 8 });
    const asked = Array.from({ length: 40 }, () => db.query(SETTINGS_SQL, []));
    for (const [row] of await Promise.all(asked)) expect(row).toEqual(OURS);
  });

  it("gives nobody else our settings when a session has ended", async () => {
    const db = openDatabase({ url, applicationName: "short", connections: 1 });
    await db.query("select 1", []);
    await db.close();
    const stranger = connectOnce(url);
    const [row] = await stranger.unsafe<{ timeout: string }[]>(SETTINGS_SQL);
    await stranger.end({ timeout: 1 });
    expect(row?.timeout).toBe("0");
  });

  it("ends a statement at its time", async () => {
    const db = open(url, { connections: 1, statementTimeoutMs: 300 });
    await expect(db.query("select pg_sleep(20)", [], { repeat: false })).rejects.toMatchObject({
      code: "unavailable",
    });
    expect(await db.query("select 1 as one", [])).toEqual([{ one: 1 }]);
  });

  it("is done without while it is away, and used again when it is back", async () => {
    const gone = bouncers[0]!;
    const db = open(url, { connections: 2 });
    await db.query("select 1", []);
    process.kill(gone.pid, "SIGSTOP");
    await expect(db.query("select 1", [])).rejects.toMatchObject({ code: "unavailable" });
    process.kill(gone.pid, "SIGCONT");
    await expect
      .poll(() => db.query(SETTINGS_SQL, []).catch(() => []), { timeout: 10_000 })
      .toEqual([OURS]);
  });
});

describe("PgBouncer in transaction mode", () => {
  it.each([
    ["as it comes", ""],
    ["with one server connection", "default_pool_size = 1"],
    ["going round its server connections", "default_pool_size = 3\nserver_round_robin = 1"],
  ])("is found out at the start, %s", async (_, more) => {
    const url = await bouncer("transaction", more);
    const refused = await checkSessions(url).catch((error: unknown) => error);
    expect(refused).toBeInstanceOf(PoolingError);
    expect((refused as Error).message).toContain("pool_mode = session");
    expect((refused as Error).message).not.toContain("word");
  });

  it("is worked with when the URL says so and the role brings the settings, as the page has them", async () => {
    const plain = await bouncer("transaction");
    const url = `${plain}?pgbouncer=true`;
    await expect(checkSessions(url)).rejects.toThrow(`alter role "${ROLE}" set statement_timeout`);
    const page = readFileSync(join(projectRoot(), "docs/in-front.md"), "utf8");
    const statements = [...page.matchAll(/^alter role hexdispatch .*$/gm)].map(([line]) => line);
    expect(statements.length).toBeGreaterThan(3);
    await asAdmin(...statements.map((line) => line.replace("hexdispatch", ROLE)));
    // Server connections from before the change have not heard of it.
    await bouncers.at(-1)!.stop();
    bouncers.pop();
    const fresh = `${await bouncer("transaction", "default_pool_size = 2")}?pgbouncer=true`;
    await checkSessions(fresh);
    const applied = await Promise.all([migrate(fresh), migrate(fresh)]);
    expect(applied.flat()).toEqual([]);
    const db = open(fresh, { connections: 6 });
    const asked = Array.from({ length: 60 }, (_, i) =>
      db.query<Record<string, unknown>>(`${SETTINGS_SQL}, $1::int as i`, [i]),
    );
    for (const [i, [row]] of (await Promise.all(asked)).entries())
      expect(row).toEqual({ ...OURS, i });
  });

  it("is refused with a schema, which needs a session", async () => {
    const url = "postgres://u@h/d?pgbouncer=true&schema=dispatch";
    expect(() => parsePostgresUrl(url)).toThrow("needs a session of its own");
  });
});

it("a start that fails names the part, its address and the driver's words, and no secret", async () => {
  const url = (await bouncer("session")).replace("/hexdispatch", "/elsewhere");
  const failed = (await checkSessions(url).catch((error: unknown) => error)) as Error;
  expect(failed.message).toMatch(/^Postgres at 127\.0\.0\.1:\d+: .*elsewhere/);
  expect(failed.message).not.toContain("word");
});
