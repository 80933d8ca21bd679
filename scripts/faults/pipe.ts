// One direction of a proxied connection: bytes wait in a queue until they are due. An end or a
// break of the source waits in the same queue, because on a held link nobody learns of it either.

import type { Socket } from "node:net";

/** How much later a lost chunk comes: the shortest retransmission timeout of Linux. */
export const RETRANSMISSION_MS = 200;
/** Beyond this the source is not read, as a full window would have it. */
const QUEUE_MAX_BYTES = 1_048_576;

export interface PipeTrouble {
  readonly delayMs: number;
  readonly bytesPerS: number | null;
  readonly loss: number;
  readonly held: boolean;
}

type Item = { readonly what: Buffer | "end" | "break"; readonly dueAt: number };

export class Pipe {
  readonly #source: Socket;
  readonly #sink: Socket;
  readonly #random: () => number;
  readonly #onOver: () => void;
  readonly #queue: Item[] = [];
  #trouble: PipeTrouble = { delayMs: 0, bytesPerS: null, loss: 0, held: false };
  #queuedBytes = 0;
  #lastDueAt = 0;
  #timer: NodeJS.Timeout | null = null;
  #isOver = false;
  #sourceOver = false;

  /** Reads `source` from now on. `onOver` is called once the end or break has been passed on. */
  constructor(source: Socket, sink: Socket, random: () => number, onOver: () => void) {
    this.#source = source;
    this.#sink = sink;
    this.#random = random;
    this.#onOver = onOver;
    source.on("data", (chunk: Buffer) => this.#add(chunk));
    source.once("end", () => this.#sourceEnded("end"));
    source.once("error", () => this.#sourceEnded("break"));
    source.once("close", () => this.#sourceEnded("break"));
    sink.on("drain", () => this.#flush());
    // Already gone before we listened.
    if (source.destroyed) this.#sourceEnded("break");
  }

  get isOver(): boolean {
    return this.#isOver;
  }

  set(trouble: PipeTrouble): void {
    this.#trouble = trouble;
    this.#flush();
  }

  close(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    this.#queue.length = 0;
    this.#isOver = true;
  }

  #sourceEnded(what: "end" | "break"): void {
    if (this.#sourceOver) return;
    this.#sourceOver = true;
    this.#add(what);
  }

  #add(what: Item["what"]): void {
    if (this.#isOver) return;
    const { delayMs, bytesPerS, loss } = this.#trouble;
    const bytes = typeof what === "string" ? 0 : what.length;
    const lost = loss > 0 && this.#random() < loss ? RETRANSMISSION_MS : 0;
    const arrivesAt = Math.max(this.#lastDueAt, performance.now() + delayMs + lost);
    this.#lastDueAt = arrivesAt + (bytesPerS === null ? 0 : (bytes / bytesPerS) * 1_000);
    this.#queue.push({ what, dueAt: this.#lastDueAt });
    this.#queuedBytes += bytes;
    if (this.#queuedBytes > QUEUE_MAX_BYTES) this.#source.pause();
    this.#flush();
  }

  #flush(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    while (!this.#trouble.held && !this.#isOver) {
      const item = this.#queue[0];
      if (item === undefined) return;
      const waitMs = item.dueAt - performance.now();
      if (waitMs > 0) {
        this.#timer = setTimeout(() => this.#flush(), waitMs);
        return;
      }
      if (this.#sink.writableNeedDrain) return;
      this.#queue.shift();
      this.#pass(item.what);
    }
  }

  #pass(what: Item["what"]): void {
    if (typeof what === "string") {
      if (what === "end") this.#sink.end();
      else this.#sink.resetAndDestroy();
      this.#isOver = true;
      this.#onOver();
      return;
    }
    this.#queuedBytes -= what.length;
    if (this.#queuedBytes <= QUEUE_MAX_BYTES) this.#source.resume();
    if (!this.#sink.destroyed) this.#sink.write(what);
  }
}
