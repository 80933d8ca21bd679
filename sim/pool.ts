/** The sessions that one process has with Postgres; each stays what it was when it was opened. */
import type { Millis } from "../proto/ids.ts";
import type { Machine } from "./machine.ts";
import type { SeededRandom } from "./random.ts";

export type Session = {
  isOpen: boolean;
  /** Opened while the address led to a server that does not write: it stays there. */
  isReadOnly: boolean;
};

/** As `engine/io/postgres/postgres.ts` does. */
const RENEW_EVERY_MS = 1_000;

export class Pool {
  readonly machine: Machine;
  readonly #sessions: readonly Session[];
  #isWorn = false;
  #renewedAt: Millis = -Infinity;

  constructor(machine: Machine, sessions: number) {
    this.machine = machine;
    const closed = (): Session => ({ isOpen: false, isReadOnly: false });
    this.#sessions = Array.from({ length: sessions }, closed);
  }

  take(random: SeededRandom, now: Millis): Session {
    this.#renew(now);
    return random.pick(this.#sessions);
  }

  /**
   * Its sessions are worth nothing: new ones come in their place, as often as the client allows.
   */
  wearOut(now: Millis): void {
    this.#isWorn = true;
    this.#renew(now);
  }

  #renew(now: Millis): void {
    if (!this.#isWorn || now - this.#renewedAt < RENEW_EVERY_MS) return;
    this.#renewedAt = now;
    this.endAll();
  }

  /** What is open is gone; the next statement opens anew. */
  endAll(): void {
    this.#isWorn = false;
    for (const session of this.#sessions) session.isOpen = false;
  }
}
