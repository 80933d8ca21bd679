// The state folder of a local start (`.hexdispatch/` in the checkout): what is remembered between
// starts. Secrets are readable by the owner alone; the lock keeps a second start out; the process
// list lets the next start end what a kill -9 left behind.
//
// A file that was cut off, overwritten or replaced by a folder is made anew where nothing hangs on
// its content: ports, processes, the lock, and secrets while there are no data yet. A secret that
// tokens or data hang on, and any file that may not be read, is refused with one line that names
// it.

import { randomBytes } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, readdirSync, renameSync, rmSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { TOKEN_KEY_MIN_BYTES } from "../../gateway/token.ts";
import { pathHash, reachablePath } from "../services/postgres-binary.ts";
import { SetupError, commandLine, isAlive, isRunning, startOf } from "../services/process.ts";
import type { ProcessRecord } from "../services/process.ts";
import { reasonOf } from "./explain.ts";
import { HALF_FILE, jsonOf, placeOnce, readState, writeWhole } from "./state-file.ts";
import type { Read } from "./state-file.ts";
import { complain } from "./terminal.ts";

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
  try {
    mkdirSync(join(folder, "logs"), { recursive: true });
  } catch (error) {
    throw new SetupError(
      `${folder} cannot hold the state (${reasonOf(error)}): set HEXDISPATCH_STATE_DIR to a folder that can be written to`,
      { cause: error },
    );
  }
  return folder;
}

/** Programs that were fetched; kept apart from the data so that tests can share them. */
export const cacheFolder = (folder: string): string => join(folder, "cache");

/** What hangs on a secret, for the line that refuses to replace it. */
const SECRET_USES: Readonly<Record<string, string>> = {
  "auth-key":
    "it signed the tokens and tracking links that are out. Put it back from a copy, or remove it: a new one is made, and " +
    "those tokens and links are refused",
  "postgres-password":
    "the database asks for it. Put it back from a copy, or remove it together with the folder postgres: a new, empty " +
    "database is made",
};

/**
 * A secret of 256 bits, base64url, made at its first use. A damaged one is replaced only while
 * nothing hangs on it.
 */
export function keptSecret(folder: string, name: string): string {
  const file = join(folder, name);
  const read = readState(file, wholeSecret);
  if (read.damage === null) return read.value;
  const secret = randomBytes(32).toString("base64url");
  if (read.damage === "missing") {
    if (placeOnce(file, `${secret}\n`, 0o600)) return secret;
    return readFileSync(file, "utf8").trim(); // Another start was quicker.
  }
  const use =
    SECRET_USES[name] ?? "what it protects can be reached by nobody else. Put it back from a copy";
  if (read.damage === "unreadable" || holdsData(folder)) {
    throw new SetupError(`${file} ${read.what}: ${use}`);
  }
  writeWhole(file, `${secret}\n`, 0o600);
  complain(`${file} ${read.what}: it was made anew, since nothing hangs on it yet`);
  return secret;
}

/**
 * Ours have 43 characters; one that somebody put there counts from 32 on, if its line has an end.
 */
function wholeSecret(text: string): string | null {
  const secret = text.trim();
  if (!/^[\x21-\x7e]{32,}$/.test(secret)) return null;
  return secret.length >= 43 || text.endsWith("\n") ? secret : null;
}

/** Whether there are data that were made under this folder's secrets. */
const holdsData = (folder: string): boolean =>
  Boolean(process.env["HEXDISPATCH_POSTGRES_URL"]) ||
  [
    join(folder, "postgres", "data"),
    join(folder, "cluster", "postgres"),
    join(reachablePath(projectRoot()), `data-${pathHash(folder)}`),
  ].some((path) => existsSync(path));

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

const isRecord = (value: unknown): value is ProcessRecord => {
  if (typeof value !== "object" || value === null) return false;
  const { name, pid, marker } = value as Partial<Record<string, unknown>>;
  return typeof name === "string" && Number.isInteger(pid) && typeof marker === "string";
};
const isRecords = (value: unknown): value is ProcessRecord[] =>
  Array.isArray(value) && value.every(isRecord);

/**
 * Takes the folder for this process and returns the function that gives it back. Throws a
 * SetupError when a living process has it, or when the folder cannot be written to.
 */
export function takeLock(folder: string): () => void {
  const file = join(folder, "lock.json");
  const { pid } = process;
  const startedAt = startOf(pid);
  const own: ProcessRecord = { name: "npm start", pid, marker: commandLine(pid), startedAt };
  const text = JSON.stringify(own);
  for (let attempt = 0; attempt < 3; attempt += 1) {
    if (isPlaced(file, text)) {
      removeFragments(folder);
      return () => giveBack(file, text);
    }
    removeStaleLock(file);
  }
  throw new SetupError(`another start is taking ${folder} at the same time: try again`);
}

function isPlaced(file: string, text: string): boolean {
  try {
    return placeOnce(file, text);
  } catch (error) {
    const hint = "set HEXDISPATCH_STATE_DIR to a folder that can be written to";
    throw new SetupError(`${file} cannot be written (${reasonOf(error)}): ${hint}`, {
      cause: error,
    });
  }
}

/**
 * Only our own: somebody may have removed ours by hand, and started anew. Never throws, as the
 * process is ending.
 */
function giveBack(file: string, text: string): void {
  try {
    if (readFileSync(file, "utf8") === text) rmSync(file);
  } catch {
    return; // It is gone already, or stays for the next start to judge.
  }
}

function removeStaleLock(file: string): void {
  refuseIfHeld(readState(file, jsonOf(isRecord)), file);
  // Moved aside first: of two starts that find the same stale lock only one moves it, and a lock
  // that turns out to be alive goes back to its place.
  const aside = `${file}.stale.${process.pid}`;
  try {
    renameSync(file, aside);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return;
    throw error;
  }
  const moved = readState(aside, jsonOf(isRecord));
  if (moved.damage === "folder") {
    renameSync(aside, `${file}.aside.${Date.now()}`);
    return;
  }
  const isHeld = moved.damage === null && isRunning(moved.value);
  if (isHeld) placeOnce(file, readFileSync(aside, "utf8"));
  rmSync(aside, { force: true });
  if (isHeld) refuseIfHeld(moved, file);
}

/**
 * A damaged lock names nobody; what runs from the folder all the same is found by `leftovers.ts`.
 */
function refuseIfHeld(read: Read<ProcessRecord>, file: string): void {
  if (read.damage === "unreadable") {
    throw new SetupError(
      `${file} ${read.what}: another user started hexdispatch here. Start as that user, or set HEXDISPATCH_STATE_DIR`,
    );
  }
  if (read.damage === null && isRunning(read.value)) throw alreadyRuns(read.value.pid);
}

export const alreadyRuns = (pid: number): SetupError =>
  new SetupError(
    `hexdispatch already runs from this folder (process ${pid}): stop it first, or set ` +
      "HEXDISPATCH_STATE_DIR and the ports for a second one",
  );

/** Halves of files whose writers are no more. The holder of the lock alone calls this. */
function removeFragments(folder: string): void {
  for (const name of readdirSync(folder)) {
    const isFragment = HALF_FILE.test(name) || /^lock\.json\.stale\.\d+$/.test(name);
    const writer = Number(/\.(\d+)(\.half)?$/.exec(name)?.[1] ?? 0);
    if (isFragment && !isAlive(writer)) rmSync(join(folder, name), { force: true });
  }
}

/**
 * Writes what a start can do without: a full disk costs the note, said in one line, and not the
 * start.
 */
function note(file: string, text: string): void {
  try {
    writeWhole(file, text);
  } catch (error) {
    complain(`${file} could not be written (${reasonOf(error)}): the next start does without it`);
  }
}

/** The processes that a start has running, on disk, in the order in which they are to be ended. */
export class ProcessList {
  readonly #file: string;
  readonly #records = new Map<string, ProcessRecord>();

  constructor(folder: string) {
    this.#file = join(folder, "processes.json");
  }

  /**
   * What an earlier run of this folder wrote and did not take back; nothing where that cannot be
   * read.
   */
  recorded(): ProcessRecord[] {
    return readState(this.#file, jsonOf(isRecords)).value ?? [];
  }

  /** Those that this run has running, in the order in which they are to be ended. */
  current(): ProcessRecord[] {
    return [...this.#records.values()].reverse();
  }

  /**
   * A process that was started again keeps the place of the one before: who leans on whom stays the
   * same.
   */
  add(record: ProcessRecord): void {
    this.#records.set(record.name, { ...record, startedAt: startOf(record.pid) });
    this.#write();
  }

  remove(name: string): void {
    this.#records.delete(name);
    this.#write();
  }

  #write(): void {
    // Last started, first ended: the processes lean on the services.
    note(this.#file, JSON.stringify(this.current()));
  }
}

const isPorts = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null && !Array.isArray(value);
const isPort = (value: unknown): value is number =>
  Number.isInteger(value) && Number(value) > 0 && Number(value) < 65_536;

/**
 * The ports that earlier starts settled on, by name. The file is read anew each time: servers come
 * up side by side, and what one notes must not be lost to what another read before.
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
    note(this.#file, JSON.stringify({ ...this.#read(), [name]: port }));
  }

  #read(): Record<string, number> {
    const ports = readState(this.#file, jsonOf(isPorts)).value ?? {};
    return Object.fromEntries(
      Object.entries(ports).filter((entry): entry is [string, number] => isPort(entry[1])),
    );
  }
}
