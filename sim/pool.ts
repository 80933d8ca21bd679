/** The sessions that one process has with Postgres; each stays what it was when it was opened. */
import type { Machine } from "./machine.ts";
import type { SeededRandom } from "./random.ts";

export type Session = {
  isOpen: boolean;
  /** Opened while the address led to a server that does not write: it stays there. */
  isReadOnly: boolean;
};

export class Pool {
  readonly machine: Machine;
  readonly #sessions: readonly Session[];

  constructor(machine: Machine, sessions: number) {
    this.machine = machine;
    const closed = (): Session => ({ isOpen: false, isReadOnly: false });
    this.#sessions = Array.from({ length: sessions }, closed);
  }

  take(random: SeededRandom): Session {
    return random.pick(this.#sessions);
  }

  /** What is open is gone; the next statement opens anew. */
  endAll(): void {
    for (const session of this.#sessions) session.isOpen = false;
  }
}
