/**
 * Doing a command until it is answered. Only for what is safe to repeat: commands with an
 * Idempotency-Key, or idempotent by nature (D4). A refusal is an answer and is thrown at once.
 */
import { DispatchError, ERRORS } from "../proto/errors.ts";
import { backoffMs, sleep } from "./clock.ts";
import type { Clock } from "./clock.ts";

export type RetryOptions = {
  readonly clock: Clock;
  readonly random: () => number;
  /** After so long the last error is thrown; the command may or may not have been done. */
  readonly deadlineMs: number;
  /** Told about each attempt that failed and is repeated. */
  readonly onRetry?: ((error: DispatchError) => void) | undefined;
};

export const COMMAND_DEADLINE_MS = 60_000;

/**
 * Runs `attempt` until it resolves, is refused for good, or the time is up. Obeys the server's
 * Retry-After.
 */
export async function untilAnswered<T>(
  attempt: () => Promise<T>,
  options: RetryOptions,
): Promise<T> {
  const { clock, random, deadlineMs, onRetry } = options;
  const giveUpAt = clock.now() + deadlineMs;
  for (let tries = 1; ; tries++) {
    try {
      return await attempt();
    } catch (error) {
      if (!(error instanceof DispatchError) || !ERRORS[error.code].retryable) throw error;
      const advisedMs = error.code === "unavailable" ? 0 : (error.retryAfterS ?? 0) * 1000;
      const pauseMs = advisedMs + backoffMs(tries, random());
      if (clock.now() + pauseMs >= giveUpAt) throw error;
      onRetry?.(error);
      await sleep(clock, pauseMs);
    }
  }
}
