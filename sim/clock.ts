/**
 * The simulator's time: a heap of callbacks by (time, arming order). After each callback all
 * promises that can go on do so before the next one, because production code is full of them;
 * nothing in a run waits for real I/O, so the same seed gives the same run. Times are milliseconds
 * with a fraction: whoever wants whole ones rounds them.
 */
import type { Millis } from "../proto/ids.ts";

/** A callback to come; `run` is null once it was canceled or has run. */
export type Timer = { readonly at: number; readonly order: number; run: (() => void) | null };

const isBefore = (a: Timer, b: Timer): boolean =>
  a.at < b.at || (a.at === b.at && a.order < b.order);

/**
 * Runs all microtasks that are due, at once. Node's own loop calls this function after each of its
 * callbacks; to await a macrotask in its place would cost six times as much. It does nothing from
 * within a microtask.
 */
const drain = (process as unknown as { _tickCallback: () => void })._tickCallback;

/** Calls `run` outside of every promise, where `drain` works. */
export const inMacrotask = <T>(run: () => T): Promise<T> =>
  new Promise((resolve, reject) => {
    setImmediate(() => {
      try {
        resolve(run());
      } catch (error) {
        reject(error instanceof Error ? error : new Error(String(error)));
      }
    });
  });

export class SimClock {
  readonly #heap: Timer[] = [];
  #order = 0;
  #now: Millis;
  readonly #soon: (() => void)[] = [];

  constructor(startAt: Millis) {
    this.#now = startAt;
  }

  now(): Millis {
    return this.#now;
  }

  /**
   * Runs `run` at `at`, or now if that has passed, after everything armed before for the same time.
   */
  at(at: Millis, run: () => void): Timer {
    const heap = this.#heap;
    const timer: Timer = { at: Math.max(at, this.#now), order: this.#order++, run };
    let i = heap.push(timer) - 1;
    while (i > 0) {
      const above = (i - 1) >> 1;
      if (!isBefore(timer, heap[above]!)) break;
      heap[i] = heap[above]!;
      i = above;
    }
    heap[i] = timer;
    return timer;
  }

  after(delayMs: number, run: () => void): Timer {
    return this.at(this.#now + Math.max(0, delayMs), run);
  }

  /**
   * So much time is gone at once, as for machines that were suspended: what was armed for that time
   * is late, and comes in its order.
   */
  leap(ms: number): void {
    this.#now += ms;
  }

  /** Runs `run` when all promises of the present callback have gone on, before the next one. */
  soon(run: () => void): void {
    this.#soon.push(run);
  }

  #runSoon(): void {
    const soon = this.#soon;
    for (let i = 0; i < soon.length; i++) {
      soon[i]?.();
      drain();
    }
    soon.length = 0;
  }

  /**
   * Moves the time on by `ms` and runs what is due on the way, promises included; stops early when
   * `isOver` says so after a callback. Must be called outside of every promise (`inMacrotask`).
   */
  advance(ms: number, isOver: () => boolean = () => false): void {
    this.#checkDrains();
    this.#runSoon();
    const until = this.#now + ms;
    for (let first = this.#heap[0]; first !== undefined && first.at <= until;) {
      this.#drop();
      const { run } = first;
      if (run !== null) {
        first.run = null;
        this.#now = Math.max(this.#now, first.at);
        run();
        drain();
        if (this.#soon.length > 0) this.#runSoon();
        if (isOver()) return;
      }
      first = this.#heap[0];
    }
    this.#now = Math.max(this.#now, until);
  }

  #checkDrains(): void {
    let isDrained = false;
    queueMicrotask(() => {
      isDrained = true;
    });
    drain();
    if (!isDrained) throw new Error("the simulated clock was advanced from within a promise");
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
