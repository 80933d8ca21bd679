// The state folder of a local start (`.hexdispatch/` in the checkout): what is remembered between
// starts. Secrets are readable by the owner alone; the lock keeps a second start out; the process
// list lets the next start end what a kill -9 left behind.

import { randomBytes } from "node:crypto";
import { existsSync, linkSync, mkdirSync, readFileSync, renameSync, unlinkSync } from "node:fs";
import { writeFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { TOKEN_KEY_MIN_BYTES } from "../../gateway/token.ts";
import { SetupError, commandLine, isRunning } from "../services/process.ts";
import type { ProcessRecord } from "../services/process.ts";

/** The checkout: the nearest folder above this file that has a package.json. */
export function projectRoot(): string {
  let folder = dirname(fileURLToPath(import.meta.url));
  while (!existsSync(join(folder, "package.json"))) {
    const above = dirname(folder);
    if (above === folder) throw new Error("no package.json above the scripts");
    folder = above;
  }
  return folder;
}

/** Where a start keeps its state; HEXDISPATCH_STATE_DIR overrides. Made when it is missing. */
export function stateFolder(root = projectRoot()): string {
  const folder = resolve(process.env["HEXDISPATCH_STATE_DIR"] || join(root, ".hexdispatch"));
  mkdirSync(join(folder, "logs"), { recursive: true });
  return folder;
}

/** Programs that were fetched; kept apart from the data so that tests can share them. */
export const cacheFolder = (folder: string): string => join(folder, "cache");

/** A secret of 256 bits, base64url, made at its first use. */
export function keptSecret(folder: string, name: string): string {
  const file = join(folder, name);
  if (!existsSync(file)) {
    const half = `${file}.${process.pid}`;
    writeFileSync(half, `${randomBytes(32).toString("base64url")}\n`, { mode: 0o600 });
    placeOnce(half, file);
  }
  return readFileSync(file, "utf8").trim();
}

/**
 * The signing key of tokens: the environment's, else the one kept for development. Throws a
 * SetupError when the environment's is too short to sign with.
 */
export function authKey(folder: string): string {
  const given = process.env["HEXDISPATCH_AUTH_KEY"];
  if (!given) return keptSecret(folder, "auth-key");
  if (Buffer.byteLength(given) >= TOKEN_KEY_MIN_BYTES) return given;
  throw new SetupError(`HEXDISPATCH_AUTH_KEY needs ${TOKEN_KEY_MIN_BYTES} characters or more`);
}

/** Gives `half` its name unless the name is taken, in one step. False when it was taken. */
function placeOnce(half: string, file: string): boolean {
  try {
    linkSync(half, file);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
    return false;
  } finally {
    unlinkSync(half);
  }
}

/**
 * Takes the folder for this process and returns the function that gives it back. Throws a
 * SetupError when a living process has it.
 */
export function takeLock(folder: string): () => void {
  const file = join(folder, "lock.json");
  const own = { name: "npm start", pid: process.pid, marker: commandLine(process.pid) };
  for (let attempt = 0; attempt < 3; attempt += 1) {
    const half = `${file}.${process.pid}`;
    writeFileSync(half, JSON.stringify(own));
    if (placeOnce(half, file)) return () => unlinkSync(file);
    removeStaleLock(file);
  }
  throw new SetupError(`another start is taking ${folder} at the same time: try again`);
}

function removeStaleLock(file: string): void {
  // Moved aside first: of two starts that find the same stale lock only one moves it, and a lock
  // that turns out to be alive goes back to its place.
  const aside = `${file}.stale.${process.pid}`;
  try {
    renameSync(file, aside);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return;
    throw error;
  }
  const holder = JSON.parse(readFileSync(aside, "utf8")) as ProcessRecord;
  if (!isRunning(holder)) {
    unlinkSync(aside);
    return;
  }
  placeOnce(aside, file);
  throw new SetupError(
    `hexdispatch already runs from this folder (process ${holder.pid}): stop it first, or set ` +
      "HEXDISPATCH_STATE_DIR and the ports for a second one",
  );
}

/** The processes that a start has running, on disk, in the order in which they are to be ended. */
export class ProcessList {
  readonly #file: string;
  readonly #records = new Map<string, ProcessRecord>();

  constructor(folder: string) {
    this.#file = join(folder, "processes.json");
  }

  /** What an earlier run of this folder wrote and did not take back. */
  recorded(): ProcessRecord[] {
    if (!existsSync(this.#file)) return [];
    return JSON.parse(readFileSync(this.#file, "utf8")) as ProcessRecord[];
  }

  /** A process that was started again keeps the place of the one before: who leans on whom stays the same. */
  add(record: ProcessRecord): void {
    this.#records.set(record.name, record);
    this.#write();
  }

  remove(name: string): void {
    this.#records.delete(name);
    this.#write();
  }

  #write(): void {
    // Last started, first ended: the processes lean on the services.
    const records = [...this.#records.values()].reverse();
    const half = `${this.#file}.new`;
    writeFileSync(half, JSON.stringify(records));
    renameSync(half, this.#file);
  }
}

/**
 * The ports that earlier starts settled on, by name. The file is read anew each time: servers come up side by side, and
 * what one notes must not be lost to what another read before.
 */
export class RememberedPorts {
  readonly #file: string;

  constructor(folder: string) {
    this.#file = join(folder, "ports.json");
  }

  get(name: string): number | undefined {
    return this.#read()[name];
  }

  set(name: string, port: number): void {
    writeFileSync(this.#file, JSON.stringify({ ...this.#read(), [name]: port }));
  }

  #read(): Record<string, number> {
    const text = existsSync(this.#file) ? readFileSync(this.#file, "utf8") : "{}";
    return JSON.parse(text) as Record<string, number>;
  }
}
