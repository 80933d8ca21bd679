/**
 * Waits for a port that another process is about to give up. A gateway that was told to end keeps
 * its port open for as long as it drains (`HEXDISPATCH_DRAIN_MS`), and whoever restarts it in place
 * starts the next one meanwhile.
 */
import { PORT_RETRY_MS, PORT_WAIT_MS } from "../../proto/limits.ts";
import { systemClock } from "./clock.ts";

export type PortWait = {
  /** Told once, when the port is found taken and waited for. */
  readonly onWait: (port: number) => void;
  /** Whether somebody told the process to end meanwhile. */
  readonly isEnding?: () => boolean;
  readonly waitMs?: number;
};

/** The listener of `listen`. Rejects as it does, for a taken port after `PORT_WAIT_MS`. */
export async function whenPortIsFree<T>(
  port: number,
  listen: () => Promise<T>,
  { onWait, isEnding = () => false, waitMs = PORT_WAIT_MS }: PortWait,
): Promise<T> {
  const giveUpAt = systemClock.now() + waitMs;
  for (let attempt = 1; ; attempt++) {
    try {
      return await listen();
    } catch (error) {
      if (!isPortTaken(error) || isEnding() || systemClock.now() >= giveUpAt) throw error;
      if (attempt === 1) onWait(port);
      await new Promise<void>((resolve) => void systemClock.after(PORT_RETRY_MS, resolve));
    }
  }
}

function isPortTaken(error: unknown): boolean {
  for (let e = error; e instanceof Error; e = e.cause) {
    if ((e as { code?: unknown }).code === "EADDRINUSE") return true;
    // uWebSockets.js says no more than that it could not.
    if (e.message.includes("is the port taken?") && e.cause === undefined) return true;
  }
  return false;
}
