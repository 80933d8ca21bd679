/**
 * Whether this node can commit: a pure machine over the answers of a small probe that it sends to
 * Postgres all the time. Its beats say so, and a node that has said for a while that it cannot
 * loses its shards to those that can (`placement.ts`). It decides nothing else: whoever cannot
 * commit goes on, and its epochs guard what it writes (D8).
 *
 *           no answer for UNABLE_AFTER_MS
 *    able ---------------------------------> unable
 *      ^                                       |
 *      +---- answers without a failure for ----+
 *            ABLE_AFTER_MS, doubled by each relapse up to ABLE_AFTER_MAX_MS
 *
 * F1  Time in which this node's own loop stood still is no silence of Postgres.
 * F2  A relapse counts only where others could commit meanwhile, so that shards have moved: an
 *     outage for everybody, however often it comes, makes nobody wait longer.
 * F3  Relapses are forgotten after FORGIVE_MS without one.
 */
import type { Millis } from "../../proto/ids.ts";
import { ABLE_AFTER_MAX_MS, ABLE_AFTER_MS, UNABLE_AFTER_MS } from "../../proto/limits.ts";

export type Fitness =
  | {
      readonly at: "able";
      readonly since: Millis;
      readonly answeredAt: Millis;
      readonly relapses: number;
    }
  | {
      readonly at: "unable";
      readonly since: Millis;
      readonly answeredAt: Millis;
      /**
       * Since when all answers were good; null: the last one was not, or there was none in time.
       */
      readonly goodSince: Millis | null;
      readonly relapses: number;
      /** Whether another node could commit at any time since then. */
      readonly othersCould: boolean;
    };

export type FitnessEvent =
  | { readonly type: "answered" }
  | { readonly type: "failed" }
  /** `lagMs`: how late this node's own tick is. */
  | { readonly type: "tick"; readonly lagMs: number; readonly othersCan: boolean };

/** A node that held so long since its last relapse begins anew. */
const FORGIVE_MS = 300_000;

export const newFitness = (now: Millis): Fitness => ({
  ...({ at: "able", since: now, answeredAt: now, relapses: 0 } as const),
});

/** How long a node that was unable must be well before it says that it is able. */
export const ableAfterMs = (relapses: number): number =>
  Math.min(ABLE_AFTER_MAX_MS, ABLE_AFTER_MS * 2 ** Math.min(20, relapses));

/** Total over state and event; what changes nothing gives the very same state. */
export function stepFitness(state: Fitness, event: FitnessEvent, now: Millis): Fitness {
  switch (event.type) {
    case "answered":
      return onAnswered(state, now);
    case "failed":
      return state.at === "unable" && state.goodSince !== null
        ? { ...state, goodSince: null }
        : state;
    case "tick":
      return onTick(state, event, now);
  }
}

function onAnswered(state: Fitness, now: Millis): Fitness {
  if (state.at === "able") {
    const isForgiven = now - state.since >= FORGIVE_MS;
    return { ...state, answeredAt: now, relapses: isForgiven ? 0 : state.relapses };
  }
  const goodSince = state.goodSince ?? now;
  if (now - goodSince < ableAfterMs(state.relapses))
    return { ...state, answeredAt: now, goodSince };
  const relapses = state.relapses + (state.othersCould ? 1 : 0);
  return { at: "able", since: now, answeredAt: now, relapses };
}

function onTick(
  state: Fitness,
  { lagMs, othersCan }: Extract<FitnessEvent, { type: "tick" }>,
  now: Millis,
): Fitness {
  // A clock that was set back makes no silence, one of our own neither (F1).
  const answeredAt = Math.min(now, state.answeredAt + lagMs);
  const isSilent = now - answeredAt > UNABLE_AFTER_MS;
  if (state.at === "able") {
    if (!isSilent) return answeredAt === state.answeredAt ? state : { ...state, answeredAt };
    const { relapses } = state;
    return {
      ...({ at: "unable", since: now, answeredAt, goodSince: null } as const),
      ...{ relapses, othersCould: othersCan },
    };
  }
  const othersCould = state.othersCould || othersCan;
  return { ...state, answeredAt, othersCould, goodSince: isSilent ? null : state.goodSince };
}
