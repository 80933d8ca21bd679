// Whether a history of overlapping requests can be put into one order in which each has its effect
// at one moment between being sent and being answered, and every answer is right: linearizability,
// by the search of Wing and Gong (1993) with the memory of states seen of Lowe (2017). Knows
// nothing about deliveries; the model is the caller's.

export type Operation<Input> = {
  readonly input: Input;
  readonly sentAt: number;
  /** Infinity for one whose answer never came: it may take effect at any later moment, or never. */
  readonly endedAt: number;
};

export type Model<State, Input> = {
  readonly initial: State;
  /**
   * The state behind the operation, the very same where it changes nothing; null: no such answer in
   * this state.
   */
  readonly step: (state: State, input: Input) => State | null;
  /** The same text for the same state. */
  readonly key: (state: State) => string;
};

/** One delivery has a dozen requests; a search over more states than this has gone wrong. */
const STATES_MAX = 200_000;

export type Verdict = "linearizable" | "not" | "too_long";

/** Judges one history. */
export function judge<State, Input>(
  operations: readonly Operation<Input>[],
  model: Model<State, Input>,
): Verdict {
  const seen = new Set<string>();
  const done = operations.map(() => false);
  /** Those that have to have an effect. */
  let left = operations.filter(({ endedAt }) => Number.isFinite(endedAt)).length;
  let isTooLong = false;

  const search = (state: State): boolean => {
    if (left === 0) return true;
    const key = `${done.map(Number).join("")} ${model.key(state)}`;
    if (seen.has(key) || isTooLong) return false;
    isTooLong = seen.add(key).size > STATES_MAX;
    // Whoever comes next was sent before anybody who is left was answered.
    const firstEnd = Math.min(
      ...operations.map(({ endedAt }, i) => (done[i] ? Number.POSITIVE_INFINITY : endedAt)),
    );
    const mayBeNext = (i: number): boolean =>
      !done[i] && (operations[i] as Operation<Input>).sentAt <= firstEnd;
    // What changes nothing, must come and may come now is taken now: nothing is won by waiting.
    const free = operations.findIndex(
      ({ input, endedAt }, i) =>
        mayBeNext(i) && Number.isFinite(endedAt) && model.step(state, input) === state,
    );
    return operations.some((operation, i) => {
      if (!mayBeNext(i) || (free >= 0 && i !== free)) return false;
      const next = model.step(state, operation.input);
      if (next === null) return false;
      const counts = Number.isFinite(operation.endedAt) ? 1 : 0;
      done[i] = true;
      left -= counts;
      if (search(next)) return true;
      done[i] = false;
      left += counts;
      return false;
    });
  };

  if (search(model.initial)) return "linearizable";
  return isTooLong ? "too_long" : "not";
}
