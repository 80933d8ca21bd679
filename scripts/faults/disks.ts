// Disks that can be full: small file systems in memory, mounted where a server keeps its data, with
// one file in each that takes all the room when it is told to. Needs root; without it there are
// none. What a killed suite left mounted is unmounted by the next.

import { execFileSync } from "node:child_process";
import { closeSync, mkdirSync, openSync, readFileSync, rmSync, writeSync } from "node:fs";
import { existsSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { isAlive } from "../services/process.ts";

export interface Disk {
  readonly path: string;
  /** Takes all the room that is left, and what is given free while it is full. */
  fill(): void;
  free(): void;
}

export interface Disks {
  /** Why there are none; null when there are. */
  readonly why: string | null;
  /** Mounts one in an empty folder, made when it is missing. Throws where there are none. */
  mount(path: string, megabytes: number): Disk;
  /** Unmounts all. */
  close(): void;
}

const FILLER = "filler";
const CHUNK_BYTES = 262_144;
const SMALLEST_BYTES = 4_096;
const MOUNT_POINT = /^tmpfs (\S*hexdispatch-test-[^/ ]+)(\/\S+) tmpfs/gm;

export function makeDisks(isWanted: boolean): Disks {
  const none = (why: string): Disks => ({
    why,
    mount: () => {
      throw new Error("this host has no disk to fill");
    },
    close: () => undefined,
  });
  if (!isWanted) return none("not asked for");
  if (process.getuid?.() !== 0) return none("mounting needs root");
  try {
    sweepLeftovers();
    const probe = join(tmpdir(), `hexdispatch-test-disk-${process.pid}`);
    mkdirSync(probe, { recursive: true });
    mount(probe, 1);
    unmount(probe);
    rmSync(probe, { recursive: true, force: true });
  } catch (error) {
    const said = (error as { stderr?: string }).stderr || (error as Error).message;
    return none(`mounting is not allowed here: ${said.trim().split("\n").at(-1)}`);
  }
  const mounted = new Set<string>();
  const close = (): void => {
    process.off("exit", close);
    for (const path of mounted) unmount(path);
    mounted.clear();
  };
  process.once("exit", close);
  return {
    why: null,
    close,
    mount(path, megabytes) {
      mkdirSync(path, { recursive: true });
      mount(path, megabytes);
      mounted.add(path);
      return diskAt(path);
    },
  };
}

function diskAt(path: string): Disk {
  const file = join(path, FILLER);
  return {
    path,
    fill() {
      const descriptor = openSync(file, "a", 0o600);
      try {
        for (let size = CHUNK_BYTES; size >= SMALLEST_BYTES; size /= 2) writeAll(descriptor, size);
      } finally {
        closeSync(descriptor);
      }
    },
    free: () => rmSync(file, { force: true }),
  };
}

/** Writes pieces of this size until one does not fit. */
function writeAll(descriptor: number, bytes: number): void {
  const piece = Buffer.alloc(bytes);
  for (;;) {
    try {
      if (writeSync(descriptor, piece) < bytes) return;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "ENOSPC") return;
      throw error;
    }
  }
}

const command = (name: string, ...args: string[]): string =>
  execFileSync(name, args, { encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] });

function mount(path: string, megabytes: number): void {
  command("mount", "-t", "tmpfs", "-o", `size=${megabytes}m,mode=0711`, "tmpfs", path);
}

/** Lazily: who still has a file open there keeps it until then. */
const unmount = (path: string): string => command("umount", "-l", path);

/** Mounts in the folders of test runs that are no more. */
export function sweepLeftovers(): void {
  const mounts = readFileSync("/proc/mounts", "utf8");
  for (const [, folder = "", rest = ""] of mounts.matchAll(MOUNT_POINT)) {
    const owner = join(folder, "owner");
    if (existsSync(owner) && isAlive(Number(readFileSync(owner, "utf8")))) continue;
    unmount(`${folder}${rest}`);
  }
}
