// How the processes of a cluster are started: nodes, gateways and the nats-servers between them.
// Each resolves once the process answers, so that "up" means up.

import { closeSync, openSync, readFileSync, readSync, statSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { startNatsServer } from "../services/nats.ts";
import type { NatsBinary } from "../services/nats-binary.ts";
import { SetupError, endChild, exitOf, exitText, lastLines } from "../services/process.ts";
import { startServer } from "../services/process.ts";
import type { ProcessRecord } from "../services/process.ts";
import type { Host } from "./host.ts";
import type { Running } from "./member.ts";
import { NODE_FLAGS } from "../run/node-flags.ts";

const READY_DEADLINE_MS = 60_000;
const NAMED_DEADLINE_MS = 10_000;
const POLL_MS = 50;
const LOG_TAIL_BYTES = 1_000_000;

export interface NatsPlace {
  readonly name: string;
  readonly host: Host;
  readonly port: number;
  readonly clusterPort: number;
}

/** One server of a NATS cluster; `all` are its members, itself included. */
export async function launchNats(
  place: NatsPlace,
  all: readonly NatsPlace[],
  folder: string,
  binary: NatsBinary,
  onSpawn: (record: ProcessRecord) => void,
  auth?: { readonly config: string; readonly onlooker: string },
): Promise<Running> {
  const { name, host, port } = place;
  const server = await startNatsServer({
    binary,
    folder: join(folder, name),
    name,
    host: host.ip,
    port,
    // Three copies on three servers: here the machine is one all the same, and its disk is shared.
    syncAlways: false,
    launch: host.launch,
    config: `${clusterBlock(place, all)}${auth?.config ?? ""}`,
    ...(auth === undefined ? {} : { credentials: auth.onlooker }),
    onSpawn: (record) => onSpawn({ ...record, name }),
  });
  return { pid: server.pid, exited: server.exited };
}

/** Clients are not told the servers' own addresses: theirs go through links that can be cut. */
export function clusterBlock(place: NatsPlace, all: readonly NatsPlace[]): string {
  const routes = all
    .filter(({ name }) => name !== place.name)
    .map(({ host, clusterPort }) => `    "nats://${host.ip}:${clusterPort}"`);
  return `cluster {
  name: hexdispatch
  listen: "${place.host.ip}:${place.clusterPort}"
  no_advertise: true
  routes: [
${routes.join("\n")}
  ]
}
`;
}

export interface ProcessPlace {
  readonly name: string;
  readonly host: Host;
  /** The compiled entry file. */
  readonly script: string;
  readonly env: Readonly<Record<string, string>>;
  readonly adminUrl: string;
  readonly logFile: string;
  /** Whether its log tells the name under which it owns shards. */
  readonly saysItsName: boolean;
}

/** A node or gateway; resolves when its admin listener says that it is ready. */
export async function launchProcess(
  place: ProcessPlace,
  onSpawn: (record: ProcessRecord) => void,
): Promise<Running> {
  const { name, host, script, env, logFile } = place;
  const before = statSync(logFile, { throwIfNoEntry: false })?.size ?? 0;
  const child = startServer({
    ...host.launch(process.execPath, [...NODE_FLAGS, script]),
    logFile,
    // Shorter than in production: whoever plays or measures here has no balancer that looks every
    // few seconds.
    env: { HEXDISPATCH_DRAIN_MS: "200", ...process.env, ...env },
  });
  let failed: string | null = null;
  child.once("error", (error) => (failed = error.message));
  if (child.pid !== undefined) onSpawn({ name, pid: child.pid, marker: script });
  const deadline = Date.now() + READY_DEADLINE_MS;
  // Polling: a listener that is not there yet cannot say when it will be.
  while (!(await isReady(place.adminUrl))) {
    const died: string | null = failed ?? exitText(child) ?? null;
    if (died === null && Date.now() < deadline) {
      await sleep(POLL_MS);
      continue;
    }
    await endChild(child, "SIGKILL");
    const why = died ?? `was not ready within ${READY_DEADLINE_MS / 1_000} s`;
    throw new SetupError(`${name} ${why}; its last lines:\n${lastLines(logFile, 10)}`);
  }
  const id = place.saysItsName ? await untilNamed(logFile, before) : null;
  if (place.saysItsName && id === null) {
    await endChild(child, "SIGKILL");
    throw new SetupError(`${logFile} does not tell the node's name`);
  }
  return { pid: child.pid ?? 0, exited: exitOf(child), ...(id === null ? {} : { id }) };
}

async function isReady(adminUrl: string): Promise<boolean> {
  try {
    const answer = await fetch(`${adminUrl}/readyz`, { signal: AbortSignal.timeout(1_000) });
    await answer.body?.cancel();
    return answer.status === 200;
  } catch {
    return false; // Not listening yet.
  }
}

/** Its line comes a moment after the listener; without it nobody knows what the node owns. */
async function untilNamed(logFile: string, from: number): Promise<string | null> {
  const deadline = Date.now() + NAMED_DEADLINE_MS;
  let id = idInLog(logFile, from);
  while (id === null && Date.now() < deadline) {
    await sleep(POLL_MS);
    id = idInLog(logFile, from);
  }
  return id;
}

/** The name that a node gave itself, from its log's line "ready" behind `from` bytes. */
export function idInLog(logFile: string, from: number): string | null {
  const size = statSync(logFile).size;
  const start = Math.max(from, size - LOG_TAIL_BYTES);
  const text = start === 0 ? readFileSync(logFile, "utf8") : textFrom(logFile, start, size);
  for (const line of text.split("\n").toReversed()) {
    const id = line.includes('"ready"') ? /"node":"(node_[^"]+)"/.exec(line)?.[1] : undefined;
    if (id !== undefined) return id;
  }
  return null;
}

function textFrom(file: string, from: number, to: number): string {
  const bytes = Buffer.alloc(Math.max(0, to - from));
  const descriptor = openSync(file, "r");
  try {
    const read = readSync(descriptor, bytes, 0, bytes.length, from);
    return bytes.toString("utf8", 0, read);
  } finally {
    closeSync(descriptor);
  }
}
