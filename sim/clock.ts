/**
 * The simulator's time: a heap of callbacks by (time, arming order). Nothing is ever awaited, so a run is one plain
 * call stack and the same seed gives the same run. Cancelling is the business of whoever armed: a callback that
 * has become pointless must notice it.
 */
import type { Millis } from "../proto/ids.ts";

type Timer = { readonly at: Millis; readonly order: number; readonly run: () => void };

const isBefore = (a: Timer, b: Timer): boolean =>
  a.at < b.at || (a.at === b.at && a.order < b.order);

export class SimClock {
  readonly #heap: Timer[] = [];
  #order = 0;
  #now: Millis;

  constructor(startAt: Millis) {
    this.#now = startAt;
  }

  now(): Millis {
    return this.#now;
  }

  /** Runs `run` at `at`, or now if that has passed, after everything armed before for the same time. */
  at(at: Millis, run: () => void): void {
    const heap = this.#heap;
    const timer = { at: Math.max(at, this.#now), order: this.#order++, run };
    let i = heap.push(timer) - 1;
    while (i > 0) {
      const above = (i - 1) >> 1;
      if (!isBefore(timer, heap[above]!)) break;
      heap[i] = heap[above]!;
      i = above;
    }
    heap[i] = timer;
  }

  after(delayMs: number, run: () => void): void {
    this.at(this.#now + Math.round(delayMs), run);
  }

  /** Moves the time on by `ms` and runs what is due on the way; `afterEach` after every callback. */
  advance(ms: number, afterEach: () => void = () => undefined): void {
    const until = this.#now + ms;
    for (let first = this.#heap[0]; first !== undefined && first.at <= until;) {
      this.#drop();
      this.#now = first.at;
      first.run();
      afterEach();
      first = this.#heap[0];
    }
    this.#now = until;
  }

  #drop(): void {
    const heap = this.#heap;
    const last = heap.pop()!;
    if (heap.length === 0) return;
    let i = 0;
    for (;;) {
      let below = 2 * i + 1;
      if (below >= heap.length) break;
      if (below + 1 < heap.length && isBefore(heap[below + 1]!, heap[below]!)) below++;
      if (!isBefore(heap[below]!, last)) break;
      heap[i] = heap[below]!;
      i = below;
    }
    heap[i] = last;
  }
}
