/**
 * A counter of free places with a bounded line of those who wait for one, first come, first served.
 * Keeps the number of statements given to the database driver at the number of its connections, so
 * that a statement's own deadline never includes waiting for others.
 */
import { systemClock } from "./clock.ts";
import type { Clock } from "./clock.ts";

type Waiter = { readonly called: () => void };

export class Slots {
  private free: number;
  private readonly waitingMax: number;
  private readonly clock: Clock;
  /**
   * A Set keeps the order of insertion and lets the one who gives up leave the middle of the line.
   */
  private readonly waiting = new Set<Waiter>();

  constructor(count: number, waitingMax: number, clock: Clock = systemClock) {
    this.free = count;
    this.waitingMax = waitingMax;
    this.clock = clock;
  }

  /**
   * Resolves to true with a place, which must be given back; to false when the line is full or
   * `waitMs` is over.
   */
  take(waitMs: number): Promise<boolean> {
    if (this.free > 0) {
      this.free--;
      return Promise.resolve(true);
    }
    if (this.waiting.size >= this.waitingMax) return Promise.resolve(false);
    return new Promise((resolve) => {
      const cancel = this.clock.after(waitMs, () => {
        this.waiting.delete(waiter);
        resolve(false);
      });
      const waiter: Waiter = {
        called: () => {
          cancel();
          resolve(true);
        },
      };
      this.waiting.add(waiter);
    });
  }

  /** Gives a place back: to the first in line, if there is one. */
  give(): void {
    const [first] = this.waiting;
    if (first === undefined) {
      this.free++;
      return;
    }
    this.waiting.delete(first);
    first.called();
  }
}
