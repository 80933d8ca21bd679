/**
 * A clock that stands still until it is moved: for unit tests and the simulator. Timers run in the
 * order of (time, arming); what was asked for `soon` runs before the next timer, `afterIo` after
 * all of `soon`.
 */
import type { Millis } from "../../proto/ids.ts";
import type { CancelTimer, Clock } from "./clock.ts";

type Timer = { readonly at: Millis; readonly order: number; readonly fn: () => void };

/** One `settle` runs at most so many callbacks: more is a loop that never ends. */
const CALLBACKS_MAX = 1_000_000;

export class VirtualClock implements Clock {
  #now: Millis;
  #order = 0;
  #timers: Timer[] = [];
  #soon: (() => void)[] = [];
  #afterIo: (() => void)[] = [];

  constructor(startAt: Millis = 1_000_000) {
    this.#now = startAt;
  }

  readonly now = (): Millis => this.#now;

  readonly after = (delayMs: number, fn: () => void): CancelTimer => {
    const timer = { at: this.#now + Math.max(0, delayMs), order: this.#order++, fn };
    this.#timers.push(timer);
    return () => {
      this.#timers = this.#timers.filter((other) => other !== timer);
    };
  };

  readonly soon = (fn: () => void): void => void this.#soon.push(fn);

  readonly afterIo = (fn: () => void): void => void this.#afterIo.push(fn);

  /** Timers armed at present. */
  pending(): number {
    return this.#timers.length;
  }

  /** Runs what is due without moving the time, promises included. */
  async settle(): Promise<void> {
    for (let i = 0; i < CALLBACKS_MAX; i++) {
      // Promise chains of the code under test go on here; a macrotask lets all of them finish.
      await new Promise<void>((resolve) => setImmediate(resolve));
      const fn = this.#soon.shift() ?? this.#afterIo.shift();
      if (fn === undefined) return;
      fn();
    }
    throw new Error("the virtual clock does not come to rest");
  }

  /**
   * The process stands still for `ms`: time passes and nothing runs; what is due meanwhile fires
   * late.
   */
  jump(ms: number): void {
    this.#now += ms;
  }

  /** Moves the time by `ms`, running every timer on the way at its own time. */
  async advance(ms: number): Promise<void> {
    const until = this.#now + ms;
    await this.settle();
    for (;;) {
      const next = this.#earliest();
      if (next === null || next.at > until) break;
      this.#timers = this.#timers.filter((timer) => timer !== next);
      this.#now = Math.max(this.#now, next.at);
      next.fn();
      await this.settle();
    }
    this.#now = until;
  }

  #earliest(): Timer | null {
    let best: Timer | null = null;
    for (const timer of this.#timers) {
      if (best === null || timer.at < best.at || (timer.at === best.at && timer.order < best.order))
        best = timer;
    }
    return best;
  }
}
