/**
 * The worker of the intake: commits the creates that were answered 202 while Postgres was away, in
 * the order in which they came, and tells their shards. It runs where shard 0 is owned; two at
 * once, for a moment, do no harm, because a create that is done twice is done once (D4).
 *
 * A create leaves the intake when it is committed, or when it is proven that it never will be: the
 * database refused its data (`isRefusal`) several times over a while, and took a harmless write
 * after each of them. Then it is buried: kept beside the others for people (`intake-buried.ts`).
 * Every other failure is an outage: the create waits, visibly, and is tried again. One that fails
 * while others can be committed is set aside and holds up nobody.
 */
import type { Millis } from "../../proto/ids.ts";
import type { Job } from "../../proto/messages.ts";
import { INTAKE_HELD_MAX, INTAKE_REFUSALS_MIN, INTAKE_REFUSED_MIN_MS } from "../../proto/limits.ts";
import { INTAKE_UNREADABLE_MIN_MS } from "../../proto/limits.ts";
import { backOffMs } from "../io/clock.ts";
import type { Clock } from "../io/clock.ts";
import { isRefusal } from "../io/postgres/verdict.ts";
import { decodeIntake } from "./intake-command.ts";
import type { CreateCommand, Store } from "../store/port.ts";

/** One message of the intake that nobody has worked off yet. */
export type IntakeItem = {
  /** Its place in the stream. */
  readonly seq: number;
  /** When the stream took it. */
  readonly at: Millis;
  readonly data: Uint8Array;
  /** Under which it came. */
  readonly subject?: string;
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
  /**
   * The oldest messages, in order, `max` at most; none when none came within `waitMs`. Rejects when
   * the stream is away.
   */
  readonly fetch: (max: number, waitMs: number) => Promise<readonly IntakeItem[]>;
  /**
   * Keeps a copy where people find it, with the last error. Rejects when the stream did not take
   * it.
   */
  readonly bury: (item: IntakeItem, why: string, error?: unknown) => Promise<void>;
};

export type IntakeCount = "committed" | "repeated" | "buried";

export type IntakePorts = {
  readonly clock: Clock;
  readonly queue: IntakeQueue;
  readonly store: Pick<Store, "create" | "ping">;
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
/** While nothing can be committed at all. */
const RETRY_FIRST_MS = 100;
const RETRY_MAX_MS = 1_000;
/** For one create that fails while others may not. */
const ASIDE_FIRST_MS = 1_000;
const ASIDE_MAX_MS = 15_000;
/** Well below the time after which the stream gives a message to another worker. */
const HOLD_EVERY_MS = 2_000;

/** A create in hand: what became of it so far, and when it is tried next. */
type Held = {
  item: IntakeItem;
  failures: number;
  refusals: number;
  /** Of the first refusal, or of the first look at what cannot be read. */
  refusedSince: Millis | null;
  nextAt: Millis;
};

type Verdict =
  | { readonly do: "tell"; readonly job: Job }
  | { readonly do: "drop" }
  | { readonly do: "keep" }
  | { readonly do: "fail"; readonly error: unknown };

export class Intake {
  readonly #ports: IntakePorts;
  #isStopped = true;
  #loop: Promise<void> = Promise.resolve();
  #endWait: () => void = () => undefined;
  /** By their place in the stream. */
  readonly #held = new Map<number, Held>();
  #behind = 0;
  #heldAt: Millis = -Infinity;
  /**
   * Attempts in a row in which nothing could be committed and the database took no write either.
   */
  #outages = 0;

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
    return this.#held.size + this.#behind;
  }

  /** Those of them that failed while the database takes writes. */
  setAside(): number {
    if (this.#outages > 0) return 0;
    return [...this.#held.values()].filter(({ failures }) => failures > 0).length;
  }

  /** How long the oldest of them has waited, seconds; 0 when there is none. */
  lagS(): number {
    const times = [...this.#held.values()].map(({ item }) => item.at);
    if (times.length === 0) return 0;
    return Math.max(0, this.#ports.clock.now() - Math.min(...times)) / 1_000;
  }

  async #run(): Promise<void> {
    let failures = 0;
    while (!this.#isStopped) {
      await this.#attempt();
      if (this.#isStopped) break;
      try {
        this.#take(await this.#fetch());
        failures = 0;
      } catch (error) {
        failures += 1;
        this.#ports.onFailed(error);
        await this.#pause(backOffMs(failures, RETRY_FIRST_MS, RETRY_MAX_MS));
      }
    }
    for (const { item } of this.#held.values()) item.giveBack();
    this.#held.clear();
    this.#behind = 0;
  }

  #take(items: readonly IntakeItem[]): void {
    const nextAt = this.#ports.clock.now();
    for (const item of items) {
      const known = this.#held.get(item.seq);
      // Given again: our word that it is held was lost. The newer handle counts.
      if (known !== undefined) known.item = item;
      else this.#held.set(item.seq, { item, failures: 0, refusals: 0, refusedSince: null, nextAt });
      this.#behind = item.behind;
    }
  }

  /**
   * New creates, but none while nothing can be committed: they keep their order in the stream.
   * Waits no longer than until one in hand is due. A stop does not wait for what may come: that is
   * given back.
   */
  async #fetch(): Promise<readonly IntakeItem[]> {
    const dueAt = Math.min(...[...this.#held.values()].map(({ nextAt }) => nextAt));
    const waitMs = Math.max(0, Math.min(WAIT_MS, dueAt - this.#ports.clock.now()));
    const room = Math.min(BATCH_MAX, INTAKE_HELD_MAX - this.#held.size);
    if (room <= 0 || this.#outages > 0) {
      await this.#pause(waitMs);
      return [];
    }
    const coming = this.#ports.queue.fetch(room, waitMs);
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

  /**
   * All that are due at once, so that they share a statement; told in their order. Never rejects.
   */
  async #attempt(): Promise<void> {
    const now = this.#ports.clock.now();
    if (now - this.#heldAt >= HOLD_EVERY_MS) {
      this.#heldAt = now;
      for (const { item } of this.#held.values()) item.hold();
    }
    const due = [...this.#held.values()]
      .filter(({ nextAt }) => nextAt <= now)
      .toSorted((one, other) => one.item.seq - other.item.seq);
    if (this.#held.size === 0) this.#outages = 0;
    if (due.length === 0) return;
    const verdicts = await Promise.all(due.map((held) => this.#judge(held)));
    let done = 0;
    verdicts.forEach((verdict, i) => {
      if (verdict.do === "keep" || verdict.do === "fail") return;
      const { item } = due[i] as Held;
      if (verdict.do === "tell") this.#ports.onCreated(verdict.job);
      item.done();
      this.#held.delete(item.seq);
      done += 1;
    });
    const failed = due.flatMap((held, i) => {
      const verdict = verdicts[i];
      return verdict?.do === "fail" ? [{ held, error: verdict.error }] : [];
    });
    if (failed.length > 0) await this.#setAside(failed, done > 0);
    else this.#outages = 0;
  }

  /** When each is tried again, and which of them never will be. */
  async #setAside(
    failed: readonly { readonly held: Held; readonly error: unknown }[],
    isWriting: boolean,
  ): Promise<void> {
    const { clock, onFailed } = this.#ports;
    for (const { error } of failed) onFailed(error);
    const isOutage = !(await this.#takesWrites()) && !isWriting;
    this.#outages = isOutage ? this.#outages + 1 : 0;
    const allAgainMs = backOffMs(this.#outages, RETRY_FIRST_MS, RETRY_MAX_MS);
    for (const { held, error } of failed) {
      held.failures += 1;
      const aloneAgainMs = backOffMs(held.failures, ASIDE_FIRST_MS, ASIDE_MAX_MS);
      held.nextAt = clock.now() + (isOutage ? allAgainMs : aloneAgainMs);
      // Without a write that succeeds a refusal proves nothing.
      if (isRefusal(error) && !isOutage) await this.#refused(held, error);
    }
  }

  async #takesWrites(): Promise<boolean> {
    const { store, onFailed } = this.#ports;
    try {
      await store.ping("look");
      await store.ping("write");
      return true;
    } catch (error) {
      onFailed(error);
      return false;
    }
  }

  async #refused(held: Held, error: unknown): Promise<void> {
    const now = this.#ports.clock.now();
    held.refusals += 1;
    held.refusedSince ??= now;
    const isProven =
      held.refusals >= INTAKE_REFUSALS_MIN && now - held.refusedSince >= INTAKE_REFUSED_MIN_MS;
    if (!isProven || !(await this.#bury(held.item, "refused", error))) return;
    held.item.done();
    this.#held.delete(held.item.seq);
  }

  async #judge(held: Held): Promise<Verdict> {
    const command = decodeIntake(held.item.data);
    if (command === null) return this.#unreadable(held);
    try {
      return await this.#commit(held.item, this.#withItsTime(command));
    } catch (error) {
      return { do: "fail", error };
    }
  }

  /** Perhaps of a newer version, whose node will take over: it waits for that. */
  async #unreadable(held: Held): Promise<Verdict> {
    const now = this.#ports.clock.now();
    held.refusedSince ??= now;
    held.failures += 1;
    held.nextAt = now + ASIDE_MAX_MS;
    if (now - held.refusedSince < INTAKE_UNREADABLE_MIN_MS) return { do: "keep" };
    return this.#buryOr(held.item, "unreadable");
  }

  async #commit(item: IntakeItem, command: CreateCommand): Promise<Verdict> {
    const { store, onCount } = this.#ports;
    const { job, idempotency } = command;
    const outcome = await store.create(command);
    if (outcome.outcome === "created") {
      onCount("committed");
      return { do: "tell", job };
    }
    if (outcome.outcome === "spent") return this.#buryOr(item, "spent");
    if (outcome.answer.fingerprint !== idempotency?.fingerprint) {
      // The key was used for another body before Postgres went away, which nobody could know. Both
      // were acknowledged, so both are deliveries (D3).
      return this.#commit(item, { ...command, idempotency: null });
    }
    if (idOf(outcome.answer.body) !== job.id) return this.#buryOr(item, "other_id");
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

  async #buryOr(item: IntakeItem, why: string): Promise<Verdict> {
    if (await this.#bury(item, why, null)) return { do: "drop" };
    return { do: "fail", error: new Error("it could not be buried") };
  }

  /** False when the stream did not take the copy: then it stays in hand. */
  async #bury(item: IntakeItem, why: string, error: unknown): Promise<boolean> {
    try {
      await this.#ports.queue.bury(item, why, error);
    } catch (failure) {
      this.#ports.onFailed(failure);
      return false;
    }
    this.#ports.onBuried(why, error);
    this.#ports.onCount("buried");
    return true;
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

const idOf = (body: unknown): unknown =>
  typeof body === "object" && body !== null && "delivery_id" in body ? body.delivery_id : null;
