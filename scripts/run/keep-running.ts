// A server that comes back when it dies: NATS and Postgres on the developer's machine. Also the
// pause between two starts, which the node and the gateway keep to as well. The first start is the
// caller's to fail; from then on only stop() ends it.

import { setTimeout as sleep } from "node:timers/promises";

const PAUSE_MIN_MS = 250;
const PAUSE_MAX_MS = 5_000;
/** What lived this long starts afresh with the shortest pause. */
const STEADY_MS = 30_000;

/** The pause before the next start, doubling from one to the next, after `upMs` of life. */
export function nextPauseMs(previousMs: number, upMs: number): number {
  if (upMs >= STEADY_MS || previousMs === 0) return PAUSE_MIN_MS;
  return Math.min(previousMs * 2, PAUSE_MAX_MS);
}

/** First starts that fail before the caller hears of it: a port or a lock file may come free. */
const FIRST_ATTEMPTS_MAX = 3;

/**
 * Makes the first start of a server, again with a growing pause when it fails. Each failure is
 * said; the last one is thrown. Ends at once when `isStopping` says so.
 */
export async function firstStart<S>(
  name: string,
  start: () => Promise<S>,
  say: (line: string) => void,
  isStopping: () => boolean = () => false,
): Promise<S> {
  let pauseMs = 0;
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await start();
    } catch (error) {
      if (attempt === FIRST_ATTEMPTS_MAX || isStopping()) throw error;
      pauseMs = nextPauseMs(pauseMs, 0);
      const { message } = error as Error;
      say(`${name} could not be started, it is tried again in ${pauseMs / 1000} s: ${message}`);
      await sleep(pauseMs);
    }
  }
}

interface Server {
  readonly exited: Promise<string>;
  readonly stop: () => Promise<boolean>;
}

/**
 * Starts a server by `first` and keeps it up by `start`. `server` is the first one; its address
 * stays good for those that follow. Throws what `first` throws.
 */
export async function keepRunning<S extends Server>(
  name: string,
  start: () => Promise<S>,
  say: (line: string) => void,
  first: () => Promise<S> = start,
): Promise<{ readonly server: S; readonly stop: () => Promise<boolean> }> {
  const server = await first();
  const stopping = new AbortController();
  let current: S = server;
  const watching = watch();

  async function watch(): Promise<void> {
    let pauseMs = 0;
    for (;;) {
      const startedAt = Date.now();
      const how = await current.exited;
      if (stopping.signal.aborted) return;
      pauseMs = nextPauseMs(pauseMs, Date.now() - startedAt);
      say(`${name} ${how}; it is started again in ${pauseMs / 1000} s`);
      await pause(pauseMs);
      if (stopping.signal.aborted) return;
      await startAgain();
    }
  }

  async function startAgain(): Promise<void> {
    try {
      current = await start();
    } catch (error) {
      say((error as Error).message); // The next round of watch() tries again, after its pause.
    }
    if (stopping.signal.aborted) await current.stop();
  }

  async function pause(ms: number): Promise<void> {
    await sleep(ms, undefined, { signal: stopping.signal }).catch(() => undefined);
  }

  async function stop(): Promise<boolean> {
    stopping.abort();
    const killed = await current.stop();
    await watching;
    return killed;
  }

  return { server, stop };
}
