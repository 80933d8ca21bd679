/**
 * A process of ours under attack: started as in operation, with a helper inside that measures its
 * event loop. What became of it is written down for `npm run attacks` (HEXDISPATCH_ATTACK_FOLDER):
 * that it was there, whether it ended by itself, how late its loop was in which test, and all that
 * it logged.
 */
import { fork } from "node:child_process";
import { appendFileSync, mkdirSync, writeFileSync } from "node:fs";
import type { ChildProcess } from "node:child_process";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect } from "vitest";
import { until } from "./clients.ts";

const FILES = { gateway: "../main.ts", node: "../../engine/node.ts" } as const;
const HELPER = new URL("attacked-child.ts", import.meta.url).href;

/** On a machine that is busy with other things a start takes its time. */
const START_MS = 60_000;

export type AttackedRole = keyof typeof FILES;
/** How often the loop was so many tenths of a millisecond late. */
export type LagCounts = readonly (readonly [tenths: number, times: number])[];
export type AttackRecord =
  | { readonly type: "process"; readonly role: AttackedRole }
  /** It ended and nobody had asked it to. */
  | { readonly type: "exit"; readonly role: AttackedRole; readonly how: string }
  | {
      readonly type: "lag";
      readonly role: AttackedRole;
      readonly test: string;
      readonly counts: LagCounts;
    }
  /** What a test saw, in words. */
  | { readonly type: "seen"; readonly test: string; readonly text: string };

const folder = process.env["HEXDISPATCH_ATTACK_FOLDER"] ?? "";

/** Writes it down for the table, when there is one to be made. */
export function record(what: AttackRecord): void {
  if (folder !== "") appendFileSync(join(folder, "records.jsonl"), `${JSON.stringify(what)}\n`);
}

/** What was seen in the running test, for the table's remarks. */
export function seen(text: string): void {
  record({ type: "seen", test: expect.getState().currentTestName ?? "", text });
}

let logs = 0;
/** Keeps what a gateway or node wrote, to be searched for what has no place in it. */
export function keepLog(role: AttackedRole, lines: readonly string[]): void {
  if (folder === "") return;
  mkdirSync(join(folder, "logs"), { recursive: true });
  const name = `${role}-${process.pid}-${++logs}-${Date.now()}.log`;
  writeFileSync(join(folder, "logs", name), lines.join(""));
}

export type AttackedProcess = {
  readonly role: AttackedRole;
  readonly child: ChildProcess;
  /** All that it wrote. */
  readonly output: readonly string[];
  /** How it ended; null while it lives. */
  readonly end: () => string | null;
  /**
   * The longest delay of its event loop since this was asked last, ms; all of them go to the table.
   */
  readonly noteLag: (test: string) => Promise<number>;
  readonly moveClock: (ms: number) => void;
  /** Ends it with a signal, and waits until it is gone: the exit code, or the signal's name. */
  readonly kill: (signal: NodeJS.Signals) => Promise<number | string>;
};

/** Starts it and waits for its word. */
export async function startAttackedProcess(
  role: AttackedRole,
  env: Readonly<Record<string, string>>,
): Promise<AttackedProcess> {
  const output: string[] = [];
  let saidReady = false;
  let isAsked = false;
  const child = fork(fileURLToPath(new URL(FILES[role], import.meta.url)), [], {
    execArgv: ["--import", "tsx", "--import", HELPER],
    stdio: ["ignore", "pipe", "pipe", "ipc"],
    env: { ...process.env, ...env },
  });
  for (const stream of [child.stdout, child.stderr]) {
    stream?.on("data", (data: Buffer) => void output.push(data.toString()));
  }
  child.on("message", (message) => {
    saidReady ||= (message as { ready?: boolean }).ready === true;
  });
  const gone = new Promise<number | string>((resolve) => {
    // Not at its exit: what it wrote last comes after that.
    child.once("close", (code, signal) => {
      const how = signal ?? code ?? "nothing";
      if (!isAsked) record({ type: "exit", role, how: String(how) });
      keepLog(role, output);
      resolve(how);
    });
  });
  record({ type: "process", role });
  await until(() => saidReady || child.exitCode !== null, `the ${role}'s word`, START_MS);
  expect(child.exitCode, output.join("")).toBeNull();
  return {
    ...{ role, child, output },
    end: () => child.signalCode ?? (child.exitCode === null ? null : String(child.exitCode)),
    noteLag: (test) => noteLag(child, role, test),
    moveClock: (moveClockMs) => void child.send({ moveClockMs }),
    kill(signal) {
      isAsked = true;
      child.kill(signal);
      return gone;
    },
  };
}

/**
 * Starts one that may not get anywhere, and ends it when it did: "ready", or the code with which it
 * gave up.
 */
export async function tryStart(
  role: AttackedRole,
  env: Readonly<Record<string, string>>,
): Promise<"ready" | number> {
  const child = fork(fileURLToPath(new URL(FILES[role], import.meta.url)), [], {
    execArgv: ["--import", "tsx"],
    stdio: ["ignore", "ignore", "ignore", "ipc"],
    env: { ...process.env, ...env },
  });
  let isReady = false;
  child.on("message", (message) => {
    isReady ||= (message as { ready?: boolean }).ready === true;
  });
  try {
    await until(() => isReady || child.exitCode !== null, `the ${role}'s end or word`, START_MS);
    return child.exitCode ?? "ready";
  } finally {
    child.kill("SIGKILL");
  }
}

async function noteLag(child: ChildProcess, role: AttackedRole, test: string): Promise<number> {
  if (!child.connected) return 0;
  const answered = new Promise<LagCounts>((resolve) => {
    const hear = (message: unknown): void => {
      const { lag } = message as { lag?: LagCounts };
      if (lag === undefined) return;
      child.off("message", hear);
      resolve(lag);
    };
    child.on("message", hear);
    child.once("exit", () => resolve([]));
  });
  child.send({ lag: true });
  const counts = await answered;
  record({ type: "lag", role, test, counts });
  return Math.max(0, ...counts.map(([tenths]) => tenths)) / 10;
}
