// One process of ours (a node or a gateway) kept alive: started, watched, started again with a
// growing pause when it dies, and ended in order. One that dies before it was ever ready is tried a
// few times, each with its reason and last lines, because servers and ports come free; then the
// start fails. Wrong settings stay wrong: exit code 2 is final at once.

import { spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { setTimeout as sleep } from "node:timers/promises";
import { pathToFileURL } from "node:url";
import { EXIT } from "../../engine/service.ts";
import { STOP_DEADLINE_MS, endProcess, exitText, sendSignal } from "../services/process.ts";
import type { ProcessRecord } from "../services/process.ts";
import { nextPauseMs } from "./keep-running.ts";
import { LogFile, lineSplitter, terminalLine } from "./log-lines.ts";
import { NODE_FLAGS } from "./node-flags.ts";

const LAST_LINES_MAX = 20;
/** Of them shown at each attempt but the last, which shows all. */
const LINES_SHOWN_MAX = 3;
/** Deaths before the first readiness after which the start gives up. */
export const FIRST_ATTEMPTS_MAX = 4;
const PIPES_DEADLINE_MS = 500;

export interface ChildOptions {
  readonly name: string;
  /** The compiled entry file. */
  readonly script: string;
  /** The module that it loads first, a file; see FIRST_MODULE. */
  readonly firstModule: string;
  /** Added to its command line, by which a later start knows it. */
  readonly args: readonly string[];
  readonly env: NodeJS.ProcessEnv;
  readonly logFile: string;
  readonly say: (line: string) => void;
  readonly onSpawn: (record: ProcessRecord) => void;
  readonly onEnd: (name: string) => void;
}

export class Child {
  readonly #options: ChildOptions;
  readonly #log: LogFile;
  readonly #lastLines: string[] = [];
  #process: ChildProcess | null = null;
  #timer: NodeJS.Timeout | null = null;
  #startedAt = 0;
  #pauseMs = 0;
  #stopping = false;
  #wasReady = false;
  #deaths = 0;
  #saidReady = false;
  #death: string | null = null;

  constructor(options: ChildOptions) {
    this.#options = options;
    this.#log = new LogFile(options.logFile);
    this.#start();
  }

  /** Whether the process that runs now has sent `{ ready: true }` over its channel. */
  get saidReady(): boolean {
    return this.#saidReady;
  }

  /** How it ended for the last time before it was ever ready, null while there is hope. */
  get death(): string | null {
    return this.#death;
  }

  /** The last lines it wrote, oldest first. */
  get lastLines(): readonly string[] {
    return this.#lastLines;
  }

  /** From now on a death is followed by a new start. */
  markReady(): void {
    this.#wasReady = true;
  }

  #start(): void {
    const { name, script, args, env } = this.#options;
    // As a URL: a path may hold blanks and other signs.
    const first = ["--import", pathToFileURL(this.#options.firstModule).href];
    this.#timer = null;
    this.#saidReady = false;
    this.#startedAt = Date.now();
    const child = spawn(process.execPath, [...NODE_FLAGS, ...first, script, ...args], {
      detached: true,
      env,
      stdio: ["ignore", "pipe", "pipe", "ipc"],
    });
    this.#process = child;
    child.on("message", (message) => {
      if (isReadyMessage(message)) this.#saidReady = true;
    });
    for (const stream of [child.stdout, child.stderr]) {
      stream?.setEncoding("utf8").on(
        "data",
        lineSplitter((line) => this.#keep(line)),
      );
    }
    child.once("error", (error) => this.#ended(child, error.message));
    child.once("exit", () => this.#ended(child, exitText(child) ?? "ended"));
    const marker = [script, ...args].join(" ");
    if (child.pid !== undefined) this.#options.onSpawn({ name, pid: child.pid, marker });
  }

  #keep(line: string): void {
    this.#log.write(line);
    this.#lastLines.push(line);
    if (this.#lastLines.length > LAST_LINES_MAX) this.#lastLines.shift();
    // Complaints about connections that close are the normal sound of stopping.
    const shown = this.#stopping ? null : terminalLine(this.#options.name, line);
    if (shown !== null) this.#options.say(shown);
  }

  #ended(child: ChildProcess, how: string): void {
    if (this.#process !== child) return;
    const { name, say, onEnd } = this.#options;
    this.#process = null;
    this.#saidReady = false;
    onEnd(name);
    if (this.#stopping) {
      if ((child.exitCode ?? 0) !== 0) say(`${name} ${how} while stopping: see its log`);
      return;
    }
    const { lines, mayTryAgain } = this.#judge(child);
    if (!mayTryAgain) {
      this.#death = this.#deaths > 1 ? `${how} (${this.#deaths} times)` : how;
      return;
    }
    this.#pauseMs = nextPauseMs(this.#pauseMs, Date.now() - this.#startedAt);
    say(`${name} ${how}${lines}; it is started again in ${this.#pauseMs / 1000} s`);
    this.#timer = setTimeout(() => this.#start(), this.#pauseMs);
  }

  /**
   * Whether a death before the first readiness is worth another attempt, and what is to be said of
   * it.
   */
  #judge(child: ChildProcess): { readonly lines: string; readonly mayTryAgain: boolean } {
    if (this.#wasReady) return { lines: "", mayTryAgain: true };
    this.#deaths += 1;
    const mayTryAgain = child.exitCode !== EXIT.settings && this.#deaths < FIRST_ATTEMPTS_MAX;
    const last = this.#lastLines.slice(-LINES_SHOWN_MAX);
    return { lines: [" before it was ready", ...last].join("\n    "), mayTryAgain };
  }

  /** Asks the process that is ending to make haste. */
  hasten(): void {
    const pid = this.#process?.pid;
    if (this.#stopping && pid !== undefined) sendSignal(pid, "SIGTERM");
  }

  /** Ends the process and stays ended; true when it had to be killed. */
  async stop(deadlineMs = STOP_DEADLINE_MS): Promise<boolean> {
    this.#stopping = true;
    if (this.#timer !== null) clearTimeout(this.#timer);
    const child = this.#process;
    const pid = child?.pid;
    const killed = pid === undefined ? false : await endProcess(pid, "SIGTERM", deadlineMs);
    // Its last words may still be in the pipes; a grandchild that holds them open is not waited
    // for.
    if (child?.stdout?.readableEnded === false) {
      await Promise.race([once(child, "close"), sleep(PIPES_DEADLINE_MS)]);
    }
    await this.#log.end();
    return killed;
  }
}

function isReadyMessage(message: unknown): boolean {
  if (typeof message !== "object" || message === null) return false;
  const { ready, type } = message as { ready?: unknown; type?: unknown };
  return ready === true || type === "ready";
}
