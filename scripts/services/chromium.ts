// Finds a Chromium for tests of pages: named by HEXDISPATCH_CHROMIUM, on the PATH, in our cache, or
// fetched from the Debian archive with the libraries that it needs, without root. What was fetched
// is started through a small script that says where those lie. It is for tests alone: nothing that
// runs in production looks here.

import { accessSync, chmodSync, constants, existsSync, mkdirSync, mkdtempSync } from "node:fs";
import { renameSync, rmSync, writeFileSync } from "node:fs";
import { delimiter, join } from "node:path";
import { fetchWithDependencies } from "./apt.ts";

const NAMES = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];
const PROGRAM = "usr/lib/chromium/chromium";

/** The program to start, null when there is none; `say` hears what takes time and what failed. */
export async function findChromium(
  cacheFolder: string,
  say: (line: string) => void,
  env = process.env,
): Promise<string | null> {
  const named = env["HEXDISPATCH_CHROMIUM"];
  if (named !== undefined) return isProgram(named) ? named : null;
  const folders = (env["PATH"] ?? "").split(delimiter).filter((folder) => folder !== "");
  const onPath = folders.flatMap((folder) => NAMES.map((name) => join(folder, name)));
  const cached = join(cacheFolder, "chromium", "run");
  const found = [...onPath, cached].find(isProgram);
  if (found !== undefined) return found;
  if (!existsSync("/etc/apt")) return null;
  say(
    "fetching Chromium from the Debian archive, for the tests of pages (once, about a minute) ...",
  );
  try {
    return await fetchIntoCache(cacheFolder);
  } catch (error) {
    say(`Chromium could not be fetched: ${(error as Error).message.split("\n")[0]}`);
    return null;
  }
}

function isProgram(file: string): boolean {
  try {
    accessSync(file, constants.X_OK);
    return true;
  } catch {
    return false; // Not here: the search goes on.
  }
}

async function fetchIntoCache(cacheFolder: string): Promise<string> {
  mkdirSync(cacheFolder, { recursive: true });
  // A folder of its own, renamed at the end: two runs at once do not disturb each other.
  const workFolder = mkdtempSync(join(cacheFolder, "fetch-"));
  const place = join(cacheFolder, "chromium");
  try {
    const unpacked = await fetchWithDependencies("chromium", workFolder);
    if (!isProgram(join(unpacked, PROGRAM))) throw new Error("the package holds no program");
    writeFileSync(join(unpacked, "run"), startScript(place));
    chmodSync(join(unpacked, "run"), 0o755);
    if (!existsSync(place)) renameSync(unpacked, place);
    return join(place, "run");
  } finally {
    rmSync(workFolder, { recursive: true, force: true });
  }
}

const startScript = (root: string): string =>
  [
    "#!/bin/sh",
    `root='${root.replaceAll("'", `'\\''`)}'`,
    'for folder in "$root"/usr/lib/*-linux-gnu "$root"/lib/*-linux-gnu; do',
    '  LD_LIBRARY_PATH="$folder${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"',
    "done",
    "export LD_LIBRARY_PATH",
    '[ -d /etc/fonts ] || export FONTCONFIG_PATH="$root/etc/fonts"',
    `exec "$root/${PROGRAM}" "$@"`,
    "",
  ].join("\n");
