// Free TCP ports on the loopback. A port is probed by listening on it for a moment; somebody else
// may take it before the server does, which the server then says itself. Starts of this project
// that run side by side (two checkouts) keep out of each other's way by claims.

import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { isAlive } from "./process.ts";

/** Whether `port` can be listened on at 127.0.0.1. */
export function isPortFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = createServer();
    probe.once("error", () => resolve(false));
    probe.listen({ port, host: "127.0.0.1", exclusive: true }, () => {
      probe.close(() => resolve(true));
    });
  });
}

/** A port that nobody listens on, chosen by the system. */
export function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const probe = createServer();
    probe.once("error", reject);
    probe.listen({ port: 0, host: "127.0.0.1" }, () => {
      const address = probe.address();
      const port = address !== null && typeof address === "object" ? address.port : 0;
      probe.close(() => resolve(port));
    });
  });
}

/** The first of `wanted` that is free and that no other start has in mind, else any free port. */
export async function firstFreePort(wanted: readonly (number | undefined)[]): Promise<number> {
  for (const port of wanted) {
    if (port !== undefined && (await isPortFree(port)) && claimPort(port)) return port;
  }
  return freePort();
}

/**
 * Notes that this process is about to use `port`, for as long as it lives. False when another
 * living process has noted that before: between its probe and its server's start the port looks
 * free.
 */
export function claimPort(port: number, pid: number = process.pid): boolean {
  const file = join(tmpdir(), `hexdispatch-port-${port}`);
  try {
    const holder = readHolder(file);
    if (holder !== null && holder !== pid && isAlive(holder)) return false;
    if (holder !== null) rmSync(file, { force: true });
    writeFileSync(file, String(pid), { flag: "wx" });
    return true;
  } catch {
    return false; // Claimed at this very moment, or a file of another user: there are other ports.
  }
}

function readHolder(file: string): number | null {
  try {
    return Number(readFileSync(file, "utf8"));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return null;
    throw error;
  }
}
