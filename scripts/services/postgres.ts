// One Postgres on the loopback, for a local start or a test: makes the data folder when there is
// none, clears what a kill -9 left in it, starts the server and waits until it answers queries.
// Settings are those that never lose a committed transaction. Runs the packaged programs as they
// are found by postgres-binary.ts and keeps the data out of root's hands.

import { execFile } from "node:child_process";
import { chownSync, existsSync, readFileSync, readdirSync, renameSync, rmSync } from "node:fs";
import { rmdirSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { promisify } from "node:util";
import type postgres from "postgres";
import { connectPostgres } from "../../engine/io/postgres/driver.ts";
import { freePort } from "./ports.ts";
import { makeOwnFolder } from "./postgres-binary.ts";
import type { PostgresBinaries } from "./postgres-binary.ts";
import { STOP_DEADLINE_MS, SetupError, commandLine, endProcess, isAlive } from "./process.ts";
import { endChild, exitOf, findProcesses, startServer, waitUntilReady } from "./process.ts";
import type { ProcessRecord } from "./process.ts";

/** A crash recovery of a busy database may take a while. */
const READY_DEADLINE_MS = 60_000;
const ORPHANS_DEADLINE_MS = 10_000;
const ORPHANS_POLL_MS = 250;
const DATABASE_USER = "hexdispatch";
/** Postgres's fast shutdown. At SIGTERM it would wait for every client to leave by itself. */
const END_SIGNAL = "SIGINT";
const execute = promisify(execFile);

export interface PostgresServer {
  /** The address of a database on this server. */
  urlOf(database: string): string;
  readonly port: number;
  readonly pid: number;
  readonly record: ProcessRecord;
  /** Resolves with how it ended, whoever ended it. */
  readonly exited: Promise<string>;
  /** Fast shutdown: open transactions are rolled back; true when it had to be killed. */
  readonly stop: () => Promise<boolean>;
}

export interface PostgresServerOptions {
  readonly binaries: PostgresBinaries;
  /** Holds data and log; made when missing, and then owned by the user that the server runs as. */
  readonly folder: string;
  readonly password: string;
  /** Default: a free one. */
  readonly port?: number;
  /** More settings, as in postgresql.conf. */
  readonly settings?: Readonly<Record<string, string>>;
  /** Called as soon as the process exists, before it answers. */
  readonly onSpawn?: (record: ProcessRecord) => void;
}

const SETTINGS: Readonly<Record<string, string>> = {
  listen_addresses: "127.0.0.1",
  // No socket files: they would collide between servers, and nothing here uses them.
  unix_socket_directories: "",
  fsync: "on",
  synchronous_commit: "on",
  shared_buffers: "128MB",
  max_connections: "100",
  timezone: "UTC",
  log_timezone: "UTC",
};

/**
 * Starts a server and waits until it answers. Throws a SetupError with its log when it does not.
 */
export async function startPostgres(options: PostgresServerOptions): Promise<PostgresServer> {
  const port = options.port ?? (await freePort());
  const data = join(options.folder, "data");
  makeOwnFolder(options.folder, options.binaries.user);
  if (!existsSync(join(data, "PG_VERSION"))) {
    refuseOtherContent(data);
    await initialize(options, data);
  }
  await clearStalePid(data);
  const deadline = Date.now() + ORPHANS_DEADLINE_MS;
  for (;;) {
    try {
      return await startOnce(options, data, port);
    } catch (error) {
      // The backends of a killed server need a moment to notice, and until then none may start.
      const waits = error instanceof SetupError && error.message.includes("pre-existing shared");
      if (!waits || Date.now() >= deadline) throw error;
      await sleep(ORPHANS_POLL_MS);
    }
  }
}

async function startOnce(
  options: PostgresServerOptions,
  data: string,
  port: number,
): Promise<PostgresServer> {
  const { binaries, folder, password } = options;
  const settings = { ...SETTINGS, port: String(port), ...options.settings };
  const flags = Object.entries(settings).flatMap(([name, value]) => ["-c", `${name}=${value}`]);
  const logFile = join(folder, "postgres.log");
  const command = join(binaries.folder, "bin", "postgres");
  const { user } = binaries;
  const child = startServer({ command, args: ["-D", data, ...flags], logFile, user });
  const marker = `-D ${data}`;
  const record: ProcessRecord = {
    name: "postgres",
    pid: child.pid ?? 0,
    marker,
    endSignal: END_SIGNAL,
  };
  if (child.pid !== undefined) options.onSpawn?.(record);
  const urlOf = (database: string): string =>
    `postgres://${DATABASE_USER}:${password}@127.0.0.1:${port}/${database}`;
  await waitUntilReady(child, () => answers(urlOf("postgres")), {
    name: "postgres",
    deadlineMs: READY_DEADLINE_MS,
    logFile,
  });
  const stop = (): Promise<boolean> => endChild(child, END_SIGNAL);
  return { urlOf, port, pid: record.pid, record, exited: exitOf(child), stop };
}

/**
 * An empty folder is as good as none; one with anything in it may be what is left of a database.
 */
function refuseOtherContent(data: string): void {
  if (!existsSync(data)) return;
  if (statSync(data).isDirectory() && readdirSync(data).length === 0) {
    rmdirSync(data);
    return;
  }
  throw new SetupError(
    `${data} is no data folder of Postgres (its PG_VERSION is missing): put it back from a copy, or move it away to begin with an empty database`,
  );
}

/**
 * Makes the data folder beside its final place, so that a broken attempt is never taken for one.
 */
async function initialize(options: PostgresServerOptions, data: string): Promise<void> {
  const { binaries, folder, password } = options;
  const attempt = `${data}.new`;
  const passwordFile = join(folder, "password.tmp");
  rmSync(attempt, { recursive: true, force: true });
  writeFileSync(passwordFile, `${password}\n`, { mode: 0o600 });
  if (binaries.user) chownSync(passwordFile, binaries.user.uid, binaries.user.gid);
  // The built-in locale sorts the same on every machine and needs nothing installed.
  const flags = "--auth=scram-sha-256 --encoding=UTF8 --locale=C --locale-provider=builtin";
  const args = [...flags.split(" "), "--builtin-locale=C.UTF-8", `--username=${DATABASE_USER}`];
  try {
    await execute(
      join(binaries.folder, "bin", "initdb"),
      [...args, `--pgdata=${attempt}`, `--pwfile=${passwordFile}`],
      { cwd: "/", encoding: "utf8", ...binaries.user },
    );
  } catch (error) {
    const { message, stderr = "" } = error as Error & { stderr?: string };
    throw new SetupError(`initdb failed: ${stderr.trim() || message}`, { cause: error });
  } finally {
    rmSync(passwordFile, { force: true });
  }
  renameSync(attempt, data);
}

/**
 * After a kill -9 the data folder still names the dead server's process id. Ends a server of ours
 * that is still there. A note whose id now belongs to somebody else is removed, since Postgres
 * would take that one for a server; any other note is left, because Postgres finds through it the
 * backends of a dead server that still run.
 */
async function clearStalePid(data: string): Promise<void> {
  const file = join(data, "postmaster.pid");
  if (!existsSync(file)) return;
  const pid = Number(readFileSync(file, "utf8").split("\n")[0]);
  if (!Number.isInteger(pid) || pid < 1) {
    // Cut off by a power loss: Postgres refuses to start over it, and says that somebody else is
    // starting.
    if (findProcesses((args) => args[1] === "-D" && args[2] === data).length > 0) return;
    rmSync(file, { force: true });
    return;
  }
  if (!isAlive(pid)) return;
  if (commandLine(pid).includes(`-D ${data}`)) await endProcess(pid, END_SIGNAL, STOP_DEADLINE_MS);
  else rmSync(file, { force: true });
}

async function answers(url: string): Promise<boolean> {
  try {
    await checkPostgres(url, 2);
    return true;
  } catch {
    return false; // Asked again until the deadline, which reports the server's log.
  }
}

/** One connection for a few statements of set-up; the caller ends it. */
export function connectOnce(url: string, timeoutS = 5): postgres.Sql {
  const connectTimeoutMs = timeoutS * 1_000;
  return connectPostgres(url, {
    applicationName: "hexdispatch set-up",
    connectTimeoutMs,
    driver: { max: 1 },
  });
}

/** Connects once and runs a query. Throws a SetupError when that fails within `timeoutS`. */
export async function checkPostgres(url: string, timeoutS = 5): Promise<void> {
  const sql = connectOnce(url, timeoutS);
  try {
    await sql`select 1`;
  } catch (error) {
    const { message } = error as Error;
    throw new SetupError(`Postgres does not answer: ${message}`, { cause: error });
  } finally {
    await sql.end({ timeout: 1 });
  }
}

/** Makes a database when there is none of this name. */
export async function ensureDatabase(
  server: Pick<PostgresServer, "urlOf">,
  name: string,
): Promise<string> {
  const sql = connectOnce(server.urlOf("postgres"));
  try {
    const found = await sql`select 1 from pg_database where datname = ${name}`;
    if (found.length === 0) await sql`create database ${sql(name)}`;
  } finally {
    await sql.end({ timeout: 1 });
  }
  return server.urlOf(name);
}
