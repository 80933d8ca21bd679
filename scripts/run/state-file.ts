// Small files that must be whole or absent after a crash or a power loss. A new content is written
// beside the old one, synced, and takes its name in one step; the folder is synced as well, because
// a name that is only in memory is lost with the power. Reading says what is wrong with a file in
// place of throwing whatever a parser throws.

import { closeSync, fsyncSync, linkSync, mkdirSync, openSync, readFileSync } from "node:fs";
import { renameSync, rmSync, statSync, writeSync } from "node:fs";
import { basename, dirname } from "node:path";

/** Written by this process alone, so that two that write at once do not meet. */
const besideOf = (file: string): string => `${file}.${process.pid}.half`;

/** What is left of a write that was cut off. */
export const HALF_FILE = /\.\d+\.half$/;

/**
 * Gives `file` this content, in one step. A folder that lies in its place is moved aside, not
 * removed. Throws the system's own error when the disk is full or the place cannot be written to;
 * the old content stays then.
 */
export function writeWhole(file: string, text: string, mode = 0o644): void {
  const half = writeBeside(file, text, mode);
  try {
    moveFolderAside(file);
    renameSync(half, file);
  } catch (error) {
    rmSync(half, { force: true });
    throw error;
  }
  syncFolder(dirname(file));
}

/** As writeWhole, but a file that is there already stays as it is; false then. */
export function placeOnce(file: string, text: string, mode = 0o644): boolean {
  const half = writeBeside(file, text, mode);
  try {
    linkSync(half, file);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
    return false;
  } finally {
    rmSync(half, { force: true });
  }
  syncFolder(dirname(file));
  return true;
}

function writeBeside(file: string, text: string, mode: number): string {
  const half = besideOf(file);
  mkdirSync(dirname(file), { recursive: true });
  rmSync(half, { recursive: true, force: true });
  const fd = openSync(half, "wx", mode);
  try {
    const bytes = Buffer.from(text);
    for (let at = 0; at < bytes.length;) at += writeSync(fd, bytes, at);
    fsyncSync(fd);
  } catch (error) {
    rmSync(half, { force: true });
    throw error;
  } finally {
    closeSync(fd);
  }
  return half;
}

/**
 * Some systems do not let folders be opened or synced; the name is then as safe as they make it.
 */
export function syncFolder(folder: string): void {
  try {
    const fd = openSync(folder, "r");
    try {
      fsyncSync(fd);
    } finally {
      closeSync(fd);
    }
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code !== "EISDIR" && code !== "EPERM" && code !== "EINVAL" && code !== "EACCES")
      throw error;
  }
}

function moveFolderAside(file: string): void {
  const info = statSync(file, { throwIfNoEntry: false });
  if (info?.isDirectory() !== true) return;
  let aside = `${file}.aside`;
  for (let n = 1; statSync(aside, { throwIfNoEntry: false }) !== undefined; n += 1) {
    aside = `${file}.aside${n}`;
  }
  renameSync(file, aside);
}

/** Of what kind the trouble with a file is. */
export type Damage = "missing" | "empty" | "garbage" | "folder" | "unreadable";

export type Read<T> =
  | { readonly value: T; readonly damage: null; readonly what: string }
  | { readonly value: null; readonly damage: Damage; readonly what: string };

/**
 * Reads a file through `parse`, which gives null for anything that it does not know. `what` is for
 * people.
 */
export function readState<T>(file: string, parse: (text: string) => T | null): Read<T> {
  let text: string;
  try {
    text = readFileSync(file, "utf8");
  } catch (error) {
    return damaged(...damageOf(error as NodeJS.ErrnoException));
  }
  // A file that was written shortly before a power loss may be all zeros.
  if (text.replaceAll("\0", "").trim() === "") return damaged("empty", "is empty");
  const value = parse(text);
  if (value === null)
    return damaged("garbage", "cannot be understood: it is cut off or overwritten");
  return { value, damage: null, what: `${basename(file)} is whole` };
}

const damaged = (damage: Damage, what: string): Read<never> => ({ value: null, damage, what });

function damageOf(error: NodeJS.ErrnoException): [Damage, string] {
  if (error.code === "ENOENT") return ["missing", "is missing"];
  if (error.code === "EISDIR") return ["folder", "is a folder and should be a file"];
  return ["unreadable", `cannot be read (${error.code ?? error.message})`];
}

/** For `readState`: JSON of the right shape. */
export const jsonOf =
  <T>(isRight: (value: unknown) => value is T) =>
  (text: string): T | null => {
    try {
      const value: unknown = JSON.parse(text);
      return isRight(value) ? value : null;
    } catch {
      return null; // The reader says that it is damaged.
    }
  };
