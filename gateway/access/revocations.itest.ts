/**
 * Revocations by position: every reader sees every row, however many share a moment and whichever
 * commits first.
 */
import type postgres from "postgres";
import { afterAll, beforeAll, expect, it } from "vitest";
import { testPrefix, testDatabase } from "../../scripts/testing/services.ts";
import type { TestDatabase } from "../../scripts/testing/services.ts";
import { connectOnce } from "../../scripts/services/postgres.ts";
import { VirtualClock } from "../../engine/io/virtual-clock.ts";
import { createLog } from "../../engine/io/log.ts";
import { REVOCATIONS_KEPT_H, REVOCATIONS_REREAD_MS } from "../../proto/limits.ts";
import { subjectsFor } from "../../proto/subjects.ts";
import { Revocations } from "./revocations.ts";
import type { Principal } from "../base/principal.ts";
import { openDatabase } from "../../engine/io/postgres/postgres.ts";
import type { Database } from "../../engine/io/postgres/postgres.ts";
import * as access from "../../engine/store/access.ts";
import type { AccessStore, RevocationCursor } from "../../engine/store/access.ts";
import { migrate } from "../../engine/store/migrate.ts";

let database: TestDatabase;
let admin: postgres.Sql;
let db: Database;
let store: AccessStore;

beforeAll(async () => {
  database = await testDatabase();
  await migrate(database.url);
  admin = connectOnce(database.url);
  db = openDatabase({ url: database.url, applicationName: "revocations", connections: 2 });
  store = {
    revoke: (subject) => access.revoke(db, subject),
    revocations: (since, after) => access.revocations(db, since, after),
  };
});
afterAll(async () => {
  await db.close();
  await admin.end();
  await database.drop();
});

const clock = new VirtualClock(Date.now());
const reader = (over: AccessStore = store): Revocations => {
  const bus = { publish: () => undefined, subscribe: () => () => undefined };
  const log = createLog("silent", {});
  const subjects = subjectsFor(testPrefix());
  return new Revocations({ bus: bus as never, log, subjects, clock, access: over });
};
const customer = (name: string, issuedAt = 1): Principal =>
  ({ role: "customer", subject: name, expiresAt: 2e15, issuedAt }) as Principal;

/** All that a reading gives, in pages of so many rows, and where the next begins. */
async function readAll(since: RevocationCursor | null, pageRows = 7) {
  const first = await access.revocations(db, since, null, pageRows);
  const subjects = first.rows.map((row) => row.subject);
  let { next } = first;
  let pages = 1;
  while (next !== null) {
    const page = await access.revocations(db, since, next, pageRows);
    subjects.push(...page.rows.map((row) => row.subject));
    ({ next } = page);
    pages += 1;
  }
  return { subjects, cursor: first.cursor, pages };
}

it("100,000 revocations in one moment, and one more, are all known to a running and to a new gateway", async () => {
  const running = reader();
  await running.read();
  await admin`
    insert into revocations (subject, not_before)
    select 'customer:mass_' || n, now() from generate_series(1, 100000) n`;
  await running.revoke({ principal: { role: "customer", subject: "cus_last" } as Principal });
  const restarted = reader();
  await restarted.read();
  for (const gateway of [running, restarted]) {
    expect(gateway.size).toBe(100_001);
    expect(gateway.revokes(customer("mass_1"))).toBe(true);
    expect(gateway.revokes(customer("mass_100000"))).toBe(true);
    expect(gateway.revokes(customer("cus_last"))).toBe(true);
    expect(gateway.revokes(customer("cus_other"))).toBe(false);
    expect(gateway.revokes(customer("cus_last", 4e12))).toBe(false);
  }
  // Made elsewhere, seen at the next reading, and nothing else is read for it.
  const { cursor } = await access.revocations(db, null);
  await store.revoke("customer:cus_elsewhere");
  expect((await readAll(cursor)).subjects).toEqual(["customer:cus_elsewhere"]);
  await running.read();
  expect(running.revokes(customer("cus_elsewhere"))).toBe(true);
  running.stop();
  restarted.stop();
});

it("pages of any size give each row once, those of one transaction and one time among them", async () => {
  const { cursor } = await access.revocations(db, null);
  const names = Array.from({ length: 50 }, (_, n) => `token:page_${String(n).padStart(2, "0")}`);
  await admin`insert into revocations (subject) select unnest(${names}::text[])`;
  for (const pageRows of [1, 7, 25, 49, 50, 51]) {
    const { subjects, pages } = await readAll(cursor, pageRows);
    expect(subjects).toEqual(names);
    expect(pages).toBe(Math.floor(50 / pageRows) + 1);
  }
  expect((await readAll((await access.revocations(db, null)).cursor)).subjects).toEqual([]);
});

it("a row whose transaction began first and commits last is seen, and no row waits for it", async () => {
  const slow = await openTransaction();
  await slow.sql`insert into revocations (subject) values ('token:slow')`;
  await store.revoke("token:quick");
  const before = await readAll(null, 10_000);
  expect(before.subjects).toContain("token:quick");
  expect(before.subjects).not.toContain("token:slow");
  // However often it is read while the transaction is open, and whatever else is committed.
  await store.revoke("token:meanwhile");
  const between = await readAll(before.cursor);
  expect(between.subjects).toEqual(["token:meanwhile"]);
  await slow.commit();
  expect((await readAll(between.cursor)).subjects).toEqual(["token:slow"]);
});

it("a revocation repeated is later and read again; one that was taken back leaves nothing", async () => {
  await store.revoke("token:again");
  const { cursor } = await access.revocations(db, null);
  await store.revoke("token:again");
  expect((await readAll(cursor)).subjects).toEqual(["token:again"]);
  const failed = await openTransaction();
  await failed.sql`insert into revocations (subject) values ('token:undone')`;
  await failed.rollback();
  expect((await readAll(cursor)).subjects).toEqual(["token:again"]);
});

it("a database whose clock is set back an hour still tells what is new", async () => {
  const gateway = reader();
  await gateway.read();
  await admin`
    insert into revocations (subject, not_before)
    values ('token:clock', now() - interval '1 hour')`;
  await gateway.read();
  expect(gateway.revokes({ ...customer("cus_x", 4e12), jti: "clock" })).toBe(true);
  gateway.stop();
});

it("another server, which counts its transactions anew, is read from its beginning", async () => {
  const { cursor } = await access.revocations(db, null);
  const ahead = { server: "1", snapshot: "900000000:900000000:" };
  const { subjects } = await readAll(ahead, 10_000);
  expect(subjects).toContain("token:again");
  expect(subjects.length).toBeGreaterThan(100_000);
  expect((await readAll(cursor)).subjects).toEqual([]);
});

it("a reading that breaks off loses nothing, and the next one brings it", async () => {
  let failures = 0;
  const breaking: AccessStore = {
    ...store,
    revocations: (since, after) =>
      failures-- > 0 ? Promise.reject(new Error("away")) : store.revocations(since, after),
  };
  const gateway = reader(breaking);
  await gateway.read();
  failures = 1;
  await store.revoke("token:after_failure");
  await gateway.read();
  expect(gateway.revokes({ ...customer("cus_y"), jti: "after_failure" })).toBe(false);
  await gateway.read();
  expect(gateway.revokes({ ...customer("cus_y"), jti: "after_failure" })).toBe(true);
  gateway.stop();
});

it("what was purged is forgotten by a gateway that runs on, and an edit by hand is learned", async () => {
  const gateway = reader();
  await gateway.read();
  await admin`
    update revocations set not_before = now() - interval '400 days'
    where subject like 'customer:mass_%' or subject = 'token:edited'`;
  const restarted = reader();
  await restarted.read();
  expect(restarted.size).toBeGreaterThan(100_000);
  await access.revoke(db, "token:edited");
  while ((await access.purgeRevocations(db, REVOCATIONS_KEPT_H)) > 0);
  await clock.advance(REVOCATIONS_REREAD_MS);
  await restarted.read();
  expect(restarted.size).toBeLessThan(100);
  expect(restarted.revokes({ ...customer("cus_z"), jti: "edited" })).toBe(true);
  gateway.stop();
  restarted.stop();
});

async function openTransaction() {
  const sql = connectOnce(database.url);
  await sql`begin`;
  const end = async (how: "commit" | "rollback") => {
    await sql.unsafe(how);
    await sql.end();
  };
  return { sql, commit: () => end("commit"), rollback: () => end("rollback") };
}
