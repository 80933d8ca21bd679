/**
 * What the driver gives us when a real Postgres refuses, and whether it says truly that a statement
 * had been sent. Between the two stands a small proxy where an answer must be cut in two.
 */
import { createServer, connect } from "node:net";
import type { AddressInfo, Server, Socket } from "node:net";
import type postgres from "postgres";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { connectOnce } from "../../../scripts/services/postgres.ts";
import { testDatabase } from "../../../scripts/testing/services.ts";
import type { TestDatabase } from "../../../scripts/testing/services.ts";
import { until } from "../../../scripts/testing/until.ts";
import { openDatabase } from "./postgres.ts";
import type { Database } from "./postgres.ts";
import { DatabaseError } from "./verdict.ts";

let database: TestDatabase;
let admin: postgres.Sql;
const open: Database[] = [];

const databaseAt = (url: string, connections = 1): Database => {
  const db = openDatabase({ url, applicationName: "errors", connections });
  open.push(db);
  return db;
};
const failureOf = (query: Promise<unknown>): Promise<DatabaseError> =>
  query.then(
    () => Promise.reject(new Error("it succeeded")),
    (error: unknown) => {
      expect(error).toBeInstanceOf(DatabaseError);
      return error as DatabaseError;
    },
  );
const insert = (db: Database, id: string): Promise<unknown> =>
  db.query("insert into things (id) values ($1) returning id", [id]);

beforeAll(async () => {
  database = await testDatabase();
  admin = connectOnce(database.url);
  await admin`create table things (id text primary key check (id <> 'bad'))`;
  await admin`insert into things values ('one')`;
});
afterAll(async () => {
  await Promise.all(open.map((db) => db.close()));
  await admin.end();
  await database.drop();
});

describe("a statement that was sent", () => {
  test.each([
    ["a key that is there", "one", "23505"],
    ["a check that does not hold", "bad", "23514"],
    ["a text that no column takes", "a \u0000", "22021"],
  ])("%s is a refusal of the command", async (_, id, code) => {
    const failure = await failureOf(insert(databaseAt(database.url), id));
    expect(failure).toMatchObject({ causeCode: code, verdict: { about: "command" } });
  });

  test.each([
    ["a missing table", "select 1 from nothing where $1 = 1", "42P01"],
    ["a mistake of ours", "select from where $1", "42601"],
  ])("%s is the server's, and asked once", async (_, text, code) => {
    const failure = await failureOf(databaseAt(database.url).query(text, [1]));
    expect(failure).toMatchObject({ causeCode: code, verdict: { about: "server", again: false } });
  });

  test("a session that is ended under it leaves it unknown, and it is asked again", async () => {
    const db = databaseAt(database.url);
    const slow = db.query("select pg_sleep(1) where $1 = 1", [1], { repeat: false });
    const failing = failureOf(slow);
    await until(async () => {
      const ended = await admin`
        select pg_terminate_backend(pid) from pg_stat_activity
        where application_name = 'errors' and query like '%pg_sleep(1)%' and state = 'active'`;
      return ended.length > 0;
    });
    expect((await failing).verdict).toMatchObject({ about: "unknown", again: true });
    expect(await insert(db, "after")).toHaveLength(1);
  });
});

describe("a statement that was never sent", () => {
  const withLogin = async (change: (role: string) => Promise<unknown>): Promise<DatabaseError> => {
    const role = `r${Math.floor(Math.random() * 1e9)}`;
    await admin.unsafe(`create role ${role} login password 'one'`);
    await admin.unsafe(`grant all on things to ${role}`);
    const url = new URL(database.url);
    url.username = role;
    url.password = "one";
    const db = databaseAt(url.href);
    await insert(db, role);
    await change(role);
    await admin`select pg_terminate_backend(pid) from pg_stat_activity where usename = ${role}`;
    // It would be refused as a command, too, if anybody had read it.
    const failure = await failureOf(insert(db, "one"));
    await admin.unsafe(`alter role ${role} login password 'one' connection limit -1`);
    await until(() => insert(db, `${role} again`).catch(() => null), "a login");
    return failure;
  };

  test.each([
    ["28P01", "the password was changed", "password 'two'"],
    ["28000", "the role may not log in", "nologin"],
    ["53300", "the role has no connection left", "connection limit 0"],
  ])("%s, %s: about the connection, whatever it would have done", async (code, _, change) => {
    const failure = await withLogin((role) => admin.unsafe(`alter role ${role} ${change}`));
    expect(failure).toMatchObject({ causeCode: code, verdict: { about: "connection" } });
  });

  test("a database that is not there, and a host that is not", async () => {
    const url = new URL(database.url);
    url.pathname = "/not_there";
    const missing = await failureOf(insert(databaseAt(url.href), "one"));
    expect(missing).toMatchObject({ causeCode: "3D000", verdict: { about: "connection" } });
    url.port = "1";
    const refused = await failureOf(insert(databaseAt(url.href), "one"));
    expect(refused).toMatchObject({ causeCode: "ECONNREFUSED", verdict: { about: "connection" } });
  });

  test("TLS is asked for and the server has none", async () => {
    const url = new URL(database.url);
    url.searchParams.set("sslmode", "require");
    const failure = await failureOf(insert(databaseAt(url.href), "one"));
    expect(failure.verdict.about).toBe("connection");
  });

  test("the late refusal of a lost session is no refusal of the next command", async () => {
    const proxy = await cuttingProxy(Number(new URL(database.url).port));
    const url = new URL(database.url);
    url.port = String(proxy.port);
    const db = databaseAt(url.href);
    await insert(db, "through the proxy");
    proxy.cutAfterError();
    const lost = await failureOf(db.query("insert into things values ($1)", ["one"], ONCE));
    expect(lost.verdict.about, "an answer without its end").toBe("unknown");
    // The driver still has the 23505 of the lost session, and gives it to the next statement.
    const next = await db.query("insert into things values ($1)", ["innocent"], ONCE).then(
      () => "connection",
      (error: unknown) => (error as DatabaseError).verdict.about,
    );
    expect(next).toBe("connection");
    await until(() => insert(db, "innocent again").catch(() => null));
    await proxy.close();
  });
});

const ONCE = { repeat: false } as const;

test("a pool that reached a server that only reads is thrown away", async () => {
  const db = databaseAt(database.url, 3);
  const name = new URL(database.url).pathname.slice(1);
  await admin.unsafe(`alter database ${name} set default_transaction_read_only = on`);
  // Three sessions begin while it only reads.
  await Promise.all([1, 2, 3].map(() => db.query("select pg_sleep(0.05) where $1 = 1", [1])));
  const failure = await failureOf(insert(db, "read-only"));
  expect(failure).toMatchObject({ causeCode: "25006", verdict: { about: "server", renew: true } });
  await admin`set default_transaction_read_only = off`;
  await admin.unsafe(`alter database ${name} reset default_transaction_read_only`);
  await until(() => insert(db, "writes again").catch(() => null), "a write");
  const ids = ["a", "b", "c", "d", "e", "f"].map((id) => insert(db, `writes ${id}`));
  await Promise.all(ids);
});

/**
 * Passes everything on until it is told to cut: then up to the server's next error and no further.
 */
async function cuttingProxy(to: number) {
  let isCutting = false;
  const sockets = new Set<Socket>();
  const server: Server = createServer((client) => {
    const upstream = connect(to, "127.0.0.1");
    for (const socket of [client, upstream]) {
      sockets.add(socket);
      socket.on("error", () => socket.destroy());
      socket.on("close", () => (client.destroy(), upstream.destroy()));
    }
    client.pipe(upstream);
    upstream.on("data", (data: Buffer) => {
      const end = isCutting ? endOfError(data) : null;
      if (end === null) return void client.write(data);
      isCutting = false;
      client.end(data.subarray(0, end));
    });
  });
  await new Promise<void>((resolve) => void server.listen(0, "127.0.0.1", resolve));
  return {
    port: (server.address() as AddressInfo).port,
    cutAfterError: () => void (isCutting = true),
    close: () => {
      for (const socket of sockets) socket.destroy();
      return new Promise((resolve) => void server.close(resolve));
    },
  };
}

/**
 * Where the first error of these messages ends (type, length, content); null when there is none.
 */
function endOfError(data: Buffer): number | null {
  for (let at = 0; at + 5 <= data.length;) {
    const end = at + 1 + data.readInt32BE(at + 1);
    if (data[at] === "E".charCodeAt(0)) return end;
    at = end;
  }
  return null;
}
