/**
 * Time as a port: now, one-shot timers, and the two ways to go on later. Whatever must be tested with a virtual
 * clock takes a `Clock`; nothing in the engine calls `setTimeout` or `Date.now` by itself. `VirtualClock` in
 * `virtual-clock.ts` is the fake.
 */
import type { Millis } from "../../proto/ids.ts";

/** Ends a timer; harmless when it has fired. */
export type CancelTimer = () => void;

export type Clock = {
  readonly now: () => Millis;
  /** Calls `fn` once, `delayMs` from now (at least 0). */
  readonly after: (delayMs: number, fn: () => void) => CancelTimer;
  /** Calls `fn` as soon as the running code has returned, before any I/O. */
  readonly soon: (fn: () => void) => void;
  /** Calls `fn` after the event loop has looked at its sockets. */
  readonly afterIo: (fn: () => void) => void;
};

/** Node cannot wait longer than this in one timer; a later alarm is armed again on the way. */
const TIMER_MAX_MS = 2_147_483_647;

export const systemClock: Clock = {
  now: () => Date.now(),
  after: (delayMs, fn) => {
    const timer = setTimeout(fn, Math.min(Math.max(0, delayMs), TIMER_MAX_MS));
    return () => clearTimeout(timer);
  },
  soon: (fn) => queueMicrotask(fn),
  afterIo: (fn) => void setImmediate(fn),
};

/**
 * Runs `task` every `intervalMs`, never two at once: the pause begins when the last run has ended. `task` handles
 * its own errors; the result says how long to wait in place of the usual pause, if so. Returns a function that
 * stops it and resolves when a run under way has ended.
 */
export function repeat(
  clock: Clock,
  intervalMs: number,
  task: () => Promise<number | void> | number | void,
): () => Promise<void> {
  let stopped = false;
  let running: Promise<void> = Promise.resolve();
  let cancel: CancelTimer = () => undefined;
  const run = async (): Promise<void> => {
    const pauseMs = (await task()) ?? intervalMs;
    if (!stopped) arm(pauseMs);
  };
  const arm = (delayMs: number): void => {
    cancel = clock.after(delayMs, () => {
      running = run();
    });
  };
  arm(intervalMs);
  return async () => {
    stopped = true;
    cancel();
    await running;
  };
}

/** Back-off of the `attempt`th failure in a row (1, 2, ...): doubling from `firstMs` up to `maxMs`. */
export const backOffMs = (attempt: number, firstMs: number, maxMs: number): number =>
  Math.min(maxMs, firstMs * 2 ** Math.min(30, Math.max(0, attempt - 1)));
