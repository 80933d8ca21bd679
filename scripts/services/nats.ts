// One nats-server with JetStream on the loopback, for a local start or a test. It writes the
// configuration, starts the server and waits until it answers as a JetStream server. The data
// folder is the caller's; finding the program is nats-binary.ts.

import { connect } from "@nats-io/transport-node";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { connectOptions } from "../../engine/io/nats/connect.ts";
import { NATS_VERSION_MIN, isAtLeast } from "./nats-binary.ts";
import type { NatsBinary } from "./nats-binary.ts";
import { freePort } from "./ports.ts";
import { SetupError, endChild, exitOf, startServer, waitUntilReady } from "./process.ts";
import type { ProcessRecord } from "./process.ts";

const READY_DEADLINE_MS = 30_000;

export interface NatsServer {
  readonly url: string;
  readonly port: number;
  readonly version: string;
  readonly pid: number;
  readonly record: ProcessRecord;
  /** Resolves with how it ended, whoever ended it. */
  readonly exited: Promise<string>;
  /** Ends the server in order; true when it had to be killed. */
  readonly stop: () => Promise<boolean>;
}

export interface NatsServerOptions {
  readonly binary: NatsBinary;
  /** Holds the configuration, the log and the JetStream store; made when it is missing. */
  readonly folder: string;
  /** Default: a free one. */
  readonly port?: number;
  /** Default: the loopback. */
  readonly host?: string;
  /** Its name in a cluster; default: from the port. */
  readonly name?: string;
  /** Whether an acknowledged message is on the disk; default: yes. */
  readonly syncAlways?: boolean;
  /** What to run in place of the program itself, e.g. within a network namespace. */
  readonly launch?: Launch;
  /** What all streams together may set aside, e.g. `64G`; default: 8G. */
  readonly fileStore?: string;
  /** More lines for the configuration file, e.g. accounts or a cluster block. */
  readonly config?: string;
  /** A file with the seed of a user, where that configuration asks for one. */
  readonly credentials?: string;
  /** Port of its health page, on the loopback; default: none. */
  readonly monitorPort?: number;
  /** Called as soon as the process exists, before it answers. */
  readonly onSpawn?: (record: ProcessRecord) => void;
}

/** Turns a command into the one that runs it somewhere else. */
export type Launch = (
  command: string,
  args: readonly string[],
) => { readonly command: string; readonly args: readonly string[] };

/**
 * Starts a server and waits until it answers. Throws a SetupError with its log when it does not.
 */
export async function startNatsServer(options: NatsServerOptions): Promise<NatsServer> {
  const { binary, folder, host = "127.0.0.1" } = options;
  const port = options.port ?? (await freePort());
  mkdirSync(folder, { recursive: true });
  const configFile = join(folder, "nats.conf");
  const logFile = join(folder, "nats.log");
  writeFileSync(configFile, configText({ ...options, host, port }));
  const asItIs: Launch = (command, args) => ({ command, args });
  const launched = (options.launch ?? asItIs)(binary.path, ["-c", configFile]);
  const child = startServer({ ...launched, logFile });
  const record = { name: "nats-server", pid: child.pid ?? 0, marker: configFile };
  if (child.pid !== undefined) options.onSpawn?.(record);
  const url = `nats://${host}:${port}`;
  await waitUntilReady(child, () => answers(url, options.credentials), {
    name: "nats-server",
    deadlineMs: READY_DEADLINE_MS,
    logFile,
  });
  const stop = (): Promise<boolean> => endChild(child, "SIGTERM");
  const { pid } = record;
  return { url, port, version: binary.version, pid, record, exited: exitOf(child), stop };
}

function configText(
  options: NatsServerOptions & { readonly host: string; readonly port: number },
): string {
  const { folder, host, port, name, syncAlways, fileStore, config, monitorPort } = options;
  const sync = `  # An acknowledged message is on the disk, not only in the page cache.
  sync_interval: always
`;
  return `# Written at each start; changes are lost.
server_name: ${name ?? `hexdispatch-${port}`}
listen: "${host}:${port}"
${monitorPort === undefined ? "" : `http: "127.0.0.1:${monitorPort}"\n`}jetstream {
  store_dir: ${JSON.stringify(join(folder, "jetstream"))}
${(syncAlways ?? true) ? sync : ""}  max_memory_store: 1G
  max_file_store: ${fileStore ?? "8G"}
}
${config ?? ""}`;
}

/** Whether a server of ours answers there. */
async function answers(url: string, credentials?: string): Promise<boolean> {
  try {
    await checkNats(url, 1_000, credentials);
    return true;
  } catch {
    return false; // Asked again until the deadline, which reports the server's log.
  }
}

/**
 * Connects once and resolves to the version of the server behind `url`. Throws a SetupError when
 * nothing answers within `timeoutMs`, when it is too old or when it has no JetStream.
 */
export async function checkNats(
  url: string,
  timeoutMs = 5_000,
  credentials?: string,
): Promise<string> {
  const info = await serverInfo(url, timeoutMs, credentials ?? null);
  if (!isAtLeast(info.version, NATS_VERSION_MIN)) {
    throw new SetupError(`the NATS server is ${info.version}, ${NATS_VERSION_MIN} is needed`);
  }
  if (info.jetstream !== true) throw new SetupError("the NATS server has JetStream turned off");
  return info.version;
}

async function serverInfo(
  url: string,
  timeoutMs: number,
  credentials: string | null,
): Promise<{ version: string; jetstream?: boolean | undefined }> {
  try {
    const client = await connect({
      ...connectOptions(url, credentials),
      timeout: timeoutMs,
      reconnect: false,
    });
    const info = client.info;
    await client.close();
    return { version: info?.version ?? "0.0.0", jetstream: info?.jetstream };
  } catch (error) {
    throw new SetupError(`NATS does not answer: ${(error as Error).message}`, { cause: error });
  }
}
