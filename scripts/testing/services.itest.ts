// The servers that other integration tests stand on.

import { connect } from "@nats-io/transport-node";
import postgres from "postgres";
import { expect, test } from "vitest";
import { isAlive } from "../services/process.ts";
import { privateNats, privatePostgres, testDatabase, testNatsUrl } from "./services.ts";

test("each test database is empty, durable and its own", async () => {
  const [one, two] = await Promise.all([testDatabase(), testDatabase()]);
  const sql = postgres(one.url, { max: 1 });
  await sql`create table only_here (id int)`;
  const [settings] = await sql`
    select current_setting('fsync') as fsync, current_setting('synchronous_commit') as commit`;
  expect(settings).toEqual({ fsync: "on", commit: "on" });
  const other = postgres(two.url, { max: 1 });
  const found = await other`select 1 from pg_tables where tablename = 'only_here'`;
  expect(found).toHaveLength(0);
  await Promise.all([sql.end(), other.end()]);
  await Promise.all([one.drop(), two.drop()]);
});

test("the run's nats-server has JetStream and is new enough", async () => {
  const client = await connect({ servers: testNatsUrl() });
  expect(client.info?.jetstream).toBe(true);
  await client.close();
});

test("a private Postgres keeps what it committed over a kill -9", async () => {
  const server = await privatePostgres();
  const before = postgres(server.url, { max: 1 });
  await before`create table kept as select 1 as id`;
  await server.kill();
  await before.end({ timeout: 0 });
  const killedPid = server.pid;
  await server.startAgain();
  expect(server.pid).not.toBe(killedPid);
  const after = postgres(server.url, { max: 1 });
  expect(await after`select id from kept`).toEqual([{ id: 1 }]);
  await after.end();
  await server.remove();
  expect(isAlive(server.pid)).toBe(false);
});

test("a private nats-server comes back at the same address", async () => {
  const server = await privateNats({ config: "max_payload: 2MB" });
  await server.kill();
  await server.startAgain();
  const client = await connect({ servers: server.url });
  expect(client.info?.max_payload).toBe(2 * 1024 * 1024);
  await client.close();
  await server.remove();
  expect(isAlive(server.pid)).toBe(false);
});
