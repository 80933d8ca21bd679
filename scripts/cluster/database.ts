// The Postgres of a cluster as a process that can be killed and started again; with a synchronous
// standby where that is asked for. The packaged Postgres has no pg_basebackup, so the standby
// begins as a copy of the primary's folder, made while the primary is down: as good, for an empty
// database.

import { execFileSync } from "node:child_process";
import { existsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { makeOwnFolder } from "../services/postgres-binary.ts";
import type { PostgresBinaries } from "../services/postgres-binary.ts";
import { connectOnce, ensureDatabase, startPostgres } from "../services/postgres.ts";
import type { PostgresServer } from "../services/postgres.ts";
import { SetupError } from "../services/process.ts";
import type { ProcessRecord } from "../services/process.ts";
import { Member } from "./member.ts";

const DATABASE = "hexdispatch";
/** Under which the processes log in where they have a role of their own. */
export const APP_ROLE = "hexdispatch_app";
const STANDBY = "standby1";
const STREAMING_DEADLINE_MS = 30_000;
const POLL_MS = 100;

export interface Database {
  readonly member: Member;
  /** The standby, where there is one. */
  readonly others: readonly Member[];
  /** Of the database itself, past all links. */
  readonly url: string;
  /** What our processes are given: with a role of their own where that is asked for. */
  readonly appUrl: string;
  /** Starts all of it; the database is there when it resolves. */
  start(): Promise<void>;
  /** Once its tables are there: gives that role what it may do. */
  prepare(): Promise<void>;
}

export interface DatabaseOptions {
  readonly binaries: PostgresBinaries;
  /** Holds the data; `user` of the binaries must be able to enter it. */
  readonly folder: string;
  readonly password: string;
  readonly port: number;
  /** Null: no standby. */
  readonly standbyPort: number | null;
  /** Of the role under which our processes log in; without: they are the owner of everything. */
  readonly appPassword?: string;
  /** More settings of the primary, as in postgresql.conf. */
  readonly settings?: Readonly<Record<string, string>>;
  readonly onSpawn: (record: ProcessRecord) => void;
}

export function makeDatabase(options: DatabaseOptions): Database {
  const { port, standbyPort, password } = options;
  const url = `postgres://hexdispatch:${password}@127.0.0.1:${port}/${DATABASE}`;
  const appUrl = appUrlOf(url, options);
  const prepare = (): Promise<void> => grant(url, options);
  // Decided at each start: the copy for the standby is made before anybody waits for one.
  let isReplicated = false;
  const primary = new Member({
    name: "postgres",
    kind: "postgres",
    ports: String(port),
    adminUrl: null,
    endSignal: "SIGINT",
    launch: () => launchPrimary(options, isReplicated),
  });
  if (standbyPort === null) {
    const start = async (): Promise<void> => {
      await primary.start();
      await ensure(options);
    };
    return { member: primary, others: [], url, appUrl, start, prepare };
  }
  const standby = new Member({
    name: "standby",
    kind: "postgres",
    ports: String(standbyPort),
    adminUrl: null,
    endSignal: "SIGINT",
    launch: () => launchStandby(options, standbyPort),
  });
  const start = async (): Promise<void> => {
    if (!existsSync(join(options.folder, STANDBY))) {
      await primary.start();
      await ensure(options);
      await primary.end();
      copyForStandby(options);
    }
    isReplicated = true;
    await Promise.all([primary.start(), standby.start()]);
    await untilStreaming(url);
  };
  return { member: primary, others: [standby], url, appUrl, start, prepare };
}

function appUrlOf(url: string, { appPassword }: DatabaseOptions): string {
  if (appPassword === undefined) return url;
  const own = new URL(url);
  own.username = APP_ROLE;
  own.password = appPassword;
  return own.href;
}

/** All in its tables, and to make tables: a starting node looks for migrations by making theirs. */
async function grant(url: string, { appPassword }: DatabaseOptions): Promise<void> {
  if (appPassword === undefined) return;
  const sql = connectOnce(url);
  try {
    const [known] = await sql`select 1 from pg_roles where rolname = ${APP_ROLE}`;
    if (known === undefined) await sql.unsafe(`create role ${APP_ROLE} login`);
    await sql.unsafe(`alter role ${APP_ROLE} password '${appPassword}'`);
    await sql.unsafe(`grant all on all tables in schema public to ${APP_ROLE}`);
    await sql.unsafe(`grant create on schema public to ${APP_ROLE}`);
    await sql.unsafe(`grant all on all sequences in schema public to ${APP_ROLE}`);
  } finally {
    await sql.end({ timeout: 1 });
  }
}

async function ensure({ port, password }: DatabaseOptions): Promise<void> {
  const urlOf = (database: string): string =>
    `postgres://hexdispatch:${password}@127.0.0.1:${port}/${database}`;
  await ensureDatabase({ urlOf }, DATABASE);
}

function launchPrimary(options: DatabaseOptions, isReplicated: boolean): Promise<PostgresServer> {
  const { binaries, folder, password, port, onSpawn } = options;
  return startPostgres({
    binaries,
    folder: join(folder, "primary"),
    password,
    port,
    settings: {
      max_connections: "200",
      wal_level: "replica",
      ...options.settings,
      ...(isReplicated ? { synchronous_standby_names: `ANY 1 (${STANDBY})` } : {}),
    },
    onSpawn,
  });
}

function launchStandby(options: DatabaseOptions, standbyPort: number): Promise<PostgresServer> {
  const { binaries, folder, password, port, onSpawn } = options;
  const primary = { host: "127.0.0.1", port, user: "hexdispatch", password };
  const conninfo = Object.entries({ ...primary, application_name: STANDBY })
    .map(([name, value]) => `${name}=${value}`)
    .join(" ");
  return startPostgres({
    binaries,
    folder: join(folder, STANDBY),
    password,
    port: standbyPort,
    settings: {
      max_connections: "200",
      primary_conninfo: conninfo,
      // A primary that was away is looked for again soon, since commits wait for us.
      wal_retrieve_retry_interval: "200ms",
    },
    onSpawn: (record) => onSpawn({ ...record, name: "standby" }),
  });
}

function copyForStandby({ folder, binaries }: DatabaseOptions): void {
  const target = join(folder, STANDBY);
  makeOwnFolder(target, binaries.user);
  const data = join(target, "data");
  // `cp -a` keeps owners and modes, which node's copy does not.
  execFileSync("cp", ["-a", join(folder, "primary", "data"), data]);
  const signal = join(data, "standby.signal");
  writeFileSync(signal, "");
  execFileSync("chown", [`--reference=${data}`, signal]);
}

/** Until then every commit would wait. */
async function untilStreaming(url: string): Promise<void> {
  const sql = connectOnce(url);
  const deadline = Date.now() + STREAMING_DEADLINE_MS;
  try {
    for (;;) {
      const rows = await sql`select 1 from pg_stat_replication where sync_state = 'quorum'`;
      if (rows.length > 0) return;
      if (Date.now() > deadline) throw new SetupError("the standby of Postgres does not follow");
      // Polling: Postgres tells nobody that a standby has caught up.
      await sleep(POLL_MS);
    }
  } finally {
    await sql.end({ timeout: 1 });
  }
}
