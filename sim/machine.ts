/**
 * One run of one process in the simulator: its clock with an offset and a drift of its own, and the
 * gate through which everything reaches it. A paused process hears nothing and its timers stand
 * still; when it goes on, all of them are late, timers first, as after a stopped process or a
 * stalled loop. A dead one hears nothing any more; what starts in its place is a new machine.
 */
import type { CancelTimer, Clock } from "../engine/io/clock.ts";
import type { Millis } from "../proto/ids.ts";
import type { SimClock } from "./clock.ts";

export type Skew = {
  /** Ahead of true time, milliseconds. */
  readonly offsetMs: number;
  /** Parts per million that it runs too fast. */
  readonly driftPpm: number;
};

/** So that a timer never rings a rounding error before its time. */
const EPSILON_MS = 1e-6;

export class Machine {
  readonly name: string;
  /** Its time and timers, as production code takes them. */
  readonly clock: Clock;
  readonly #world: SimClock;
  readonly #rate: number;
  readonly #startedAt: Millis;
  #offsetMs: number;
  #state: "up" | "paused" | "dead" = "up";
  #lateTimers: (() => void)[] = [];
  #lateIo: (() => void)[] = [];

  constructor(name: string, world: SimClock, { offsetMs, driftPpm }: Skew) {
    this.name = name;
    this.#world = world;
    this.#offsetMs = offsetMs;
    this.#rate = 1 + driftPpm / 1_000_000;
    this.#startedAt = world.now();
    this.clock = {
      now: () => this.now(),
      after: (delayMs, fn) => this.#after(delayMs, fn),
      soon: (fn) => world.soon(() => this.io(fn)),
      afterIo: (fn) => this.defer(fn),
    };
  }

  get isUp(): boolean {
    return this.#state === "up";
  }
  get isDead(): boolean {
    return this.#state === "dead";
  }

  /** The time as this process believes it to be. */
  now(): Millis {
    const elapsed = this.#world.now() - this.#startedAt;
    return Math.floor(this.#startedAt + this.#offsetMs + elapsed * this.#rate);
  }

  /** Somebody sets its clock. */
  stepClock(byMs: number): void {
    this.#offsetMs += byMs;
  }

  /** What comes from outside: a message, an answer. */
  io(run: () => void): void {
    if (this.#state === "up") run();
    else if (this.#state === "paused") this.#lateIo.push(run);
  }

  /** Later in the same moment. */
  defer(run: () => void): void {
    this.#world.after(0, () => this.io(run));
  }

  pause(): void {
    if (this.#state === "up") this.#state = "paused";
  }

  resume(): void {
    if (this.#state !== "paused") return;
    this.#state = "up";
    const late = [...this.#lateTimers, ...this.#lateIo];
    this.#lateTimers = [];
    this.#lateIo = [];
    for (const run of late) this.#world.after(0, () => this.io(run));
  }

  /** `kill -9`: from now on nobody hears of it. */
  kill(): void {
    this.#state = "dead";
    this.#lateTimers = [];
    this.#lateIo = [];
  }

  #after(delayMs: number, fn: () => void): CancelTimer {
    let isOn = true;
    const ring = (): void => {
      if (!isOn) return;
      isOn = false;
      fn();
    };
    const timer = this.#world.after(Math.max(0, delayMs) / this.#rate + EPSILON_MS, () => {
      if (this.#state === "up") ring();
      else if (this.#state === "paused") this.#lateTimers.push(ring);
    });
    return () => {
      isOn = false;
      timer.run = null;
    };
  }
}
