/**
 * Where commands go whose batch failed because of one of them: a row that somebody else holds, or
 * data that the database refuses. Each is repeated by itself, a few at a time beside the batches,
 * so that only the guilty one fails. A command whose row was held a moment ago is not put into a
 * batch at all for a while: the others would wait for its lock once more.
 *
 * Everything is bounded: lanes (each takes a connection), the time until a command is refused
 * unsent, and the time for which a key is remembered.
 */
import type { Millis } from "../../proto/ids.ts";
import { HELD_KEY_MS, ISOLATED_LANES_MAX, ISOLATED_WAIT_MAX_MS } from "../../proto/limits.ts";
import type { Clock } from "../io/clock.ts";
import { isHeld } from "../io/postgres/verdict.ts";

export type Isolated = { readonly keys: readonly string[] };

export type IsolationPorts<E extends Isolated> = {
  readonly clock: Clock;
  /**
   * Runs one command in a statement of its own and settles it. Resolves to its failure, or null.
   */
  readonly runAlone: (entry: E) => Promise<unknown>;
  /** It waited too long and was not sent. */
  readonly refuse: (entry: E) => void;
  /** It is settled, one way or the other. */
  readonly onSettled: (entry: E) => void;
};

export class Isolation<E extends Isolated> {
  readonly #ports: IsolationPorts<E>;
  readonly #waiting: { readonly entry: E; readonly since: Millis }[] = [];
  readonly #heldUntil = new Map<string, Millis>();
  #lanes = 0;

  constructor(ports: IsolationPorts<E>) {
    this.#ports = ports;
  }

  /** Commands that wait or run here. */
  get size(): number {
    return this.#waiting.length + this.#lanes;
  }

  /** A row of this command was held a moment ago. */
  isSuspect({ keys }: E): boolean {
    const now = this.#ports.clock.now();
    return keys.some((key) => (this.#heldUntil.get(key) ?? -Infinity) > now);
  }

  /** Takes these in, in order. */
  add(entries: readonly E[]): void {
    const since = this.#ports.clock.now();
    // Suspects come last: what can be done at once does not wait for a lock.
    const [suspects, others] = [
      entries.filter((entry) => this.isSuspect(entry)),
      entries.filter((entry) => !this.isSuspect(entry)),
    ];
    this.#waiting.push(...[...others, ...suspects].map((entry) => ({ entry, since })));
    this.#pump();
  }

  #pump(): void {
    const { clock, refuse, onSettled } = this.#ports;
    while (this.#lanes < ISOLATED_LANES_MAX) {
      const next = this.#waiting.shift();
      if (next === undefined) return;
      if (clock.now() - next.since < ISOLATED_WAIT_MAX_MS) {
        void this.#run(next.entry);
        continue;
      }
      refuse(next.entry);
      onSettled(next.entry);
    }
  }

  /** Never rejects. */
  async #run(entry: E): Promise<void> {
    this.#lanes += 1;
    const failure = await this.#ports.runAlone(entry);
    this.#lanes -= 1;
    this.#remember(entry, isHeld(failure));
    this.#ports.onSettled(entry);
    this.#pump();
  }

  #remember({ keys }: E, held: boolean): void {
    const now = this.#ports.clock.now();
    for (const [key, until] of this.#heldUntil) if (until <= now) this.#heldUntil.delete(key);
    for (const key of keys) {
      if (held) this.#heldUntil.set(key, now + HELD_KEY_MS);
      else this.#heldUntil.delete(key);
    }
  }
}
