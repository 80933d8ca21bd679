/**
 * How a courier gets on with one delivery it carries, as far as its pings tell: arrived, dark,
 * standing still, going away. It reports each change once, and its present condition once in
 * REMIND_MS, so that a lost report heals. What follows from it is for the delivery to decide
 * (`watch.ts`).
 *
 * Only the next stop is judged for stillness and direction: a courier with two deliveries rightly
 * moves away from one of them. The order in which it took them counts as its route.
 */
import type { Millis } from "../proto/ids.ts";
import type { DispatchSettings } from "../proto/limits.ts";
import type { Signal } from "../proto/messages.ts";
import { NOT_THERE, arrive } from "./arrival.ts";
import type { Arrival } from "./arrival.ts";
import type { Trouble } from "./watch.ts";

export type Progress = {
  readonly condition: "well" | Trouble;
  /** When this leg began: before it, silence does not count. */
  readonly startedAt: Millis;
  /** Nearest to the stop so far; null before the first ping of this leg. */
  readonly bestM: number | null;
  /** Distance at which the courier last got STILL_M nearer, and when. */
  readonly markM: number | null;
  readonly markAt: Millis;
  readonly arrival: Arrival;
  readonly remindAt: Millis;
};

/**
 * What is known of the leg: whether it leads to the pickup, and whether its stop is the courier's
 * next.
 */
export type Leg = { readonly isPickup: boolean; readonly isNext: boolean };

/** The progress afterwards (the same object when nothing changed) and what the delivery is told. */
export type ProgressStep = { readonly progress: Progress; readonly signals: readonly Signal[] };

export const startProgress = (now: Millis, s: DispatchSettings): Progress => ({
  condition: "well",
  startedAt: now,
  bestM: null,
  markM: null,
  markAt: now,
  arrival: NOT_THERE,
  remindAt: now + s.REMIND_MS,
});

/** Its stop has become the next: stillness and direction count from here. */
export const becomeNext = (progress: Progress, now: Millis): Progress => ({
  ...progress,
  bestM: null,
  markM: null,
  markAt: now,
});

const GOOD_NEWS: Readonly<Record<Trouble, Signal>> = {
  dark: "back",
  still: "moving",
  retreating: "approaching",
};

/** The reminder: how it stands. */
const present = ({ condition }: Progress): Signal => (condition === "well" ? "moving" : condition);

function become(progress: Progress, condition: Progress["condition"]): ProgressStep {
  const before = progress.condition;
  if (condition === before) return { progress, signals: [] };
  const signal = condition === "well" ? GOOD_NEWS[before as Trouble] : condition;
  return { progress: { ...progress, condition }, signals: [signal] };
}

/** A believed ping, `distanceM` metres from the stop. */
export function onFix(
  progress: Progress,
  distanceM: number,
  leg: Leg,
  now: Millis,
  s: DispatchSettings,
): ProgressStep {
  const arrival = arrive(progress.arrival, distanceM, s);
  const signals = arrivalSignals(progress.arrival, arrival, leg);
  if (!leg.isPickup) {
    return {
      progress: arrival === progress.arrival ? progress : { ...progress, arrival },
      signals,
    };
  }
  const marked = mark({ ...progress, arrival }, distanceM, now, s);
  const step = become(marked, conditionAt(marked, distanceM, leg, now, s));
  return { progress: step.progress, signals: [...step.signals, ...signals] };
}

function arrivalSignals(before: Arrival, after: Arrival, leg: Leg): readonly Signal[] {
  if (before.isThere === after.isThere) return [];
  if (leg.isPickup) return [after.isThere ? "arrived_pickup" : "left_pickup"];
  return after.isThere ? ["arrived_dropoff"] : [];
}

function mark(progress: Progress, distanceM: number, now: Millis, s: DispatchSettings): Progress {
  const { markM, condition, arrival, bestM } = progress;
  const isFresh = markM === null || condition === "dark" || arrival.isThere;
  const isNearer = isFresh || markM - distanceM >= s.STILL_M;
  return {
    ...progress,
    bestM: bestM === null ? distanceM : Math.min(bestM, distanceM),
    markM: isNearer ? distanceM : markM,
    markAt: isNearer ? now : progress.markAt,
  };
}

function conditionAt(
  progress: Progress,
  distanceM: number,
  leg: Leg,
  now: Millis,
  s: DispatchSettings,
): Progress["condition"] {
  if (!leg.isNext || progress.arrival.isThere) return "well";
  // Back half of the way that made it a retreat: otherwise it would flap at the threshold.
  const slackM = progress.condition === "retreating" ? s.RETREAT_M / 2 : s.RETREAT_M;
  if (progress.bestM !== null && distanceM > progress.bestM + slackM) return "retreating";
  return now - progress.markAt >= s.STILL_MS ? "still" : "well";
}

const darkAt = (progress: Progress, heardAt: Millis, s: DispatchSettings): Millis =>
  Math.max(heardAt, progress.startedAt) + s.DARK_MS;

/**
 * Whether time alone may bring trouble, and when. Someone who waits at the pickup does not stand
 * still.
 */
function troubleAt(
  progress: Progress,
  heardAt: Millis,
  leg: Leg,
  s: DispatchSettings,
): { readonly trouble: Trouble; readonly at: Millis } | null {
  if (!leg.isPickup || progress.condition === "dark") return null;
  const dark = { trouble: "dark", at: darkAt(progress, heardAt, s) } as const;
  const mayStand = leg.isNext && !progress.arrival.isThere && progress.condition === "well";
  const still = { trouble: "still", at: progress.markAt + s.STILL_MS } as const;
  return mayStand && still.at < dark.at ? still : dark;
}

/** Time passed without a ping. */
export function onQuiet(
  progress: Progress,
  heardAt: Millis,
  leg: Leg,
  now: Millis,
  s: DispatchSettings,
): ProgressStep {
  const due = troubleAt(progress, heardAt, leg, s);
  const isDue = due !== null && due.at <= now;
  const step = isDue ? become(progress, due.trouble) : { progress, signals: [] };
  if (step.progress.remindAt > now) return step;
  const signals = step.signals.length > 0 ? step.signals : [present(step.progress)];
  return { progress: { ...step.progress, remindAt: now + s.REMIND_MS }, signals };
}

/** When `onQuiet` is due. */
export const progressDeadline = (
  progress: Progress,
  heardAt: Millis,
  leg: Leg,
  s: DispatchSettings,
): Millis => Math.min(progress.remindAt, troubleAt(progress, heardAt, leg, s)?.at ?? Infinity);
