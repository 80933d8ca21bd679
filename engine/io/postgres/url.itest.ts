/**
 * Every parameter of a URL that is taken, held against a real server: with TLS by a private
 * authority, on IPv6, on a socket.
 */
import { chownSync, mkdirSync } from "node:fs";
import { createServer } from "node:net";
import type { Socket } from "node:net";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { makeAuthority } from "../../../scripts/testing/certificates.ts";
import type { Certificate } from "../../../scripts/testing/certificates.ts";
import { makeTestFolder } from "../../../scripts/testing/folder.ts";
import type { TestFolder } from "../../../scripts/testing/folder.ts";
import { projectRoot } from "../../../scripts/run/state.ts";
import { findPostgres } from "../../../scripts/services/postgres-binary.ts";
import { connectOnce } from "../../../scripts/services/postgres.ts";
import { privatePostgres } from "../../../scripts/testing/services.ts";
import type { PrivateServer } from "../../../scripts/testing/services.ts";
import { migrate } from "../../store/migrate.ts";
import { openDatabase } from "./postgres.ts";
import { parsePostgresUrl } from "./url.ts";

let folder: TestFolder;
let server: PrivateServer;
let rootFile = "";
let otherRootFile = "";
let client: Certificate;
let password = "";

/** Root of the server's certificate for `localhost` and ::1; not for 127.0.0.1. */
beforeAll(async () => {
  const { user } = findPostgres(projectRoot(), () => undefined);
  folder = makeTestFolder(projectRoot(), user);
  const sockets = join(folder.path, "run");
  mkdirSync(sockets);
  const root = await makeAuthority(folder.path, "root");
  const other = await makeAuthority(folder.path, "other");
  [rootFile, otherRootFile] = [root.certFile, other.certFile];
  const own = await root.issue("localhost", "DNS:localhost,IP:0:0:0:0:0:0:0:1");
  client = await root.issue("courier", "DNS:courier");
  if (user !== undefined) {
    for (const path of [sockets, own.keyFile, own.certFile]) chownSync(path, user.uid, user.gid);
  }
  server = await privatePostgres({
    ssl: "on",
    ssl_cert_file: own.certFile,
    ssl_key_file: own.keyFile,
    ssl_ca_file: root.certFile,
    listen_addresses: "127.0.0.1,::1",
    unix_socket_directories: sockets,
  });
  ({ password } = parsePostgresUrl(server.url));
});

afterAll(async () => {
  await server.remove();
  folder.remove();
});

const urlAt = (host: string, query = ""): string => {
  const { user, database } = parsePostgresUrl(server.url);
  return `postgres://${user}:${password}@${host}:${server.port}/${database}${query}`;
};

type Seen = { readonly tls: boolean; readonly dn: string | null; readonly name: string };
const SEEN_SQL = `
  select s.ssl as tls, s.client_dn as dn, current_setting('application_name') as name
  from pg_stat_ssl s where s.pid = pg_backend_pid()`;

/** What a session sees of itself, or the words with which it failed. */
async function seen(url: string): Promise<Seen | string> {
  const db = openDatabase({ url, applicationName: "ours", connections: 1 });
  try {
    const [row] = await db.query<Seen>(SEEN_SQL, [], { repeat: false });
    return row ?? "nothing";
  } catch (error) {
    const { cause, message } = error as Error;
    return cause instanceof Error ? cause.message : message;
  } finally {
    await db.close();
  }
}

describe("sslmode on a server that speaks TLS by a private authority", () => {
  const root = () => `&sslrootcert=${encodeURIComponent(rootFile)}`;
  const other = () => `&sslrootcert=${encodeURIComponent(otherRootFile)}`;
  it.each<[string, string, () => string, string, boolean | RegExp]>([
    ["disable", "localhost", () => "", "disable", false],
    ["allow", "localhost", () => "", "allow", true],
    ["prefer", "localhost", () => "", "prefer", true],
    ["require, unverified", "localhost", () => "", "require", true],
    ["require with the root", "localhost", root, "require", true],
    ["require with another root", "localhost", other, "require", /no TLS with localhost/],
    ["verify-ca with the root, by another name", "127.0.0.1", root, "verify-ca", true],
    ["verify-ca with another root", "127.0.0.1", other, "verify-ca", /no TLS with/],
    ["verify-ca by Node's roots", "localhost", () => "", "verify-ca", /no TLS with/],
    ["verify-full with the root", "localhost", root, "verify-full", true],
    ["verify-full by the address in the certificate", "[::1]", root, "verify-full", true],
    ["verify-full by another address", "127.0.0.1", root, "verify-full", /no TLS with 127.0.0.1/],
  ])("%s", async (_, host, more, mode, expected) => {
    const outcome = await seen(urlAt(host, `?sslmode=${mode}${more()}`));
    if (typeof expected === "boolean") expect(outcome).toMatchObject({ tls: expected });
    else expect(outcome).toMatch(expected);
    expect(JSON.stringify(outcome)).not.toContain(password);
  });

  it("sslrootcert=system does not know a private authority", async () => {
    expect(await seen(urlAt("localhost", "?sslrootcert=system"))).toMatch(/no TLS with localhost/);
  });

  it("sslcert and sslkey show the server who asks", async () => {
    const files = `sslcert=${client.certFile}&sslkey=${client.keyFile}`;
    const outcome = await seen(urlAt("localhost", `?sslmode=require&${files}`));
    expect(outcome).toMatchObject({ tls: true, dn: "/CN=courier" });
  });

  it("the migration goes the same way", async () => {
    const url = urlAt("localhost", `?sslmode=verify-full&sslrootcert=${rootFile}`);
    expect((await migrate(url)).length).toBeGreaterThan(0);
    await expect(migrate(urlAt("127.0.0.1", `?sslmode=verify-full`))).rejects.toThrow("no TLS");
  });
});

describe("where it leads", () => {
  it.each([["127.0.0.1"], ["localhost"], ["[::1]"]])("to %s", async (host) => {
    expect(await seen(urlAt(host))).toMatchObject({ name: "ours" });
  });

  it("to a Unix socket, in both spellings", async () => {
    const run = join(folder.path, "run");
    const { user, database } = parsePostgresUrl(server.url);
    const who = `${user}:${password}@`;
    const more = `port=${server.port}`;
    const asked = `postgres://${who}/${database}?host=${run}&${more}`;
    const encoded = `postgres://${who}${encodeURIComponent(run)}:${server.port}/${database}`;
    for (const url of [asked, encoded]) expect(await seen(url)).toMatchObject({ tls: false });
  });

  it("to a server without TLS: prefer goes on, require does not", async () => {
    const plain = process.env["HEXDISPATCH_TEST_POSTGRES_URL"] ?? "";
    expect(await seen(`${plain}?sslmode=prefer`)).toMatchObject({ tls: false });
    expect(await seen(`${plain}?sslmode=require`)).toMatch(/does not speak TLS/);
  });

  it.each([
    ["closes at once", (socket: Socket) => socket.end()],
    ["speaks HTTP", (socket: Socket) => socket.end("HTTP/1.1 400 No\r\n\r\n")],
  ])("to something that %s: an outage, asked again at a pace", async (_, answer) => {
    let connections = 0;
    const stranger = createServer((socket) => {
      connections += 1;
      socket.on("error", () => undefined);
      answer(socket);
    });
    await new Promise<void>((resolve) => stranger.listen(0, "127.0.0.1", resolve));
    const { port } = stranger.address() as { port: number };
    const started = Date.now();
    for (const mode of ["disable", "require"]) {
      const url = `postgres://u:hush@127.0.0.1:${port}/d?sslmode=${mode}`;
      const db = openDatabase({ url, applicationName: "ours", connections: 1 });
      await expect(db.query("select 1", [])).rejects.toMatchObject({ code: "unavailable" });
      await db.close();
    }
    stranger.close();
    // Waits that grow, not a loop: five attempts of each, and a few of the driver's own.
    expect(connections).toBeLessThan(40 + (Date.now() - started) / 50);
  });
});

describe("parameters of the session", () => {
  it("application_name is what the server shows", async () => {
    const url = urlAt("localhost", "?application_name=branch%20office&target_session_attrs=any");
    expect(await seen(url)).toMatchObject({ name: "branch office" });
  });

  it("schema is where tables are made and found", async () => {
    const admin = connectOnce(server.url);
    await admin.unsafe("create schema dispatch");
    const url = urlAt("localhost", "?schema=dispatch&channel_binding=prefer");
    expect((await migrate(url)).length).toBeGreaterThan(0);
    const [row] = await admin.unsafe<{ count: number }[]>(`
      select count(*)::int as count from pg_tables where schemaname = 'dispatch'`);
    await admin.end({ timeout: 1 });
    expect(row?.count).toBeGreaterThan(5);
    const db = openDatabase({ url, applicationName: "ours", connections: 2 });
    const [found] = await db.query<{ name: string }>(
      "select 'schema_migrations'::regclass::oid::regclass::text as name",
      [],
    );
    await db.close();
    expect(found?.name).toBe("schema_migrations");
  });

  it("connect_timeout bounds the way to a server that says nothing", async () => {
    const held = new Set<Socket>();
    const silent = createServer((socket) => void held.add(socket.on("error", () => undefined)));
    await new Promise<void>((resolve) => silent.listen(0, "127.0.0.1", resolve));
    const { port } = silent.address() as { port: number };
    for (const mode of ["disable", "require"]) {
      const url = `postgres://u:hush@127.0.0.1:${port}/d?connect_timeout=1&sslmode=${mode}`;
      expect(await seen(url)).toMatch(/CONNECT_TIMEOUT|no connection to|did not answer/);
    }
    for (const socket of held) socket.destroy();
    silent.close();
  });

  it("a password with signs in it logs in", async () => {
    const admin = connectOnce(server.url);
    await admin.unsafe(`create role signs login password 'p@s/s:w?r#d%'`);
    await admin.end({ timeout: 1 });
    const word = encodeURIComponent("p@s/s:w?r#d%");
    const url = `postgres://signs:${word}@127.0.0.1:${server.port}/postgres`;
    expect(await seen(url)).toMatchObject({ name: "ours" });
  });
});
