/**
 * The watch of a delivery over its courier after the accept. Courier actors report how the courier
 * is doing; this record says whether it is in trouble, until when it may mend it, and when to check
 * that both sides still agree. It decides nothing: the delivery does. Signals are states, not
 * steps, so a lost or repeated one does no harm.
 */
import type { Millis } from "../proto/ids.ts";
import type { DispatchSettings } from "../proto/limits.ts";
import type { Signal } from "../proto/messages.ts";
import type { StatusReason } from "../proto/status.ts";

export type Trouble = "dark" | "still" | "retreating";

export type Watch = {
  readonly trouble: Trouble | null;
  /** When a replacement is searched unless the trouble is over; null without trouble. */
  readonly replaceAt: Millis | null;
  /** The courier's actor has spoken since the last check. */
  readonly isHeard: boolean;
  readonly checkAt: Millis;
};

/** What a signal says: bad news, good news, or merely where the courier is. */
const MEANING: Readonly<Record<Signal, Trouble | "well" | "place">> = {
  dark: "dark",
  still: "still",
  retreating: "retreating",
  back: "well",
  moving: "well",
  approaching: "well",
  arrived_pickup: "well",
  left_pickup: "place",
  arrived_dropoff: "place",
};

export const meaningOf = (signal: Signal): Trouble | "well" | "place" => MEANING[signal];

/** `status_reason` while a replacement is searched. */
export const TROUBLE_REASONS: Readonly<Record<Trouble, StatusReason>> = {
  dark: "courier_dark",
  still: "courier_still",
  retreating: "courier_retreating",
};

/** Two reminders of the courier fit into one check. */
const checkAfter = (now: Millis, s: DispatchSettings): Millis => now + 2 * s.REMIND_MS;

export const startWatch = (now: Millis, s: DispatchSettings): Watch => ({
  trouble: null,
  replaceAt: null,
  isHeard: false,
  checkAt: checkAfter(now, s),
});

/** What the courier's actor reported; the very same watch when it says nothing new. */
export function hear(watch: Watch, signal: Signal, now: Millis, s: DispatchSettings): Watch {
  const heard = watch.isHeard ? watch : { ...watch, isHeard: true };
  const meaning = meaningOf(signal);
  if (meaning === "place" || meaning === watch.trouble) return heard;
  if (meaning !== "well") {
    const replaceAt = watch.replaceAt ?? now + s.WARN_MS;
    return { ...heard, trouble: meaning, replaceAt };
  }
  return watch.trouble === null ? heard : { ...heard, trouble: null, replaceAt: null };
}

export const checked = (watch: Watch, now: Millis, s: DispatchSettings): Watch => ({
  ...watch,
  isHeard: false,
  checkAt: checkAfter(now, s),
});
