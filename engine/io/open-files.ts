/**
 * The limit of open files of this process, and what follows from it for the public door. At the
 * limit a process can neither accept nor answer, its admin door included, and a liveness probe
 * would kill what is only full: so the door closes connections before that, and a part is kept for
 * everything else. Node itself raises the soft limit to the hard one as it starts; what is read
 * here is what holds.
 */
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { CONNECTIONS_MIN, FILES_RESERVED, REQUEST_CONNECTIONS_MIN } from "../../proto/limits.ts";
import type { Config } from "../config.ts";

/** Of what is left for connections, the part that sockets never take. */
const REQUESTS_PART = 0.05;
/** The store's pool, the one of partners and webhooks (2), the probe, NATS. */
const OTHER_SERVER_CONNECTIONS = 4;

/**
 * The number of files that this process may have open; null where the system does not say, or says
 * "unlimited".
 */
export function openFilesMax(): number | null {
  try {
    return parseLimits(readFileSync("/proc/self/limits", "utf8"));
  } catch {
    return shellLimit(); // Not Linux, or no /proc in this container.
  }
}

/** From the text of /proc/PID/limits: the soft limit. */
export function parseLimits(text: string): number | null {
  return wholeOf(/^Max open files +(\S+)/m.exec(text)?.[1]);
}

function shellLimit(): number | null {
  try {
    const answer = execFileSync("/bin/sh", ["-c", "ulimit -n"], {
      encoding: "utf8",
      timeout: 2_000,
      stdio: ["ignore", "pipe", "ignore"],
    });
    return wholeOf(answer.trim());
  } catch {
    return null; // No shell either: nothing is known, nothing is capped.
  }
}

const wholeOf = (text: string | undefined): number | null =>
  text !== undefined && /^\d{1,15}$/.test(text) ? Number(text) : null;

export type SocketCapacity = {
  /** Connections of the public door, sockets included; 0: no bound. */
  readonly connectionsMax: number;
  /** WebSockets among them; 0: no bound. */
  readonly socketsMax: number;
};

/**
 * What the public door may have open under a limit of open files, and under the setting where that
 * is lower.
 */
export function socketCapacity(
  filesMax: number | null,
  { doors, postgresConnections }: Pick<Config, "doors" | "postgresConnections">,
): SocketCapacity {
  const { socketsMax: wanted } = doors;
  if (filesMax === null) return { connectionsMax: 0, socketsMax: wanted };
  const reserved = FILES_RESERVED + postgresConnections + OTHER_SERVER_CONNECTIONS;
  const connectionsMax = Math.max(CONNECTIONS_MIN, filesMax - reserved);
  const requests = Math.max(REQUEST_CONNECTIONS_MIN, Math.ceil(connectionsMax * REQUESTS_PART));
  const allowed = Math.max(1, connectionsMax - requests);
  return { connectionsMax, socketsMax: wanted === 0 ? allowed : Math.min(wanted, allowed) };
}
