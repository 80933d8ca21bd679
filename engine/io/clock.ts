/**
 * Time as a port: now, one-shot timers, and the two ways to go on later. Whatever must be tested
 * with a virtual clock takes a `Clock`; nothing in the engine calls `setTimeout` or `Date.now` by
 * itself. `VirtualClock` in `virtual-clock.ts` is the fake.
 *
 * The time of a process never steps, whatever is done to the clock of its machine (decision 0011).
 */
import { uptime } from "node:os";
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

/** A clock that is off nears the machine's by so much of the time that passes. */
const SLEW_SHARE = 0.1;
/**
 * Off by more than this: perhaps the machine slept. Looked at once in so long, milliseconds, for it
 * costs a file read.
 */
const SLEPT_LOOK_MS = 1_000;

/**
 * Starts at `wall` and goes on at the pace of `elapsed` (both milliseconds; `elapsed` never goes
 * back). When the wall clock is set, forwards or back, it is neared by at most a tenth of the time
 * that passes: nothing falls due or becomes too old at one blow, and nothing waits for an hour to
 * pass twice. What a suspended machine slept has passed, though `elapsed` stood still: `slept` is
 * the sum of it.
 */
export function steadyTime(
  wall: () => number,
  elapsed: () => number,
  slept: () => number = () => 0,
): () => Millis {
  let [now, last, lookedAt, sleptBefore] = [wall(), elapsed(), elapsed(), slept()];
  return () => {
    const at = elapsed();
    let passed = at - last;
    last = at;
    if (wall() - (now + passed) > SLEPT_LOOK_MS && at - lookedAt > SLEPT_LOOK_MS) {
      lookedAt = at;
      const sleptNow = slept();
      passed += Math.max(0, sleptNow - sleptBefore);
      sleptBefore = sleptNow;
    }
    const off = wall() - (now + passed);
    const most = passed * SLEW_SHARE;
    now += passed + Math.max(-most, Math.min(most, off));
    return Math.floor(now);
  };
}

const steadyNow = steadyTime(
  () => Date.now(),
  () => performance.now(),
  // The uptime counts a suspended machine's sleep, the monotonic clock does not.
  () => Math.round(uptime() - performance.now() / 1_000) * 1_000,
);

/**
 * How far this process is ahead of its machine's clock, which was set meanwhile; about 0 mostly.
 */
export const aheadOfMachineMs = (): number => steadyNow() - Date.now();

export const systemClock: Clock = {
  now: steadyNow,
  after: (delayMs, fn) => {
    const timer = setTimeout(fn, Math.min(Math.max(0, delayMs), TIMER_MAX_MS));
    return () => clearTimeout(timer);
  },
  soon: (fn) => queueMicrotask(fn),
  afterIo: (fn) => void setImmediate(fn),
};

/**
 * Runs `task` every `intervalMs`, never two at once: the pause begins when the last run has ended.
 * `task` handles its own errors; the result says how long to wait in place of the usual pause, if
 * so. Returns a function that stops it and resolves when a run under way has ended.
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

/**
 * Back-off of the `attempt`th failure in a row (1, 2, ...): doubling from `firstMs` up to `maxMs`.
 */
export const backOffMs = (attempt: number, firstMs: number, maxMs: number): number =>
  Math.min(maxMs, firstMs * 2 ** Math.min(30, Math.max(0, attempt - 1)));
