// Waiting in tests. What is awaited happens in another process, so it is polled: a test never
// sleeps for a time in which something "must" have happened.

import { setTimeout as sleep } from "node:timers/promises";

const WAIT_MS = 10_000;
const LOOK_MS = 5;
const LOOK_LONG_MS = 50;

/** Waits until `read` gives something. Rejects after `waitMs`, with `what` in the message. */
export async function until<T>(
  read: () => T | undefined | null | false | Promise<T | undefined | null | false>,
  what = "the condition",
  waitMs = WAIT_MS,
): Promise<T> {
  const deadline = Date.now() + waitMs;
  for (;;) {
    const value = await read();
    if (value !== undefined && value !== null && value !== false) return value;
    if (Date.now() > deadline) throw new Error(`${what} did not come within ${waitMs} ms`);
    await sleep(waitMs > WAIT_MS ? LOOK_LONG_MS : LOOK_MS);
  }
}
