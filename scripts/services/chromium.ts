// Finds a Chromium for tests of pages: named by HEXDISPATCH_CHROMIUM, on the PATH, in our cache, or
// fetched from the Debian archive (debian-program.ts). For tests alone.

import { findDebianProgram, isProgram } from "./debian-program.ts";
import type { DebianProgram } from "./debian-program.ts";

const CHROMIUM: DebianProgram = {
  package: "chromium",
  names: ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"],
  file: "usr/lib/chromium/chromium",
  prepare: '[ -d /etc/fonts ] || export FONTCONFIG_PATH="$root/etc/fonts"',
};

/** The program to start, null when there is none; `say` hears what takes time and what failed. */
export async function findChromium(
  cacheFolder: string,
  say: (line: string) => void,
  env = process.env,
): Promise<string | null> {
  const named = env["HEXDISPATCH_CHROMIUM"];
  if (named !== undefined) return isProgram(named) ? named : null;
  return findDebianProgram(CHROMIUM, cacheFolder, say, env);
}
