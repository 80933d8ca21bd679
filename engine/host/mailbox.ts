/**
 * A bounded first-in-first-out queue: the mailbox of one actor. A full one refuses; nothing is
 * pushed out, because the sender of the newest message is the one who can still be told. Urgent
 * entries (answers that the actor's own step asked for) go before all others and are not counted
 * against the bound: an actor has a few at most.
 */

/** The array is cut when so many places, and half of it, are behind us. */
const CUT_MIN = 32;

export class Mailbox<T> {
  readonly #capacity: number;
  #items: T[] = [];
  #head = 0;
  #urgent: T[] | null = null;

  constructor(capacity: number) {
    this.#capacity = capacity;
  }

  get size(): number {
    return this.#items.length - this.#head + (this.#urgent?.length ?? 0);
  }

  /** False, and nothing is kept, when it is full. */
  push(item: T): boolean {
    if (this.#items.length - this.#head >= this.#capacity) return false;
    this.#items.push(item);
    return true;
  }

  /** At the end, full or not: for what comes at most once. */
  pushAnyway(item: T): void {
    this.#items.push(item);
  }

  /** Before everything that waits, behind other urgent ones. */
  pushUrgent(item: T): void {
    if (this.#urgent === null) this.#urgent = [item];
    else this.#urgent.push(item);
  }

  /** The next one, undefined when it is empty. */
  shift(): T | undefined {
    if (this.#urgent !== null) {
      const item = this.#urgent.shift();
      if (this.#urgent.length === 0) this.#urgent = null;
      return item;
    }
    if (this.#head === this.#items.length) return undefined;
    const item = this.#items[this.#head]!;
    this.#items[this.#head] = undefined as T; // The slot must not keep the message alive.
    this.#head += 1;
    if (this.#head === this.#items.length) {
      this.#items.length = 0;
      this.#head = 0;
    } else if (this.#head >= CUT_MIN && this.#head * 2 >= this.#items.length) {
      this.#items = this.#items.slice(this.#head);
      this.#head = 0;
    }
    return item;
  }

  /** Empties it; what was in it, in order. */
  clear(): T[] {
    const all = [...(this.#urgent ?? []), ...this.#items.slice(this.#head)];
    this.#urgent = null;
    this.#items = [];
    this.#head = 0;
    return all;
  }
}
