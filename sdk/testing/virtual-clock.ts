/**
 * A clock that moves only when a test says so. Timers ring in the order of their time, then of
 * their arming.
 */
import type { Clock, Timer } from "../clock.ts";

/** Rounds of the microtask queue that any chain of promises in the SDK settles within. */
const SETTLE_ROUNDS = 50;

/** Lets everything happen that waits for nothing but promises. */
export async function settle(): Promise<void> {
  for (let i = 0; i < SETTLE_ROUNDS; i++) await Promise.resolve();
}

export class VirtualClock implements Clock {
  #now = Date.UTC(2026, 4, 3, 14);
  #next = 1;
  readonly #timers = new Map<number, { at: number; run: () => void }>();

  readonly now = (): number => this.#now;
  readonly setTimer = (run: () => void, ms: number): number => {
    const id = this.#next++;
    this.#timers.set(id, { at: this.#now + Math.max(0, ms), run });
    return id;
  };
  readonly clearTimer = (timer: Timer): void => {
    this.#timers.delete(timer as number);
  };

  /** Moves time on by `ms`, ringing each timer at its own time. */
  async advance(ms: number): Promise<void> {
    const end = this.#now + ms;
    await settle();
    for (;;) {
      const due = [...this.#timers].filter(([, timer]) => timer.at <= end);
      due.sort(([idA, a], [idB, b]) => a.at - b.at || idA - idB);
      const first = due[0];
      if (first === undefined) break;
      this.#timers.delete(first[0]);
      this.#now = Math.max(this.#now, first[1].at);
      first[1].run();
      await settle();
    }
    this.#now = end;
  }
}
