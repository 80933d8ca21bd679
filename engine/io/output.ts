/**
 * Text for standard output or standard error that costs lines at the worst, never the process. A
 * reader that went away (EPIPE), a closed terminal (EIO), a full disk (ENOSPC) and a pipe that
 * nobody empties are all met in production; a plain `process.stdout.write` throws at the first
 * three and keeps everything in memory at the last, and a synchronous write to a full pipe or a
 * paused terminal stops the event loop. Here a write never waits: what the kernel does not take at
 * once is kept, up to a bound, and tried again; beyond the bound the newest lines are dropped and
 * counted.
 */
import { constants, fstatSync, openSync, writeSync } from "node:fs";
import { isatty } from "node:tty";
import { OUTPUT_BUFFER_MAX_BYTES } from "../../proto/limits.ts";

/** How often a full pipe is tried again. */
const RETRY_MS = 50;
/** The last words of a process that ends may wait so long for a slow reader. */
const LAST_WORDS_MS = 250;
const LAST_WORDS_STEP_MS = 10;

export type OutputOptions = {
  readonly bytesMax?: number;
  /**
   * The line that says how many were lost, written when the reader takes lines again; null: nothing
   * is said.
   */
  readonly notice?: (dropped: number) => string | null;
  /** Replaced in tests: gives the number of bytes written, or throws as `fs.writeSync` does. */
  readonly write?: (bytes: Buffer) => number;
};

export class Output {
  readonly #write: (bytes: Buffer) => number;
  readonly #bytesMax: number;
  readonly #notice: (dropped: number) => string | null;
  #waiting: Buffer[] = [];
  #waitingBytes = 0;
  #timer: NodeJS.Timeout | null = null;
  #droppedLines = 0;
  #unsaid = 0;
  /** The kernel took a part of a line whose rest was dropped: the next line begins on a new one. */
  #isMidLine = false;

  constructor(fd: 1 | 2, options: OutputOptions = {}) {
    this.#write = options.write ?? writerOf(fd);
    this.#bytesMax = options.bytesMax ?? OUTPUT_BUFFER_MAX_BYTES;
    this.#notice = options.notice ?? (() => null);
    if (options.write === undefined) process.on("exit", () => this.flushWithin(LAST_WORDS_MS));
  }

  /** Lines lost since the process began. */
  get droppedLines(): number {
    return this.#droppedLines;
  }

  /** Bytes that wait for the reader. */
  get waitingBytes(): number {
    return this.#waitingBytes;
  }

  /** Writes one or more whole lines. Never throws and never waits. */
  write(text: string): void {
    const bytes = Buffer.from(text);
    if (this.#waiting.length > 0 && this.#waitingBytes + bytes.length > this.#bytesMax) {
      this.#drop(1);
      return;
    }
    this.#waiting.push(bytes);
    this.#waitingBytes += bytes.length;
    if (this.#waiting.length === 1) this.#flush();
  }

  /**
   * Gives a slow reader a moment for what waits; for the end of the process only, since it blocks.
   */
  flushWithin(ms: number): void {
    const deadline = performance.now() + ms;
    while (this.#waiting.length > 0) {
      this.#flush();
      if (this.#waiting.length === 0 || performance.now() >= deadline) return;
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, LAST_WORDS_STEP_MS);
    }
  }

  #flush(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    while (this.#waiting.length > 0) {
      try {
        this.#step();
      } catch (error) {
        const { code } = error as NodeJS.ErrnoException;
        if (code === "EAGAIN") {
          this.#timer = setTimeout(() => this.#flush(), RETRY_MS);
          this.#timer.unref();
          return;
        }
        // Nobody is there to read, or the disk is full: each later line is one more attempt.
        this.#drop(this.#waiting.length);
        this.#waiting = [];
        this.#waitingBytes = 0;
      }
    }
  }

  /** One write to the kernel. Throws what it throws. */
  #step(): void {
    const prefix = this.#prefix();
    if (prefix !== "") {
      const bytes = Buffer.from(prefix);
      // A notice that is cut is written on; it counts as said.
      const written = this.#write(bytes);
      this.#isMidLine = false;
      this.#unsaid = 0;
      if (written < bytes.length) this.#putFirst(bytes.subarray(written));
      return;
    }
    const first = this.#waiting.shift() as Buffer;
    this.#waitingBytes -= first.length;
    let written = 0;
    try {
      written = this.#write(first);
    } catch (error) {
      this.#putFirst(first);
      throw error;
    }
    if (written === first.length) {
      this.#isMidLine = false;
      return;
    }
    this.#putFirst(first.subarray(written));
    if (written > 0) this.#isMidLine = true;
  }

  /** What has to stand before the next line. */
  #prefix(): string {
    if (this.#unsaid === 0) return "";
    const notice = this.#notice(this.#unsaid);
    if (notice === null) {
      this.#unsaid = 0;
      return this.#isMidLine ? "\n" : "";
    }
    return `${this.#isMidLine ? "\n" : ""}${notice}\n`;
  }

  #putFirst(bytes: Buffer): void {
    this.#waiting.unshift(bytes);
    this.#waitingBytes += bytes.length;
  }

  #drop(lines: number): void {
    this.#droppedLines += lines;
    this.#unsaid += lines;
  }
}

/** Writes to a descriptor without waiting, whatever is behind it. */
function writerOf(fd: 1 | 2): (bytes: Buffer) => number {
  const target = nonBlocking(fd);
  return (bytes) => writeSync(target, bytes);
}

function nonBlocking(fd: 1 | 2): number {
  const stream = fd === 1 ? process.stdout : process.stderr;
  // Whoever writes through the stream itself (console, warnings of Node) must not end the process
  // either.
  stream.on("error", () => undefined);
  try {
    const info = fstatSync(fd);
    // Node has made pipes and sockets non-blocking when it made the stream above; files never block
    // for long.
    if (!info.isCharacterDevice() || !isatty(fd)) return fd;
    // A terminal is blocking, and its flags are shared with the shell: opened anew, they are our
    // own.
    const flags = constants.O_WRONLY | constants.O_NONBLOCK | constants.O_NOCTTY;
    return openSync(`/proc/self/fd/${fd}`, flags);
  } catch {
    // No /proc, or not ours to open: a paused terminal then stops us, as it does every program.
    return fd;
  }
}
