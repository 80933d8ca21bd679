// The services that a local start leans on: NATS and Postgres, each either named by the environment
// or brought up here with its data in the state folder. How a server is run is in ../services/.

import { join } from "node:path";
import { natsProblems } from "../../engine/io/nats/address.ts";
import { renderAccounts } from "../../gateway/partners/accounts.ts";
import { SetupError } from "../services/process.ts";
import { findNatsServer } from "../services/nats-binary.ts";
import { checkNats, startNatsServer } from "../services/nats.ts";
import type { NatsServer } from "../services/nats.ts";
import { canEnter, findPostgres, pathHash, reachableFolder } from "../services/postgres-binary.ts";
import { checkPostgres, ensureDatabase, startPostgres } from "../services/postgres.ts";
import type { PostgresServer } from "../services/postgres.ts";
import { firstFreePort, freePort } from "../services/ports.ts";
import { watchNatsHealth } from "./nats-health.ts";
import { ACCOUNTS_FILE, localAccountsFile, ownSeedFile } from "./nats-keys.ts";
import { ensureAccounts, publicKeyOf } from "./nats-keys.ts";
import { RememberedPorts, cacheFolder, keptSecret } from "./state.ts";
import { firstStart, keepRunning } from "./keep-running.ts";
import type { ProcessList } from "./state.ts";

const NATS_PORT = 4222;
const POSTGRES_PORT = 5432;
const DATABASE = "hexdispatch";

export interface Service {
  readonly name: string;
  readonly url: string;
  /** For people: whose server it is and where its data lies. */
  readonly note: string;
  readonly stop: () => Promise<boolean>;
  /**
   * NATS only: the file with the key of our own processes; absent where the environment's holds.
   */
  readonly credentials?: string;
}

export interface ServicesOptions {
  readonly root: string;
  readonly stateFolder: string;
  readonly list: ProcessList;
  readonly say: (line: string) => void;
  /** Whether everything is going down: nothing is tried again then. */
  readonly isStopping: () => boolean;
}

const notOurs = (): Promise<boolean> => Promise.resolve(false);

/** NATS, ready. Throws a SetupError when there is no way to have it. */
export async function bringUpNats(options: ServicesOptions): Promise<Service> {
  const name = "nats-server";
  const given = process.env["HEXDISPATCH_NATS_URL"];
  if (given) {
    const credentials = process.env["HEXDISPATCH_NATS_CREDENTIALS"] || undefined;
    const [problem] = natsProblems(given, credentials ?? null, "HEXDISPATCH_");
    if (problem !== undefined) throw new SetupError(problem);
    const version = await checkNats(given, undefined, credentials);
    return { name, url: given, note: `nats-server ${version}, yours`, stop: notOurs };
  }
  const binary = await findNatsServer(cacheFolder(options.stateFolder), options.say);
  const folder = join(options.stateFolder, "nats");
  let port = 0;
  const onSpawn = options.list.add.bind(options.list);
  const credentials = ownSeedFile(options.stateFolder);
  const config = accountsIncluded(options.stateFolder, credentials);
  const start = async (): Promise<NatsServer> => {
    const monitorPort = await freePort();
    const settings = { binary, folder, port, onSpawn, config, credentials, monitorPort };
    const started = await startNatsServer(settings);
    const { exited, stop: restart } = started;
    const monitorUrl = `http://127.0.0.1:${monitorPort}`;
    void watchNatsHealth({ monitorUrl, folder, exited, say: options.say, restart });
    return started;
  };
  // The port anew at each attempt: somebody may have taken it between the look and the server's
  // start.
  const onSomePort = async (): Promise<NatsServer> => {
    port = await choosePort(options.stateFolder, "nats", NATS_PORT);
    return start();
  };
  const first = (): Promise<NatsServer> =>
    firstStart(name, onSomePort, options.say, options.isStopping);
  const { server, stop } = await keepRunning(name, start, options.say, first);
  return { name, url: server.url, note: `nats-server ${server.version}`, stop, credentials };
}

/**
 * The server lets nobody in without a key: us, and the partners that `npm run partner` adds to the
 * file. The file is kept over starts.
 */
function accountsIncluded(stateFolder: string, seedFile: string): string {
  const prefix = process.env["HEXDISPATCH_NATS_PREFIX"] || "hd";
  const ownKey = publicKeyOf(seedFile);
  ensureAccounts(localAccountsFile(stateFolder), ownKey, () =>
    renderAccounts({ prefix, ownKeys: [ownKey], partners: [] }),
  );
  return `include ${JSON.stringify(ACCOUNTS_FILE)}\n`;
}

/** Postgres, ready. Throws a SetupError when there is no way to have it. */
export async function bringUpPostgres(options: ServicesOptions): Promise<Service> {
  const { root, stateFolder, say } = options;
  const name = "postgres";
  const given = process.env["HEXDISPATCH_POSTGRES_URL"];
  if (given) {
    await checkPostgres(given);
    return { name, url: given, note: "yours", stop: notOurs };
  }
  const binaries = findPostgres(root, say);
  let folder = join(stateFolder, "postgres");
  if (!canEnter(stateFolder, binaries.user)) {
    folder = join(reachableFolder(root), `data-${pathHash(stateFolder)}`);
    say(`Postgres runs as "nobody", who cannot enter ${stateFolder}: its data is in ${folder}`);
  }
  const settings = {
    binaries,
    folder,
    password: keptSecret(stateFolder, "postgres-password"),
    onSpawn: options.list.add.bind(options.list),
  };
  let port = 0;
  const start = (): Promise<PostgresServer> => startPostgres({ ...settings, port });
  const onSomePort = async (): Promise<PostgresServer> => {
    port = await choosePort(stateFolder, "postgres", POSTGRES_PORT);
    return start();
  };
  const first = (): Promise<PostgresServer> =>
    firstStart(name, onSomePort, say, options.isStopping);
  const { server, stop } = await keepRunning(name, start, say, first);
  try {
    const url = await ensureDatabase(server, DATABASE);
    return { name, url, note: `data in ${folder}`, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

/** The port of the last start if it is still free, else the usual one, else any. */
export async function choosePort(folder: string, name: string, usual: number): Promise<number> {
  const ports = new RememberedPorts(folder);
  const port = await firstFreePort([ports.get(name), usual]);
  ports.set(name, port);
  return port;
}
