// Real servers for integration tests. A run has one nats-server and one Postgres, started by
// startTestServices and named to the tests by two environment variables; each test file takes a
// database of its own and a subject prefix of its own. A test that kills servers takes private
// ones. Everything lives in temporary folders and is gone when the run is.

import { randomBytes } from "node:crypto";
import { join } from "node:path";
import { cacheFolder, projectRoot, stateFolder } from "../run/state.ts";
import { findNatsServer } from "../services/nats-binary.ts";
import { startNatsServer } from "../services/nats.ts";
import { findPostgres } from "../services/postgres-binary.ts";
import { connectOnce, startPostgres } from "../services/postgres.ts";
import { freePort } from "../services/ports.ts";
import { SetupError, sendSignal } from "../services/process.ts";
import type { ProcessRecord } from "../services/process.ts";
import { makeTestFolder, sweepTestFolders } from "./folder.ts";

const NATS_VARIABLE = "HEXDISPATCH_TEST_NATS_URL";
const POSTGRES_VARIABLE = "HEXDISPATCH_TEST_POSTGRES_URL";

const quiet = (): void => undefined;
const randomName = (): string => randomBytes(6).toString("hex");

/** The address of the run's nats-server. Use a subject prefix of your own: testPrefix(). */
export function testNatsUrl(): string {
  return fromEnvironment(NATS_VARIABLE);
}

/** A NATS prefix (HEXDISPATCH_NATS_PREFIX) that no other test has. */
export const testPrefix = (): string => `t${randomName()}`;

export interface TestDatabase {
  readonly url: string;
  /** Ends whoever is connected and removes it. */
  drop(): Promise<void>;
}

/** A new, empty database on the run's Postgres. */
export async function testDatabase(): Promise<TestDatabase> {
  const adminUrl = fromEnvironment(POSTGRES_VARIABLE);
  const name = `hd_test_${randomName()}`;
  const admin = async (statement: string): Promise<void> => {
    const sql = connectOnce(adminUrl);
    try {
      await sql.unsafe(statement);
    } finally {
      await sql.end({ timeout: 1 });
    }
  };
  await admin(`create database ${name}`);
  const url = new URL(adminUrl);
  url.pathname = `/${name}`;
  return { url: url.href, drop: () => admin(`drop database if exists ${name} with (force)`) };
}

function fromEnvironment(variable: string): string {
  const value = process.env[variable];
  if (value) return value;
  throw new SetupError(`${variable} is not set: integration tests run under vitest or npm test`);
}

/**
 * Starts the servers of a run and names them in the environment, unless they are named already.
 * Resolves to the function that ends them.
 */
export async function startTestServices(
  say: (line: string) => void = quiet,
): Promise<() => Promise<void>> {
  const root = projectRoot();
  await sweepTestFolders(root);
  const running: PrivateServer[] = [];
  const stop = async (): Promise<void> => {
    for (const server of running.splice(0)) await server.remove();
  };
  try {
    if (!process.env[NATS_VARIABLE]) {
      // Room for the streams that suites leave behind: it is set aside in numbers only.
      const nats = await privateNats({ fileStore: "200G" }, say);
      running.push(nats);
      process.env[NATS_VARIABLE] = nats.url;
    }
    if (!process.env[POSTGRES_VARIABLE]) {
      const database = await privatePostgres({ max_connections: "200" }, say);
      running.push(database);
      process.env[POSTGRES_VARIABLE] = database.url;
    }
  } catch (error) {
    await stop();
    throw error;
  }
  return stop;
}

/** A server that one test has for itself, to be killed and brought back as it likes. */
export interface PrivateServer {
  /** Of the admin database where it is Postgres; it stays the same over startAgain(). */
  readonly url: string;
  readonly port: number;
  /** The process id of the present one. */
  readonly pid: number;
  /** Sends the signal and, unless it is SIGSTOP or SIGCONT, waits until the process is gone. */
  kill(signal?: NodeJS.Signals): Promise<void>;
  /** Starts it again with the same port and data. */
  startAgain(): Promise<void>;
  /** Ends it and removes its data. */
  remove(): Promise<void>;
}

/** A nats-server of its own. `config` is added to its configuration file. */
export async function privateNats(
  options: {
    readonly config?: string;
    readonly port?: number;
    readonly fileStore?: string;
    /** A file with the seed of a user, where `config` asks for one. */
    readonly credentials?: string;
  } = {},
  say: (line: string) => void = quiet,
): Promise<PrivateServer> {
  const root = projectRoot();
  const binary = await findNatsServer(cacheFolder(stateFolder(root)), say);
  const folder = makeTestFolder(root, undefined);
  const port = options.port ?? (await freePort());
  const config = options.config ?? "";
  const start = async (): Promise<Started> => {
    const onSpawn = (record: ProcessRecord): void => folder.list.add(record);
    const inner = join(folder.path, "nats");
    const { fileStore, credentials } = options;
    const more = {
      ...(fileStore === undefined ? {} : { fileStore }),
      ...(credentials === undefined ? {} : { credentials }),
    };
    const server = await startNatsServer({ binary, folder: inner, port, config, onSpawn, ...more });
    return { ...server, url: server.url };
  };
  return makePrivate(start, folder.remove);
}

/** A Postgres of its own, with more settings as in postgresql.conf. */
export async function privatePostgres(
  settings: Readonly<Record<string, string>> = {},
  say: (line: string) => void = quiet,
): Promise<PrivateServer> {
  const root = projectRoot();
  const binaries = findPostgres(root, say);
  const folder = makeTestFolder(root, binaries.user);
  const port = await freePort();
  const password = randomName();
  const start = async (): Promise<Started> => {
    const server = await startPostgres({
      binaries,
      folder: join(folder.path, "postgres"),
      password,
      port,
      settings,
      onSpawn: (record) => folder.list.add(record),
    });
    return { ...server, url: server.urlOf("postgres") };
  };
  return makePrivate(start, folder.remove);
}

interface Started {
  readonly url: string;
  readonly port: number;
  readonly pid: number;
  readonly exited: Promise<string>;
  readonly stop: () => Promise<boolean>;
}

async function makePrivate(
  start: () => Promise<Started>,
  removeFolder: () => void,
): Promise<PrivateServer> {
  let current = await start();
  return {
    url: current.url,
    port: current.port,
    get pid() {
      return current.pid;
    },
    async kill(signal = "SIGKILL") {
      sendSignal(current.pid, signal);
      if (signal !== "SIGSTOP" && signal !== "SIGCONT") await current.exited;
    },
    async startAgain() {
      current = await start();
    },
    async remove() {
      await current.stop();
      removeFolder();
    },
  };
}
