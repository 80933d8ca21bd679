/**
 * Time as the SDK sees it, so that a test can hold it. Nothing else in `sdk/` asks the machine for
 * the time or arms a timer. Works in browsers and Node alike, which is why timers are opaque here.
 */

/** What `setTimer` gave and `clearTimer` takes; never looked into. */
export type Timer = object | number;

export type Clock = {
  /** Milliseconds since 1970 UTC. */
  readonly now: () => number;
  /** Calls `run` once after `ms` milliseconds. */
  readonly setTimer: (run: () => void, ms: number) => Timer;
  readonly clearTimer: (timer: Timer) => void;
};

export const systemClock: Clock = {
  now: () => Date.now(),
  setTimer: (run, ms) => setTimeout(run, ms) as Timer,
  clearTimer: (timer) => clearTimeout(timer as ReturnType<typeof setTimeout>),
};

/** Resolves after `ms` milliseconds of that clock. */
export const sleep = (clock: Clock, ms: number): Promise<void> =>
  new Promise((resolve) => {
    clock.setTimer(resolve, ms);
  });

export const BACKOFF_MIN_MS = 500;
export const BACKOFF_MAX_MS = 20_000;

/**
 * The pause before attempt `attempt` (1 for the first retry): full jitter, a random share of a
 * ceiling that doubles from 0.5 s to 20 s, so that clients of a dead gateway do not come back as
 * one (M. Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015). `random` is in
 * [0, 1).
 */
export function backoffMs(attempt: number, random: number): number {
  const ceiling = Math.min(BACKOFF_MAX_MS, BACKOFF_MIN_MS * 2 ** Math.min(attempt - 1, 16));
  return Math.max(50, Math.round(random * ceiling));
}
