/**
 * All alarms of a host: a binary heap ordered by (time, arming), each item knowing its own slot, so
 * that an alarm is moved or dropped in logarithmic time. A courier's alarm moves with every ping,
 * so entries must not pile up.
 */
import type { Millis } from "../../proto/ids.ts";

/** What an item must carry; both fields belong to the heap. `slot` is -1 while it has no alarm. */
export type Alarmed = { alarmAt: Millis; alarmOrder: number; alarmSlot: number };

export class Alarms<T extends Alarmed> {
  #heap: T[] = [];
  #order = 0;

  get size(): number {
    return this.#heap.length;
  }

  /** Arms or moves the item's one alarm; null drops it. */
  set(item: T, at: Millis | null): void {
    if (at === null) return this.drop(item);
    if (item.alarmSlot >= 0 && item.alarmAt === at) return;
    item.alarmAt = at;
    item.alarmOrder = this.#order++;
    if (item.alarmSlot < 0) {
      item.alarmSlot = this.#heap.length;
      this.#heap.push(item);
    }
    this.#settle(item);
  }

  drop(item: T): void {
    const slot = item.alarmSlot;
    if (slot < 0) return;
    item.alarmSlot = -1;
    const last = this.#heap.pop()!;
    if (last === item) return;
    this.#heap[slot] = last;
    last.alarmSlot = slot;
    this.#settle(last);
  }

  /** When the earliest is due, null without any. */
  earliestAt(): Millis | null {
    return this.#heap[0]?.alarmAt ?? null;
  }

  /** Takes the earliest out if it is due by `now`. */
  takeDue(now: Millis): T | null {
    const first = this.#heap[0];
    if (first === undefined || first.alarmAt > now) return null;
    this.drop(first);
    return first;
  }

  #settle(item: T): void {
    let slot = item.alarmSlot;
    while (slot > 0) {
      const above = (slot - 1) >> 1;
      if (!isBefore(item, this.#heap[above]!)) break;
      slot = this.#swap(slot, above);
    }
    for (;;) {
      const left = slot * 2 + 1;
      const right = left + 1;
      let first = slot;
      if (left < this.#heap.length && isBefore(this.#heap[left]!, this.#heap[first]!)) first = left;
      if (right < this.#heap.length && isBefore(this.#heap[right]!, this.#heap[first]!))
        first = right;
      if (first === slot) return;
      slot = this.#swap(slot, first);
    }
  }

  #swap(a: number, b: number): number {
    const [itemA, itemB] = [this.#heap[a]!, this.#heap[b]!];
    this.#heap[a] = itemB;
    this.#heap[b] = itemA;
    itemB.alarmSlot = a;
    itemA.alarmSlot = b;
    return b;
  }
}

const isBefore = (a: Alarmed, b: Alarmed): boolean =>
  a.alarmAt < b.alarmAt || (a.alarmAt === b.alarmAt && a.alarmOrder < b.alarmOrder);
