// Finds a program for tests that a machine need not have: on the PATH, in our cache, or fetched
// from the Debian archive with the libraries that it needs, without root. A fetched one is started
// through a small script that says where its libraries lie. For tests alone: nothing that runs in
// production looks here.

import { accessSync, chmodSync, constants, existsSync, mkdirSync, mkdtempSync } from "node:fs";
import { renameSync, rmSync, writeFileSync } from "node:fs";
import { delimiter, join } from "node:path";
import { fetchWithDependencies } from "./apt.ts";

export interface DebianProgram {
  readonly package: string;
  /** Names under which it may be on the PATH. */
  readonly names: readonly string[];
  /** The program within the unpacked package. */
  readonly file: string;
  /** More lines for the start script; `$root` is where the package lies. */
  readonly prepare?: string;
}

/** The proxies and poolers that stand before us and beside us. */
export const NGINX: DebianProgram = program("nginx", "usr/sbin/nginx");
export const HAPROXY: DebianProgram = program("haproxy", "usr/sbin/haproxy");
export const PGBOUNCER: DebianProgram = program("pgbouncer", "usr/sbin/pgbouncer");
export const OPENSSL: DebianProgram = program("openssl", "usr/bin/openssl");

function program(name: string, file: string): DebianProgram {
  return { package: name, names: [name], file };
}

/** Folders that hold servers, and that the PATH of an ordinary user lacks. */
const MORE_FOLDERS = ["/usr/sbin", "/usr/local/sbin", "/sbin"];

/** The program to start, null when there is none; `say` hears what takes time and what failed. */
export async function findDebianProgram(
  wanted: DebianProgram,
  cacheFolder: string,
  say: (line: string) => void,
  env = process.env,
): Promise<string | null> {
  const folders = (env["PATH"] ?? "").split(delimiter).filter((folder) => folder !== "");
  const onPath = [...folders, ...MORE_FOLDERS].flatMap((folder) =>
    wanted.names.map((name) => join(folder, name)),
  );
  const cached = join(cacheFolder, wanted.package, "run");
  const found = [...onPath, cached].find(isProgram);
  if (found !== undefined) return found;
  if (!existsSync("/etc/apt")) return null;
  say(`fetching ${wanted.package} from the Debian archive, for tests (once) ...`);
  try {
    return await fetchIntoCache(wanted, cacheFolder);
  } catch (error) {
    say(`${wanted.package} could not be fetched: ${(error as Error).message.split("\n")[0]}`);
    return null;
  }
}

export function isProgram(file: string): boolean {
  try {
    accessSync(file, constants.X_OK);
    return true;
  } catch {
    return false; // Not here: the search goes on.
  }
}

async function fetchIntoCache(wanted: DebianProgram, cacheFolder: string): Promise<string> {
  mkdirSync(cacheFolder, { recursive: true });
  // A folder of its own, renamed at the end: two runs at once do not disturb each other.
  const workFolder = mkdtempSync(join(cacheFolder, "fetch-"));
  const place = join(cacheFolder, wanted.package);
  try {
    const unpacked = await fetchWithDependencies(wanted.package, workFolder);
    if (!isProgram(join(unpacked, wanted.file))) throw new Error("the package holds no program");
    writeFileSync(join(unpacked, "run"), startScript(wanted));
    chmodSync(join(unpacked, "run"), 0o755);
    if (!existsSync(place)) renameSync(unpacked, place);
    return join(place, "run");
  } finally {
    rmSync(workFolder, { recursive: true, force: true });
  }
}

/**
 * It finds its folder by its own path, so that the folder may be copied to where another user can
 * read it.
 */
const startScript = ({ file, prepare }: DebianProgram): string =>
  [
    "#!/bin/sh",
    'root=$(cd "$(dirname "$0")" && pwd)',
    // Some packages keep private libraries a folder deeper, at a path that only root could fill.
    'for folder in "$root"/usr/lib/*-linux-gnu "$root"/lib/*-linux-gnu "$root"/usr/lib/*-linux-gnu/pulseaudio; do',
    '  LD_LIBRARY_PATH="$folder${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"',
    "done",
    "export LD_LIBRARY_PATH",
    ...(prepare === undefined ? [] : [prepare]),
    `exec "$root/${file}" "$@"`,
    "",
  ].join("\n");
