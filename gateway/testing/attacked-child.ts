/**
 * Loaded into a process before its own code while it is attacked: measures how late its event loop
 * is, every 10 ms, and can set its wall clock. Asked over the channel to the parent; the process
 * itself knows nothing of it.
 */
import type { LagCounts } from "./attacked-process.ts";

const STEP_MS = 10;
/** Counted in tenths of a millisecond. */
const PER_MS = 10;

let counts = new Map<number, number>();
let last = performance.now();
setInterval(() => {
  const now = performance.now();
  const tenths = Math.max(0, Math.round((now - last - STEP_MS) * PER_MS));
  counts.set(tenths, (counts.get(tenths) ?? 0) + 1);
  last = now;
}, STEP_MS).unref();

const trueNow = Date.now;
const TrueDate = Date;
let offsetMs = 0;
/** A date without arguments is the moment that the moved clock shows. */
class MovedDate extends TrueDate {
  constructor(...parts: readonly unknown[]) {
    if (parts.length === 0) super(trueNow() + offsetMs);
    else super(...(parts as [number]));
  }
  static override now(): number {
    return trueNow() + offsetMs;
  }
}

type Question = { readonly lag?: true; readonly moveClockMs?: number };
process.on("message", (question: Question) => {
  if (question.moveClockMs !== undefined) {
    offsetMs += question.moveClockMs;
    globalThis.Date = MovedDate as DateConstructor;
  }
  if (question.lag !== true) return;
  const answer: LagCounts = [...counts];
  counts = new Map();
  process.send?.({ lag: answer });
});
// Listening alone shall keep nobody alive.
process.channel?.unref();
