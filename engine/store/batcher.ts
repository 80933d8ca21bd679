/**
 * Group commit: commands of one kind that arrive within the same few milliseconds share one
 * statement, and so one commit and one wait for the disk. What goes together is decided in
 * `batch-queue.ts`; here are the timers, the promises and the failures.
 *
 * A statement that fails as a whole because the database is away fails all its commands: none was
 * done, or it is unknown. One that may have failed because of a single command (its row is held by
 * another transaction, its data is refused) is repeated command by command in `isolation.ts`, so
 * that one row does not take 199 good ones with it.
 */
import { DispatchError } from "../../proto/errors.ts";
import { STORE_WAIT_MAX_MS, WRITE_BATCH_MAX_ROWS } from "../../proto/limits.ts";
import { WRITE_QUEUE_MAX_ROWS, WRITE_STATEMENTS_MAX, WRITE_WINDOW_MS } from "../../proto/limits.ts";
import { systemClock } from "../io/clock.ts";
import type { CancelTimer, Clock } from "../io/clock.ts";
import { isOfOneRow } from "../io/postgres/verdict.ts";
import { BatchQueue } from "./batch-queue.ts";
import type { BatchLimits, Entry } from "./batch-queue.ts";
import { Isolation } from "./isolation.ts";

export type BatcherOptions<T, R> = {
  /** For metrics and error texts. */
  readonly name: string;
  /** Conflict keys; see `batch-queue.ts`. */
  readonly keysOf: (item: T) => readonly string[];
  /** One statement. Answers in the order of the items, one for each. */
  readonly run: (items: readonly T[]) => Promise<readonly R[]>;
  readonly limits?: Partial<BatchLimits>;
  /** A command that was not sent for so long is refused. */
  readonly waitMaxMs?: number;
  readonly clock?: Clock;
  /** Told after each statement that answered. */
  readonly observe?: BatchObserver | undefined;
};
export type BatchObserver = (name: string, rows: number, ms: number) => void;

export type Batcher<T, R> = {
  /** Rejects with `overloaded` when the queue is full, `unavailable` when the database is away. */
  readonly submit: (item: T) => Promise<R>;
  /** Commands that wait. */
  readonly waiting: () => number;
  /** Refuses new commands; resolves when the last one under way has its answer. */
  readonly close: () => Promise<void>;
};

const LIMITS: BatchLimits = {
  windowMs: WRITE_WINDOW_MS,
  paceMs: 0,
  rowsMax: WRITE_BATCH_MAX_ROWS,
  inFlightMax: WRITE_STATEMENTS_MAX,
  waitingMax: WRITE_QUEUE_MAX_ROWS,
};

type Waiter<T, R> = {
  readonly item: T;
  readonly resolve: (result: R) => void;
  readonly reject: (error: unknown) => void;
};
type Batch<T, R> = readonly Entry<Waiter<T, R>>[];

export function createBatcher<T, R>(options: BatcherOptions<T, R>): Batcher<T, R> {
  const clock = options.clock ?? systemClock;
  const waitMaxMs = options.waitMaxMs ?? STORE_WAIT_MAX_MS;
  const queue = new BatchQueue<Waiter<T, R>>({ ...LIMITS, ...options.limits });
  let turnArmed = false;
  const timer = new EarliestTimer(clock, () => pump(false));
  let onIdle: (() => void) | null = null;
  const isolation = new Isolation<Entry<Waiter<T, R>>>({
    clock,
    runAlone: (entry) => runBatch(options, clock, [entry]),
    refuse: ({ item }) => item.reject(tooLate()),
    onSettled: (entry) => {
      queue.leave(entry);
      // The lane that ends is free only now.
      clock.soon(() => pump(false));
    },
  });

  const pump = (turnOver: boolean): void => {
    for (const late of queue.expire(clock.now() - waitMaxMs)) late.item.reject(tooLate());
    let plan = queue.plan(clock.now());
    const isDue = (): boolean =>
      plan === "end of turn" ? turnOver : plan !== "wait" && plan <= clock.now();
    while (isDue()) {
      void send(queue.take(clock.now()));
      plan = queue.plan(clock.now());
    }
    if (plan === "end of turn") armTurn();
    const giveUpAt = queue.oldest === null ? Infinity : queue.oldest + waitMaxMs;
    timer.arm(typeof plan === "number" ? Math.min(plan, giveUpAt) : giveUpAt);
    if (queue.size === 0 && queue.inFlight === 0 && isolation.size === 0) onIdle?.();
  };
  const armTurn = (): void => {
    if (turnArmed) return;
    turnArmed = true;
    clock.afterIo(() => {
      turnArmed = false;
      pump(true);
    });
  };
  const send = async (batch: Batch<T, R>): Promise<void> => {
    const together = batch.filter((entry) => !isolation.isSuspect(entry));
    isolation.add(batch.filter((entry) => isolation.isSuspect(entry)));
    const failure = together.length === 0 ? null : await runBatch(options, clock, together);
    queue.statementEnded();
    const isUnsettled = together.length > 1 && failure !== null && mayBeOneRow(failure);
    if (isUnsettled) isolation.add(together);
    else for (const entry of together) queue.leave(entry);
    pump(false);
  };

  return {
    submit: (item) =>
      new Promise((resolve, reject) => {
        if (onIdle !== null) return reject(closing());
        const added = queue.add({ item, resolve, reject }, options.keysOf(item), clock.now());
        if (!added) return reject(tooMany(options.name));
        pump(false);
      }),
    waiting: () => queue.size + isolation.size,
    close: () =>
      new Promise((resolve) => {
        onIdle = () => {
          timer.cancel();
          resolve();
        };
        pump(false);
      }),
  };
}

/** One timer for the earliest time that was asked for. */
class EarliestTimer {
  readonly #clock: Clock;
  readonly #run: () => void;
  #armed: { readonly at: number; readonly cancel: CancelTimer } | null = null;

  constructor(clock: Clock, run: () => void) {
    this.#clock = clock;
    this.#run = run;
  }

  /** One that is early finds nothing to do and is armed again; so only a late one is replaced. */
  arm(at: number): void {
    if (at === Infinity || (this.#armed !== null && this.#armed.at <= at)) return;
    this.cancel();
    const cancel = this.#clock.after(at - this.#clock.now(), () => {
      this.#armed = null;
      this.#run();
    });
    this.#armed = { at, cancel };
  }

  cancel(): void {
    this.#armed?.cancel();
    this.#armed = null;
  }
}

const closing = (): DispatchError => new DispatchError("unavailable", "The store is closing.");
const tooMany = (name: string): DispatchError =>
  new DispatchError("overloaded", `Too many ${name} wait.`);
const tooLate = (): DispatchError =>
  new DispatchError("unavailable", "The database did not take this in time; it was not done.");

/** A failure that may be one command's own. What is not from the database is a bug, of any row. */
const mayBeOneRow = (failure: unknown): boolean =>
  isOfOneRow(failure) || !(failure instanceof DispatchError);

/**
 * Runs a batch. Resolves to its failure or null, never rejects. Its commands are settled, except
 * where one of several may be guilty: those are to be repeated one by one.
 */
async function runBatch<T, R>(
  options: BatcherOptions<T, R>,
  clock: Clock,
  batch: Batch<T, R>,
): Promise<unknown> {
  const startedAt = clock.now();
  try {
    const results = await options.run(batch.map((entry) => entry.item.item));
    if (results.length !== batch.length) throw new Error(`${options.name}: answers are missing`);
    batch.forEach((entry, i) => entry.item.resolve(results[i] as R));
    options.observe?.(options.name, batch.length, clock.now() - startedAt);
    return null;
  } catch (error) {
    if (batch.length === 1 || !mayBeOneRow(error)) {
      for (const entry of batch) entry.item.reject(error);
    }
    return error;
  }
}
