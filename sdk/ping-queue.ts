/**
 * Pings that the server has not acknowledged, oldest first, bounded. Full, it thins out from the
 * old end but keeps the very first and the newest: where the courier went dark and where it is now
 * matter most. Pure bookkeeping.
 */
import type { PingFrame } from "../proto/frames.ts";

export const PINGS_KEPT_MAX = 500;

export class PingQueue {
  readonly #max: number;
  #pings: PingFrame[] = [];
  #dropped = 0;

  /** `max` is at least 2. */
  constructor(max = PINGS_KEPT_MAX) {
    if (max < 2) throw new Error("a ping queue keeps at least the first and the last");
    this.#max = max;
  }

  get size(): number {
    return this.#pings.length;
  }
  /** Pings thinned out because the queue was full. */
  get dropped(): number {
    return this.#dropped;
  }

  add(ping: PingFrame): void {
    this.#pings.push(ping);
    if (this.#pings.length <= this.#max) return;
    this.#pings.splice(1, 1);
    this.#dropped++;
  }

  /** The server has everything up to `seq`. */
  acknowledge(seq: number): void {
    let count = 0;
    while (count < this.#pings.length && (this.#pings[count] as PingFrame).seq <= seq) count++;
    if (count > 0) this.#pings.splice(0, count);
  }

  /** Up to `count` of the oldest pings after `seq`; they stay until acknowledged. */
  after(seq: number, count: number): PingFrame[] {
    const from = this.#pings.findIndex((ping) => ping.seq > seq);
    return from < 0 ? [] : this.#pings.slice(from, from + count);
  }

  /** The newest ping; undefined when all are acknowledged. */
  newest(): PingFrame | undefined {
    return this.#pings.at(-1);
  }
}
