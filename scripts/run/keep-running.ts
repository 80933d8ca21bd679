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

interface Server {
  readonly exited: Promise<string>;
  readonly stop: () => Promise<boolean>;
}

/**
 * Starts a server and keeps it up. `server` is the first one; its address stays good for those that
 * follow. Throws what the first `start` throws.
 */
export async function keepRunning<S extends Server>(
  name: string,
  start: () => Promise<S>,
  say: (line: string) => void,
): Promise<{ readonly server: S; readonly stop: () => Promise<boolean> }> {
  const server = await start();
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
