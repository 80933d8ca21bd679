// What a child process writes: every line goes to its log file, and those that a person should see
// now (warnings, errors, anything that is no log record) go to the terminal in one readable line.
// The file is bounded: full, it becomes `.1` and a new one begins.

import { createWriteStream, existsSync, renameSync, rmSync, statSync } from "node:fs";
import type { WriteStream } from "node:fs";
import { complain } from "./terminal.ts";

const FILES_KEPT = 3;
const FILE_MAX_BYTES = 64 * 1024 * 1024;
const WAITING_MAX_BYTES = 16 * 1024 * 1024;
/** A line that never ends is cut here. */
const LINE_MAX_CHARS = 64 * 1024;
/** Below warning: what only the file keeps. */
const LEVELS_HIDDEN = new Set(["trace", "debug", "info"]);

/**
 * The line for the terminal, null for what only the file keeps. Records are those of
 * engine/io/log.ts: JSON with a `level` by name, a `msg`, and an `error` as text.
 */
export function terminalLine(name: string, line: string): string | null {
  if (line.trim() === "") return null;
  const record = parseRecord(line);
  if (record === null) return `[${name}] ${line}`;
  if (LEVELS_HIDDEN.has(record.level)) return null;
  const text = [record.msg, record.error].filter(Boolean).join(": ");
  return `[${name}] ${record.level}: ${text || line}`;
}

interface LogRecord {
  readonly level: string;
  readonly msg?: string;
  readonly error?: string;
}

function parseRecord(line: string): LogRecord | null {
  if (!line.startsWith("{")) return null;
  try {
    const record = JSON.parse(line) as Partial<LogRecord>;
    return typeof record.level === "string" ? (record as LogRecord) : null;
  } catch {
    return null; // Not JSON after all: shown as it is.
  }
}

/** `x.log` becomes `x.log.1`, that `x.log.2`, and the oldest goes. */
export function rotate(file: string): void {
  rmSync(`${file}.${FILES_KEPT}`, { force: true });
  for (let number = FILES_KEPT - 1; number >= 1; number -= 1) {
    if (existsSync(`${file}.${number}`)) renameSync(`${file}.${number}`, `${file}.${number + 1}`);
  }
  if (existsSync(file)) renameSync(file, `${file}.1`);
}

/**
 * As rotate, where what stands in the way (no permission, a full disk) costs old lines and not the
 * start.
 */
function rotateIfPossible(file: string): void {
  try {
    rotate(file);
  } catch (error) {
    complain(`${file} keeps its old lines: ${(error as Error).message}`);
  }
}

/** A log file that rotates by itself. */
export class LogFile {
  readonly #file: string;
  #stream: WriteStream;
  #bytes = 0;

  /** Opens the file; what it held becomes `.1`. */
  constructor(file: string) {
    this.#file = file;
    if (existsSync(file) && statSync(file).size > 0) rotateIfPossible(file);
    this.#stream = openLog(file);
  }

  write(line: string): void {
    if (this.#stream.writableEnded) return;
    // A disk that stands still costs lines, not memory.
    if (this.#stream.writableLength > WAITING_MAX_BYTES) return;
    this.#bytes += line.length + 1;
    if (this.#bytes > FILE_MAX_BYTES) this.#next();
    this.#stream.write(`${line}\n`);
  }

  #next(): void {
    this.#stream.end();
    rotateIfPossible(this.#file);
    this.#stream = openLog(this.#file);
    this.#bytes = 0;
  }

  end(): Promise<void> {
    return new Promise((resolve) => this.#stream.end(() => resolve()));
  }
}

/** A full disk costs log lines, said once, and never the process that they are about. */
function openLog(file: string): WriteStream {
  const stream = createWriteStream(file, { flags: "a", mode: 0o600 });
  stream.once("error", (error) => complain(`${file}: ${error.message}`));
  stream.on("error", () => undefined);
  return stream;
}

/** Cuts a byte stream into lines. */
export function lineSplitter(onLine: (line: string) => void): (chunk: string) => void {
  let rest = "";
  return (chunk) => {
    const lines = (rest + chunk).split("\n");
    rest = (lines.pop() ?? "").slice(0, LINE_MAX_CHARS);
    for (const line of lines) onLine(line);
  };
}
