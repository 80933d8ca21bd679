/**
 * The life of a process of ours, the same for gateways and nodes: settings, start, readiness, an
 * orderly end, exit code.
 *
 *   starting --started--> ready --told to end--> stopping --done--> exit 0
 *      |  told to end: what was opened is closed, exit 0             |  deadline: exit 1
 *      |  failed: what was opened is closed, exit 1                  |  told again: hastened
 *
 * S1 A process that was told to end never becomes ready afterwards.
 * S2 A bug that nobody caught ends the process with 1; whoever runs it starts it again.
 * S3 Every way out is bounded in time.
 */
import type { Config, Environment } from "./config.ts";
import { ConfigError, readConfig } from "./config.ts";
import { errorFields } from "./io/log.ts";
import type { Log } from "./io/log.ts";
import { Output } from "./io/output.ts";
import type { EndRequests } from "./io/signals.ts";

/**
 * 0: ended in order. 1: it could not start, or something broke. 2: the settings cannot be used;
 * starting again will not help.
 */
export const EXIT = { ok: 0, failed: 1, settings: 2 } as const;
/**
 * Closing what a start had opened may take so long, milliseconds; the rest is cut off with the
 * process.
 */
const CLOSE_DEADLINE_MS = 3_000;

/** What a start is given. */
export type Opening = {
  /**
   * Aborted when the process is told to end. A start that waits for somebody may leave off then.
   */
  readonly ending: AbortSignal;
  /**
   * Notes how what was just opened is closed: last opened, first closed, once, when the start comes
   * to nothing.
   */
  readonly opened: (close: () => Promise<unknown> | void) => void;
};

export type Running = {
  /** For the log: ports, numbers found. */
  readonly found: Readonly<Record<string, unknown>>;
  /** Ends everything in order. `hurry` is aborted when the process is told to end once more. */
  readonly stop: (hurry: AbortSignal) => Promise<void>;
};

export type ServiceOptions = {
  /** With its article, for the log: "the gateway". */
  readonly name: string;
  readonly log: Log;
  readonly requests: EndRequests;
  /** An end that takes longer, milliseconds, is cut short with exit code 1. */
  readonly stopDeadlineMs: number;
  readonly start: (opening: Opening) => Promise<Running>;
  /** Default: ends this process. */
  readonly exit?: (code: number) => void;
};

/** The settings, or the end of the process with a line for each mistake. */
export function readConfigOrExit(env: Environment, role: "gateway" | "node"): Config {
  try {
    return readConfig(env, role);
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    // As plain text: the log's level is among what could not be read.
    new Output(2).write(`${error.message}\n`);
    process.exit(EXIT.settings);
  }
}

/**
 * Runs a service until it is told to end, and ends the process. Resolves when it has asked for the
 * exit.
 */
export async function runService(options: ServiceOptions): Promise<void> {
  const { name, log, requests, stopDeadlineMs } = options;
  const exit = options.exit ?? ((code: number) => process.exit(code));
  const { ending, hurry } = requests;
  const parts = new OpenedParts(log);
  let isCutOff = false;
  const onBug = (error: unknown): void => {
    // A start that is cut off fails in many places, all of them wanted.
    if (isCutOff) return;
    const stack = error instanceof Error ? error.stack : undefined;
    log.fatal({ ...errorFields(error), stack }, `a bug ends ${name}`);
    exit(EXIT.failed);
  };
  process.on("uncaughtException", onBug);
  process.on("unhandledRejection", onBug);

  const told = new Promise<"told">((resolve) => whenAborted(ending, () => resolve("told")));
  const { opened } = parts;
  const starting = Promise.resolve().then(() => options.start({ ending, opened }));
  let running: Running | "told";
  try {
    running = await Promise.race([starting, told]);
  } catch (error) {
    log.fatal(errorFields(error), `${name} cannot start`);
    await parts.close();
    exit(EXIT.failed);
    return;
  }
  if (running === "told") {
    isCutOff = true;
    starting.catch((error: unknown) => log.debug(errorFields(error), "the start was cut off"));
    log.info({ signal: ending.reason }, "told to end before it was ready");
    await parts.close();
    log.info("stopped");
    exit(EXIT.ok);
    return;
  }
  log.info(running.found, "ready");
  sayReady();
  await told;
  log.info({ signal: ending.reason }, "stopping");
  whenAborted(hurry, () => log.info({ signal: hurry.reason }, "told to end again: hastened"));
  const late = setTimeout(() => {
    log.error({ stopDeadlineMs }, "the end took too long");
    exit(EXIT.failed);
  }, stopDeadlineMs);
  late.unref();
  await running.stop(hurry).then(
    () => {
      log.info("stopped");
      exit(EXIT.ok);
    },
    (error: unknown) => {
      log.error(errorFields(error), "the end failed");
      exit(EXIT.failed);
    },
  );
  clearTimeout(late);
}

/**
 * Tells whoever started this process over a channel. It may be gone by now, which is no reason to
 * fail.
 */
function sayReady(): void {
  process.send?.({ ready: true }, () => undefined);
}

/** What a start has opened so far. */
class OpenedParts {
  readonly #log: Log;
  readonly #closes: (() => Promise<unknown> | void)[] = [];
  #isClosing = false;

  constructor(log: Log) {
    this.#log = log;
  }

  /** What opens after the close began is closed at once: nothing of a cut-off start stays open. */
  readonly opened = (close: () => Promise<unknown> | void): void => {
    if (this.#isClosing) void this.#closeOne(close);
    else this.#closes.push(close);
  };

  /** Never rejects, and ends within the deadline. */
  async close(): Promise<void> {
    this.#isClosing = true;
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, CLOSE_DEADLINE_MS);
    });
    await Promise.race([this.#closeAll(), late]);
    clearTimeout(timer);
  }

  async #closeAll(): Promise<void> {
    for (const close of this.#closes.splice(0).toReversed()) await this.#closeOne(close);
  }

  async #closeOne(close: () => Promise<unknown> | void): Promise<void> {
    try {
      await close();
    } catch (error) {
      this.#log.debug(errorFields(error), "a part could not be closed");
    }
  }
}

function whenAborted(signal: AbortSignal, run: () => void): void {
  if (signal.aborted) run();
  else signal.addEventListener("abort", run, { once: true });
}

/** Waits, at most until the signal is aborted. */
export function pauseUnless(signal: AbortSignal, ms: number): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, ms);
    whenAborted(signal, () => {
      clearTimeout(timer);
      resolve();
    });
  });
}
