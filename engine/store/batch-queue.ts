/**
 * Which waiting commands go into the next statement: the pure part of the group commit, without
 * clock, timer or promise. A command carries conflict keys (a delivery, a courier, an idempotency
 * key). Two with a common key never share a statement and are never under way together, and they go
 * in the order in which they came; so no statement needs to know how its own rows affect each
 * other.
 *
 * Each key has a line of the commands that carry it; a command is ready when it stands first in all
 * of its lines. Commands join all their lines at once and in order, so the oldest one is always
 * ready and nothing locks up.
 */
import type { Millis } from "../../proto/ids.ts";

/** A command in the queue. Its identity is the handle; `item` is the caller's own. */
export type Entry<T> = {
  readonly item: T;
  readonly keys: readonly string[];
  readonly since: Millis;
  /** Lines in which somebody stands before it. */
  blockers: number;
};

/**
 * When the next statement may go: never before something changes, at the end of this turn, or at a
 * time.
 */
export type Plan = "wait" | "end of turn" | Millis;

export type BatchLimits = {
  /** How long a ready command waits for company while another statement is under way. */
  readonly windowMs: number;
  /**
   * At least so long lies between the beginnings of two statements: nobody waits where little
   * comes.
   */
  readonly paceMs: number;
  readonly rowsMax: number;
  readonly inFlightMax: number;
  /** Commands that wait; those under way do not count. */
  readonly waitingMax: number;
};

export class BatchQueue<T> {
  private readonly limits: BatchLimits;
  /**
   * Sets keep the order of insertion; all waiting commands, oldest first, and those of them that
   * are ready.
   */
  private readonly waiting = new Set<Entry<T>>();
  private readonly ready = new Set<Entry<T>>();
  private readonly lines = new Map<string, Set<Entry<T>>>();
  private batchesInFlight = 0;
  private lastAt: Millis = -Infinity;

  constructor(limits: BatchLimits) {
    this.limits = limits;
  }

  /** Commands that wait. */
  get size(): number {
    return this.waiting.size;
  }

  get inFlight(): number {
    return this.batchesInFlight;
  }

  /** When the oldest waiting command came; null when none waits. */
  get oldest(): Millis | null {
    return first(this.waiting)?.since ?? null;
  }

  /**
   * False when the queue is full: nothing was added. The keys of one command differ from each
   * other.
   */
  add(item: T, keys: readonly string[], now: Millis): boolean {
    if (this.waiting.size >= this.limits.waitingMax) return false;
    const entry: Entry<T> = { item, keys, since: now, blockers: 0 };
    for (const key of keys) {
      const line = this.lines.get(key);
      if (line === undefined) {
        this.lines.set(key, new Set([entry]));
        continue;
      }
      line.add(entry);
      entry.blockers++;
    }
    this.waiting.add(entry);
    if (entry.blockers === 0) this.ready.add(entry);
    return true;
  }

  /**
   * Nothing under way: go as soon as this turn of the event loop has brought what it brings, or the
   * pace allows it. One under way: give others the window to join. As many as allowed: whoever
   * comes meanwhile waits and shares the next.
   */
  plan(now: Millis): Plan {
    const head = first(this.ready);
    if (head === undefined || this.batchesInFlight >= this.limits.inFlightMax) return "wait";
    if (this.ready.size >= this.limits.rowsMax) return now;
    const paced = this.lastAt + this.limits.paceMs;
    if (this.batchesInFlight > 0) return Math.max(paced, head.since + this.limits.windowMs);
    return now < paced ? paced : "end of turn";
  }

  /** Takes the next batch out; its keys stay occupied until `finish`. */
  take(now: Millis): readonly Entry<T>[] {
    const batch: Entry<T>[] = [];
    for (const entry of this.ready) {
      if (batch.length === this.limits.rowsMax) break;
      batch.push(entry);
    }
    for (const entry of batch) {
      this.ready.delete(entry);
      this.waiting.delete(entry);
    }
    if (batch.length === 0) return batch;
    this.batchesInFlight++;
    this.lastAt = now;
    return batch;
  }

  /** The statement of a batch has ended, one way or the other: those behind it move up. */
  finish(batch: readonly Entry<T>[]): void {
    this.statementEnded();
    for (const entry of batch) this.leaveLines(entry);
  }

  /** The statement of a batch has ended, and not with its commands: each leaves by itself. */
  statementEnded(): void {
    this.batchesInFlight--;
  }

  /** A command of such a batch is settled: those behind it move up. */
  leave(entry: Entry<T>): void {
    this.leaveLines(entry);
  }

  /** Takes out what has waited since `before` or longer without being sent. */
  expire(before: Millis): readonly Entry<T>[] {
    const late: Entry<T>[] = [];
    for (const entry of this.waiting) {
      if (entry.since > before) break;
      late.push(entry);
    }
    for (const entry of late) {
      this.waiting.delete(entry);
      this.ready.delete(entry);
      this.leaveLines(entry);
    }
    return late;
  }

  private leaveLines(entry: Entry<T>): void {
    for (const key of entry.keys) {
      const line = this.lines.get(key);
      if (line === undefined) continue;
      const wasFirst = first(line) === entry;
      line.delete(entry);
      const next = first(line);
      if (next === undefined) this.lines.delete(key);
      else if (wasFirst && --next.blockers === 0 && this.waiting.has(next)) this.ready.add(next);
    }
  }
}

/** The oldest member of a set, undefined when it is empty. */
function first<T>(set: ReadonlySet<T>): T | undefined {
  for (const member of set) return member;
  return undefined;
}
