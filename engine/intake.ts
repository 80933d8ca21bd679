/**
 * The worker of the intake: commits the creates that were answered 202 while Postgres was away, in the order in which
 * they came, and tells their shards. It runs where shard 0 is owned; two at once, for a moment, do no harm, because a
 * create that is done twice is done once (D4).
 *
 * A create leaves the intake when it is committed, or when it never will be: what cannot be read and what the database
 * refuses is buried, counted, and does not hold up the others. What only Postgres's absence keeps back is held.
 */
import type { Millis } from "../proto/ids.ts";
import type { Job } from "../proto/messages.ts";
import { DispatchError } from "../proto/errors.ts";
import { backOffMs } from "./io/clock.ts";
import type { Clock } from "./io/clock.ts";
import { decodeIntake } from "./intake-command.ts";
import type { CreateCommand, Store } from "./store/port.ts";

/** One message of the intake that nobody has worked off yet. */
export type IntakeItem = {
  /** Its place in the stream. */
  readonly seq: number;
  /** When the stream took it. */
  readonly at: Millis;
  readonly data: Uint8Array;
  /** How many wait behind it. */
  readonly behind: number;
  /** Worked off. */
  readonly done: () => void;
  /** Still being worked on: it must not go to another worker yet. */
  readonly hold: () => void;
  /** Not done and not by us: to another worker, at once. */
  readonly giveBack: () => void;
};

/** The stream as the worker sees it; `intake-stream.ts` is the real one. */
export type IntakeQueue = {
  /** The oldest messages, in order, `max` at most; none when none came within `waitMs`. Rejects when the stream is away. */
  readonly fetch: (max: number, waitMs: number) => Promise<readonly IntakeItem[]>;
  /** Keeps a copy where people find it. Rejects when the stream did not take it. */
  readonly bury: (item: IntakeItem, why: string) => Promise<void>;
};

export type IntakeCount = "committed" | "repeated" | "buried";

export type IntakePorts = {
  readonly clock: Clock;
  readonly queue: IntakeQueue;
  readonly store: Pick<Store, "create">;
  /** A create is in the database: tell its shard. May be called again for the same one. */
  readonly onCreated: (job: Job) => void;
  readonly onCount: (what: IntakeCount) => void;
  /** Postgres or the stream is away; it is tried again. */
  readonly onFailed: (error: unknown) => void;
  /** Never to be committed; for people. */
  readonly onBuried: (why: string, error: unknown) => void;
};

/** One statement's worth. */
const BATCH_MAX = 200;
const WAIT_MS = 2_000;
const RETRY_FIRST_MS = 100;
const RETRY_MAX_MS = 1_000;

type Verdict =
  | { readonly do: "tell"; readonly job: Job }
  | { readonly do: "drop" }
  | { readonly do: "keep" };

export class Intake {
  readonly #ports: IntakePorts;
  #isStopped = true;
  #loop: Promise<void> = Promise.resolve();
  #endWait: () => void = () => undefined;
  #inHand: readonly IntakeItem[] = [];

  constructor(ports: IntakePorts) {
    this.#ports = ports;
  }

  /** May be started again after a stop. */
  start(): void {
    if (!this.#isStopped) return;
    this.#isStopped = false;
    this.#loop = this.#loop.then(() => this.#run());
  }

  /** Resolves when the work in hand is done or given back. */
  async stop(): Promise<void> {
    this.#isStopped = true;
    this.#endWait();
    await this.#loop;
  }

  /** Creates that wait, as far as this worker knows. */
  waiting(): number {
    return this.#inHand.length + (this.#inHand.at(-1)?.behind ?? 0);
  }

  /** How long the oldest of them has waited, seconds; 0 when there is none. */
  lagS(): number {
    const oldest = this.#inHand[0];
    return oldest === undefined ? 0 : Math.max(0, this.#ports.clock.now() - oldest.at) / 1_000;
  }

  async #run(): Promise<void> {
    let failures = 0;
    while (!this.#isStopped) {
      try {
        await this.#work(await this.#fetch());
        failures = 0;
      } catch (error) {
        failures += 1;
        this.#ports.onFailed(error);
        await this.#pause(backOffMs(failures, RETRY_FIRST_MS, RETRY_MAX_MS));
      }
    }
  }

  /** A stop does not wait for what may come: that is given back. */
  async #fetch(): Promise<readonly IntakeItem[]> {
    const coming = this.#ports.queue.fetch(BATCH_MAX, WAIT_MS);
    const stopping = new Promise<null>((resolve) => {
      this.#endWait = () => resolve(null);
    });
    const items = await Promise.race([coming, stopping]);
    if (items !== null) return items;
    void coming.then(
      (late) => late.forEach((item) => item.giveBack()),
      () => undefined, // It was not needed any more.
    );
    return [];
  }

  /** Until none is left, or a stop. */
  async #work(items: readonly IntakeItem[]): Promise<void> {
    this.#inHand = items;
    for (let attempt = 1; this.#inHand.length > 0 && !this.#isStopped; attempt++) {
      if (attempt > 1) {
        for (const item of this.#inHand) item.hold();
        await this.#pause(backOffMs(attempt - 1, RETRY_FIRST_MS, RETRY_MAX_MS));
        if (this.#isStopped) break;
      }
      await this.#attempt();
    }
    for (const item of this.#inHand) item.giveBack();
    this.#inHand = [];
  }

  /** All in hand at once, so that they share a statement; told in their order. */
  async #attempt(): Promise<void> {
    const items = this.#inHand;
    const verdicts = await Promise.all(items.map((item) => this.#judge(item)));
    verdicts.forEach((verdict, i) => {
      if (verdict.do === "keep") return;
      if (verdict.do === "tell") this.#ports.onCreated(verdict.job);
      items[i]?.done();
    });
    this.#inHand = items.filter((_, i) => verdicts[i]?.do === "keep");
  }

  async #judge(item: IntakeItem): Promise<Verdict> {
    const command = decodeIntake(item.data);
    if (command === null) return this.#bury(item, "unreadable", null);
    try {
      return await this.#commit(item, this.#withItsTime(command));
    } catch (error) {
      if (!isPassing(error)) return this.#bury(item, "refused", error);
      this.#ports.onFailed(error);
      return { do: "keep" };
    }
  }

  async #commit(item: IntakeItem, command: CreateCommand): Promise<Verdict> {
    const { store, onCount } = this.#ports;
    const { job, idempotency } = command;
    const outcome = await store.create(command);
    if (outcome.outcome === "created") {
      onCount("committed");
      return { do: "tell", job };
    }
    if (outcome.outcome === "spent") return this.#bury(item, "spent", null);
    if (outcome.answer.fingerprint !== idempotency?.fingerprint) {
      // The key was used for another body before Postgres went away, which nobody could know. Both were
      // acknowledged, so both are deliveries (D3).
      return this.#commit(item, { ...command, idempotency: null });
    }
    if (idOf(outcome.answer.body) !== job.id) return this.#bury(item, "other_id", null);
    onCount("repeated");
    return { do: "drop" };
  }

  /** The search may take as long as it would have without the wait. */
  #withItsTime(command: CreateCommand): CreateCommand {
    const shouldBeginAt = Math.max(command.job.createdAt, command.searchAt);
    const waitedMs = Math.max(0, this.#ports.clock.now() - shouldBeginAt);
    const searchUntil = command.job.searchUntil + waitedMs;
    return { ...command, job: { ...command.job, searchUntil } };
  }

  async #bury(item: IntakeItem, why: string, error: unknown): Promise<Verdict> {
    try {
      await this.#ports.queue.bury(item, why);
    } catch (failure) {
      this.#ports.onFailed(failure);
      return { do: "keep" };
    }
    this.#ports.onBuried(why, error);
    this.#ports.onCount("buried");
    return { do: "drop" };
  }

  #pause(ms: number): Promise<void> {
    if (this.#isStopped) return Promise.resolve();
    return new Promise((resolve) => {
      const cancel = this.#ports.clock.after(ms, resolve);
      this.#endWait = () => {
        cancel();
        resolve();
      };
    });
  }
}

const isPassing = (error: unknown): boolean =>
  error instanceof DispatchError && (error.code === "unavailable" || error.code === "overloaded");

const idOf = (body: unknown): unknown =>
  typeof body === "object" && body !== null && "delivery_id" in body ? body.delivery_id : null;
