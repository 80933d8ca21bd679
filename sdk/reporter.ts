/**
 * Reports where the courier is as often as the server asks for: it asks the app for the position
 * when the next ping is due, so that a phone measures no more often than anybody wants to know.
 * When the server shortens the interval the next ping comes at once. It owns one timer and nothing
 * else.
 */
import type { Clock, Timer } from "./clock.ts";

/** The position now; null when the phone does not know it. */
export type PositionSource<P> = () => P | null | Promise<P | null>;

export class Reporter<P> {
  readonly #clock: Clock;
  readonly #report: (position: P) => void;
  #source: PositionSource<P> | null = null;
  #intervalMs: number;
  #lastAt = Number.NEGATIVE_INFINITY;
  #timer: Timer | null = null;

  constructor(clock: Clock, intervalMs: number, report: (position: P) => void) {
    this.#clock = clock;
    this.#intervalMs = intervalMs;
    this.#report = report;
  }

  get intervalMs(): number {
    return this.#intervalMs;
  }

  /** The server wants another interval. */
  set intervalMs(ms: number) {
    this.#intervalMs = ms;
    if (this.#source !== null) this.#arm();
  }

  start(source: PositionSource<P>): void {
    this.#source = source;
    this.#arm();
  }

  stop(): void {
    this.#source = null;
    this.#disarm();
  }

  #disarm(): void {
    if (this.#timer !== null) this.#clock.clearTimer(this.#timer);
    this.#timer = null;
  }

  #arm(): void {
    this.#disarm();
    const ms = Math.max(0, this.#lastAt + this.#intervalMs - this.#clock.now());
    this.#timer = this.#clock.setTimer(() => {
      this.#timer = null;
      void this.#measure();
    }, ms);
  }

  async #measure(): Promise<void> {
    const source = this.#source;
    this.#lastAt = this.#clock.now();
    try {
      const position = (await source?.()) ?? null;
      if (position !== null && this.#source === source) this.#report(position);
    } catch {
      // No position this time; the next one is asked for as usual.
    }
    if (this.#source === source && source !== null && this.#timer === null) this.#arm();
  }
}
