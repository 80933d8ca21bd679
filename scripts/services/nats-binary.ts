// Finds a nats-server that is new enough: on the PATH, in our cache, or fetched from the Debian
// archive. Older servers are refused rather than tried, because they accept stream settings that
// they do not know and drop them silently. Knows nothing about running one.

import { execFileSync } from "node:child_process";
import { copyFileSync, existsSync, mkdirSync, mkdtempSync, renameSync, rmSync } from "node:fs";
import { chmodSync, readdirSync, statSync } from "node:fs";
import { delimiter, join } from "node:path";
import { fetchDebianPackage } from "./apt.ts";
import { SetupError } from "./process.ts";

/** Below this the streams do not work. */
export const NATS_VERSION_MIN = "2.10.0";
/**
 * From here on `sync_interval: always` is cheap; an older server on the PATH is a second choice.
 */
const NATS_VERSION_GOOD = "2.15.0";
const FETCH_ABANDONED_MS = 600_000;

export interface NatsBinary {
  readonly path: string;
  readonly version: string;
}

/** The version in the output of `nats-server --version`, null when there is none. */
export function parseNatsVersion(output: string): string | null {
  return /\bv?(\d+\.\d+\.\d+)/.exec(output)?.[1] ?? null;
}

/** Whether version `a` is `b` or newer; pre-release parts are ignored. */
export function isAtLeast(a: string, b: string): boolean {
  const left = a.split(".").map(Number);
  const right = b.split(".").map(Number);
  const different = [0, 1, 2].find((i) => (left[i] ?? 0) !== (right[i] ?? 0));
  return different === undefined || (left[different] ?? 0) > (right[different] ?? 0);
}

/**
 * The nats-server to use. `say` hears what takes time and what failed. Throws a SetupError that
 * names the ways to get one when there is none.
 */
export async function findNatsServer(
  cacheFolder: string,
  say: (line: string) => void,
): Promise<NatsBinary> {
  const onPath = (process.env.PATH ?? "")
    .split(delimiter)
    .map((folder) => inspect(join(folder, "nats-server")))
    .find((found) => found !== null && isAtLeast(found.version, NATS_VERSION_MIN));
  if (onPath && isAtLeast(onPath.version, NATS_VERSION_GOOD)) return onPath;
  const cached = newest(cacheFolder);
  if (cached !== null) return cached;
  say("fetching nats-server from the Debian archive (once, about 10 s) ...");
  const fetched = await fetchIntoCache(cacheFolder, say);
  if (fetched !== null) return fetched;
  if (onPath) return onPath;
  throw new SetupError(
    [
      "no nats-server of version 2.10 or newer was found. Three ways to get one:",
      "  - put a nats-server on the PATH (https://github.com/nats-io/nats-server/releases)",
      "  - set HEXDISPATCH_NATS_URL to a server with JetStream, e.g. nats://127.0.0.1:4222",
      "  - on Debian 13 or newer: apt-get install nats-server",
    ].join("\n"),
  );
}

function inspect(path: string): NatsBinary | null {
  if (!existsSync(path)) return null;
  try {
    const output = execFileSync(path, ["--version"], { encoding: "utf8", timeout: 10_000 });
    const version = parseNatsVersion(output);
    return version === null ? null : { path, version };
  } catch {
    return null; // Not a program for this machine: the search goes on.
  }
}

function newest(cacheFolder: string): NatsBinary | null {
  if (!existsSync(cacheFolder)) return null;
  const found = readdirSync(cacheFolder)
    .filter((name) => /^nats-server-\d/.test(name))
    .map((name) => inspect(join(cacheFolder, name)))
    .filter((binary) => binary !== null && isAtLeast(binary.version, NATS_VERSION_MIN));
  return found.reduce((a, b) => (a !== null && b && isAtLeast(a.version, b.version) ? a : b), null);
}

async function fetchIntoCache(
  cacheFolder: string,
  say: (line: string) => void,
): Promise<NatsBinary | null> {
  mkdirSync(cacheFolder, { recursive: true });
  removeAbandoned(cacheFolder);
  // A folder of its own, so that two starts at once do not disturb each other.
  const workFolder = mkdtempSync(join(cacheFolder, "fetch-"));
  const binaryIn = (folder: string): NatsBinary | null =>
    inspect(join(folder, "usr/sbin/nats-server")) ?? inspect(join(folder, "usr/bin/nats-server"));
  try {
    const accepts = (folder: string): boolean =>
      isAtLeast(binaryIn(folder)?.version ?? "0.0.0", NATS_VERSION_MIN);
    const folder = await fetchDebianPackage("nats-server", workFolder, accepts, say);
    const found = folder === null ? null : binaryIn(folder);
    return found === null ? null : intoPlace(found, cacheFolder);
  } finally {
    rmSync(workFolder, { recursive: true, force: true });
  }
}

/** Folders of fetches that were cut off; a younger one may be at work. */
function removeAbandoned(cacheFolder: string): void {
  const old = Date.now() - FETCH_ABANDONED_MS;
  for (const name of readdirSync(cacheFolder).filter((entry) => entry.startsWith("fetch-"))) {
    const folder = join(cacheFolder, name);
    if (statSync(folder).mtimeMs < old) rmSync(folder, { recursive: true, force: true });
  }
}

/** Renamed at the end, so that a half-copied file is never taken for a server. */
function intoPlace(found: NatsBinary, cacheFolder: string): NatsBinary {
  const path = join(cacheFolder, `nats-server-${found.version}`);
  const half = `${path}.${process.pid}`;
  copyFileSync(found.path, half);
  chmodSync(half, 0o755);
  renameSync(half, path);
  return { path, version: found.version };
}
