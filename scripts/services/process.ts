// Starting and ending server processes. Every process started here is the leader of its own group,
// so that Ctrl-C in the terminal reaches only the script, which then ends the others in order.
// Ending is by process id alone, never by name, and an id from a file counts only while the process
// behind it began when the recorded one did and its command line carries the recorded marker: ids
// are given anew, after a restart of the machine above all.

import { execFileSync, spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { closeSync, openSync, readFileSync, readdirSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";

/** How long a process may take to end after it was asked to. */
export const STOP_DEADLINE_MS = 10_000;
const POLL_MS = 50;

/** A failure that is the user's to mend: shown as its message alone, without a stack. */
export class SetupError extends Error {
  override name = "SetupError";
}

/** A process that outlives the script if nobody ends it; `marker` is part of its command line. */
export interface ProcessRecord {
  readonly name: string;
  readonly pid: number;
  readonly marker: string;
  /** When it began, as `startOf` gives it; absent in notes of older versions. */
  readonly startedAt?: string | undefined;
  /** What asks it to end; SIGTERM when it is not said. */
  readonly endSignal?: NodeJS.Signals;
}

/** Ends processes that an earlier run left behind, in the order of the list. */
export async function endLeftovers(records: readonly ProcessRecord[]): Promise<string[]> {
  const ended: string[] = [];
  for (const record of records) {
    if (!isRunning(record)) continue;
    refuseForeign(record);
    await endProcess(record.pid, record.endSignal ?? "SIGTERM", STOP_DEADLINE_MS);
    ended.push(record.name);
  }
  return ended;
}

/** What another user started is not ours to end. */
function refuseForeign({ name, pid }: ProcessRecord): void {
  try {
    process.kill(pid, 0);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EPERM") return;
    throw new SetupError(
      `${name} (process ${pid}) still runs from this folder and belongs to another user: end it first`,
      { cause: error },
    );
  }
}

/** Whether the recorded process still runs, and is the one that was recorded. */
export function isRunning({ pid, marker, startedAt }: ProcessRecord): boolean {
  if (!Number.isInteger(pid) || pid < 1 || !isAlive(pid)) return false;
  if (startedAt !== undefined && startOf(pid) !== startedAt) return false;
  return commandLine(pid).includes(marker);
}

/**
 * When a process began: the same text as long as it lives, another one for whoever gets its id
 * later. It is counted from the start of the machine, so that no setting of its clock changes it.
 * Undefined when it is gone.
 */
export function startOf(pid: number): string | undefined {
  try {
    if (process.platform !== "linux") {
      const options = { encoding: "utf8" } as const;
      return execFileSync("ps", ["-o", "lstart=", "-p", String(pid)], options).trim() || undefined;
    }
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    // The name, second, may hold anything; field 22 is the 20th after it.
    const ticks = stat.slice(stat.lastIndexOf(")") + 2).split(" ")[19];
    return ticks === undefined ? undefined : `${bootId()}:${ticks}`;
  } catch {
    return undefined; // It went away between the question and the look.
  }
}

/** Another one after each start of the machine. */
function bootId(): string {
  try {
    return readFileSync("/proc/sys/kernel/random/boot_id", "utf8").slice(0, 8);
  } catch {
    return "boot"; // Hidden from this container: the ticks alone have to do.
  }
}

/** The parent of a process; undefined where that cannot be said. */
export function parentOf(pid: number): number | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    return Number(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[1]);
  } catch {
    return undefined; // Gone, or no /proc.
  }
}

/** The processes that `pid` has started and not yet buried. Empty where there is no /proc. */
export const findChildren = (pid: number): number[] =>
  findProcesses(() => true).filter((each) => parentOf(each) === pid && isAlive(each));

/**
 * The processes of this machine whose arguments, taken apart, are as `matches` says. Empty where
 * there is no /proc.
 */
export function findProcesses(matches: (args: readonly string[]) => boolean): number[] {
  let names: string[];
  try {
    names = readdirSync("/proc").filter((name) => /^\d+$/.test(name));
  } catch {
    return []; // Not Linux: the notes are all there is.
  }
  return names.map(Number).filter((pid) => {
    try {
      return matches(readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0").slice(0, -1));
    } catch {
      return false; // It ended meanwhile.
    }
  });
}

/** Whether a process of this id exists. A zombie counts as gone. */
export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
  return !isZombie(pid);
}

/** The arguments of a process joined by blanks; empty when it is gone. */
export function commandLine(pid: number): string {
  try {
    if (process.platform === "linux") {
      return readFileSync(`/proc/${pid}/cmdline`, "utf8").replaceAll("\0", " ");
    }
    return execFileSync("ps", ["-o", "args=", "-p", String(pid)], { encoding: "utf8" });
  } catch {
    return ""; // The process went away between the question and the look.
  }
}

function isZombie(pid: number): boolean {
  if (process.platform !== "linux") return false;
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    return stat.slice(stat.lastIndexOf(")") + 2).startsWith("Z");
  } catch {
    return true; // No entry: as gone as a zombie.
  }
}

/**
 * Asks a process to end with `signal`, waits up to `deadlineMs` and then kills it. Resolves to
 * whether the kill was needed.
 */
export async function endProcess(
  pid: number,
  signal: NodeJS.Signals,
  deadlineMs: number,
): Promise<boolean> {
  if (!sendSignal(pid, signal)) return false;
  const deadline = Date.now() + deadlineMs;
  while (isAlive(pid)) {
    if (Date.now() >= deadline) {
      sendSignal(pid, "SIGKILL");
      return true;
    }
    await sleep(POLL_MS);
  }
  return false;
}

/** As endProcess, for a child of ours; one that has ended is left alone, whoever has its id now. */
export async function endChild(child: ChildProcess, signal: NodeJS.Signals): Promise<boolean> {
  if (child.pid === undefined || exitText(child) !== undefined) return false;
  return endProcess(child.pid, signal, STOP_DEADLINE_MS);
}

/** Sends a signal; false when the process is already gone. */
export function sendSignal(pid: number, signal: NodeJS.Signals): boolean {
  try {
    process.kill(pid, signal);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ESRCH") return false;
    throw error;
  }
}

export interface ServerOptions {
  readonly command: string;
  readonly args: readonly string[];
  /** Its standard output and error are appended here. */
  readonly logFile: string;
  /** Default: our own environment. */
  readonly env?: NodeJS.ProcessEnv;
  /** The user it runs as; needs root. */
  readonly user?: { readonly uid: number; readonly gid: number } | undefined;
}

/** Starts a server in its own process group with its output in a file. */
export function startServer(options: ServerOptions): ChildProcess {
  const log = openSync(options.logFile, "a", 0o600);
  try {
    return spawn(options.command, [...options.args], {
      cwd: "/",
      detached: true,
      stdio: ["ignore", log, log],
      ...(options.env === undefined ? {} : { env: options.env }),
      ...options.user,
    });
  } finally {
    closeSync(log);
  }
}

/**
 * Polls `isReady` until it holds. Throws a SetupError with the end of the log when the process dies
 * first or the time is over, in which case it is ended. Polling, because a server says in no other
 * way that it answers.
 */
export async function waitUntilReady(
  child: ChildProcess,
  isReady: () => Promise<boolean>,
  options: { readonly name: string; readonly deadlineMs: number; readonly logFile: string },
): Promise<void> {
  let spawnError: Error | undefined;
  child.once("error", (error) => (spawnError = error));
  const deadline = Date.now() + options.deadlineMs;
  while (!(await isReady())) {
    const died = spawnError?.message ?? exitText(child);
    if (died === undefined && Date.now() < deadline) {
      await sleep(POLL_MS);
      continue;
    }
    const why = died ?? `gave no answer within ${options.deadlineMs / 1000} s`;
    await endChild(child, "SIGTERM");
    throw new SetupError(`${options.name}: ${why}\n${lastLines(options.logFile, 15)}`);
  }
}

/** How a child ended, undefined while it runs. */
export function exitText(child: ChildProcess): string | undefined {
  if (child.signalCode !== null) return `ended by ${child.signalCode}`;
  return child.exitCode === null ? undefined : `ended with exit code ${child.exitCode}`;
}

/** Resolves with how a child ended, at once when it already has. */
export function exitOf(child: ChildProcess): Promise<string> {
  return new Promise((resolve) => {
    const ended = exitText(child);
    if (ended === undefined) child.once("exit", () => resolve(exitText(child) ?? "ended"));
    else resolve(ended);
  });
}

/** The last `count` lines of a file, each indented; empty when there is no file. */
export function lastLines(file: string, count: number): string {
  try {
    const lines = readFileSync(file, "utf8").trimEnd().split("\n").slice(-count);
    return lines.map((line) => `    ${line}`).join("\n");
  } catch {
    return `    (${file} cannot be read)`;
  }
}
