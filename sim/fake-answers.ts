/** Answers under their keys in the store in memory, and their end. */
import type { IdempotencyKey, StoredAnswer } from "../engine/store/port.ts";
import type { Millis } from "../proto/ids.ts";

const HOUR_MS = 3_600_000;

const nameOf = ({ principal, key }: IdempotencyKey): string => JSON.stringify([principal, key]);

export class KeptAnswers {
  readonly #clock: () => Millis;
  readonly #kept = new Map<string, { readonly answer: StoredAnswer; readonly at: Millis }>();

  constructor(clock: () => Millis) {
    this.#clock = clock;
  }

  get(key: IdempotencyKey): StoredAnswer | null {
    return this.#kept.get(nameOf(key))?.answer ?? null;
  }

  /** The first one stays. */
  keep(key: IdempotencyKey, answer: StoredAnswer): void {
    const name = nameOf(key);
    if (!this.#kept.has(name)) this.#kept.set(name, { answer, at: this.#clock() });
  }

  purge(keptH: number): number {
    const before = this.#clock() - keptH * HOUR_MS;
    const old = [...this.#kept].filter(([, { at }]) => at < before);
    for (const [name] of old) this.#kept.delete(name);
    return old.length;
  }
}
