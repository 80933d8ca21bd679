/**
 * Postgres as a process sees it: the store in memory behind sessions that are opened, broken and
 * kept, with latency, outages, and errors at connecting, in the statement and at the commit. What
 * each error means is asked of production code (`engine/io/postgres/verdict.ts`); what the real
 * client does by it (`engine/io/postgres/postgres.ts`: it repeats a statement for a while, replaces
 * sessions, then gives up) is done here too, so that callers meet the same outcomes: done, not
 * done, unknown.
 */
import { databaseError, isStale } from "../engine/io/postgres/verdict.ts";
import type { DatabaseError } from "../engine/io/postgres/verdict.ts";
import type { Store } from "../engine/store/port.ts";
import { IDEMPOTENCY_KEPT_H } from "../proto/limits.ts";
import type { SimClock } from "./clock.ts";
import type { FakeStore } from "./fake-store.ts";
import type { Machine } from "./machine.ts";
import { Pool } from "./pool.ts";
import type { Session } from "./pool.ts";
import type { SeededRandom } from "./random.ts";
import { drawError, endsSession, errorOf } from "./server-errors.ts";
import type { Phase } from "./server-errors.ts";
import type { Trouble } from "./store-trouble.ts";

export type StoreNoise = {
  /** Of statements: refused before anything was done. */
  readonly failRate: number;
  /** Of statements: done, but nobody hears of it. */
  readonly unknownRate: number;
  /** Of statements: 50 ms to 2 s late. */
  readonly slowRate: number;
};

export const QUIET_STORE: StoreNoise = { failRate: 0, unknownRate: 0, slowRate: 0 };

export type Method = Exclude<keyof Store, "ping" | "close" | "appendHistory"> | Probe;
type Probe = "probeLook" | "probeWrite";
type Call = {
  readonly pool: Pool;
  readonly method: Method;
  readonly args: readonly unknown[];
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: Error) => void;
  /** False: at most one attempt. */
  readonly mayRepeat: boolean;
  attempt: number;
};

/** Told of each call that was done, with its result. */
export type OnDone = (
  machine: Machine,
  method: Method,
  args: readonly unknown[],
  result: unknown,
) => void;

const WIRE_MIN_MS = 0.2;
const WIRE_MAX_MS = 1.5;
const SLOW_MIN_MS = 50;
const SLOW_MAX_MS = 2_000;
/** As `engine/io/postgres/postgres.ts` repeats. */
const RETRY_DELAYS_MS = [20, 60, 180, 540] as const;
const ANSWER_DEADLINE_MS = 3_000;
const POOL_SESSIONS = 4;
/** Both are writes (`engine/store/probe.ts`); `look` is one of nothing, and needs no room. */
const PROBES: ReadonlySet<Method> = new Set<Method>(["probeLook", "probeWrite"]);

const WRITES: ReadonlySet<Method> = new Set<Method>([
  "create",
  "accept",
  "status",
  "cancel",
  "putCourier",
  "keepAnswer",
  "takeShards",
  "write",
  "outboxDone",
  "saveLastKnown",
  ...PROBES,
]);

export class FakePostgres {
  readonly counts = { calls: 0, failed: 0, unknown: 0, refused: 0, thrown: 0, kept: 0 };
  noise: StoreNoise = QUIET_STORE;
  readonly #clock: SimClock;
  readonly #random: SeededRandom;
  readonly #fake: FakeStore;
  readonly #onDone: OnDone;
  readonly #troubles: Trouble[] = [];
  #pools: Pool[] = [];
  /** When nothing could be read: [from, until], until Infinity while it lasts. */
  readonly #away: [from: number, until: number][] = [];
  readonly #cutOff = new Map<string, number>();

  constructor(clock: SimClock, random: SeededRandom, fake: FakeStore, onDone: OnDone) {
    this.#clock = clock;
    this.#random = random;
    this.#fake = fake;
    this.#onDone = onDone;
  }

  begin(trouble: Trouble): void {
    this.#troubles.push(trouble);
    this.#pools = this.#pools.filter(({ machine }) => !machine.isDead);
    for (const pool of this.#pools) {
      if (this.#random.chance(trouble.endsRate)) pool.endAll();
    }
    this.#noteAway();
  }

  end(trouble: Trouble): void {
    const at = this.#troubles.indexOf(trouble);
    if (at >= 0) this.#troubles.splice(at, 1);
    this.#noteAway();
  }

  #noteAway(): void {
    const isAway = this.#troubles.some(
      ({ hits, isReadOnly, phase }) =>
        !isReadOnly && phase !== "commit" && (hits === "all" || hits === "delivery"),
    );
    const last = this.#away.at(-1);
    const wasAway = last !== undefined && last[1] === Infinity;
    if (isAway && !wasAway) this.#away.push([this.#clock.now(), Infinity]);
    if (!isAway && wasAway) last[1] = this.#clock.now();
  }

  /** For how long since then nothing could be read. */
  awayMsSince(at: number): number {
    const now = this.#clock.now();
    const lengths = this.#away.map(([from, until]) => Math.min(until, now) - Math.max(from, at));
    return lengths.reduce((sum, ms) => sum + Math.max(0, ms), 0);
  }

  /** One process does not reach Postgres. */
  cut(name: string): void {
    this.#cutOff.set(name, (this.#cutOff.get(name) ?? 0) + 1);
  }

  heal(name: string): void {
    this.#cutOff.set(name, Math.max(0, (this.#cutOff.get(name) ?? 0) - 1));
  }

  #poolOf(machine: Machine, sessions: number): Pool {
    const pool = new Pool(machine, sessions);
    this.#pools.push(pool);
    return pool;
  }

  /**
   * What a node forgets when it keeps house: `engine/node.ts` does the same with the real tables.
   */
  keepHouse(): void {
    this.#fake.purgeIdempotency(IDEMPOTENCY_KEPT_H);
  }

  /** The store as one run of one process has it. */
  storeOf(machine: Machine): Store {
    const pool = this.#poolOf(machine, POOL_SESSIONS);
    const quiet = () => Promise.resolve(undefined);
    const ping = (what?: "look" | "write"): Promise<void> => this.#ask(pool, what ?? "look");
    const own: Record<string, unknown> = { appendHistory: quiet, ping, close: quiet };
    return new Proxy({} as Store, {
      get: (_, name) =>
        typeof name === "string" && own[name] === undefined
          ? (own[name] = (...args: unknown[]) => this.#call(pool, name as Method, args, true))
          : own[name as string],
    });
  }

  /**
   * The probe of a gateway, on a connection of its own; a stale one wears out all pools
   * (`gateway/backend/postgres-probe.ts`).
   */
  probeOf(machine: Machine): (what: "look" | "write") => Promise<void> {
    const pool = this.#poolOf(machine, 1);
    return async (what) => {
      try {
        await this.#ask(pool, what);
      } catch (error) {
        const mine = this.#pools.filter((one) => one.machine === machine);
        if (isStale(error)) for (const one of mine) one.wearOut(this.#clock.now());
        throw error;
      }
    };
  }

  /** A statement that asks whether writes are taken; not repeated. */
  async #ask(pool: Pool, what: "look" | "write"): Promise<void> {
    await this.#call(pool, what === "write" ? "probeWrite" : "probeLook", [], false);
  }

  #call(
    pool: Pool,
    method: Method,
    args: readonly unknown[],
    mayRepeat: boolean,
  ): Promise<unknown> {
    this.counts.calls += 1;
    return new Promise((resolve, reject) => {
      this.#try({ pool, method, args, resolve, reject, mayRepeat, attempt: 0 });
    });
  }

  #try(call: Call): void {
    const { failRate, unknownRate, slowRate } = this.noise;
    const chance = this.#random.unit();
    const isSlow = chance > 1 - slowRate;
    const delayMs = isSlow
      ? this.#random.between(SLOW_MIN_MS, SLOW_MAX_MS)
      : this.#random.between(WIRE_MIN_MS, WIRE_MAX_MS);
    this.#clock.after(delayMs, () => {
      const { machine } = call.pool;
      // A process that died before its statement left never sent it; one that died after has.
      if (machine.isDead && this.#random.chance(0.5)) return;
      if ((this.#cutOff.get(machine.name) ?? 0) > 0) return this.#unanswered(call);
      const session = call.pool.take(this.#random, this.#clock.now());
      const unconnected = this.#connect(call, session);
      const error = unconnected ?? this.#refusal(call, session);
      if (error === "unanswered") return this.#unanswered(call);
      if (error !== null) return this.#failed(call, session, error, unconnected === null);
      if (chance < failRate) {
        this.counts.failed += 1;
        return this.#failed(call, session, errorOf("57P01", "noise"));
      }
      this.#do(call, session, chance < failRate + unknownRate);
    });
  }

  /** An error where the session cannot be opened. */
  #connect(call: Call, session: Session): Error | "unanswered" | null {
    if (session.isOpen) return null;
    const error = this.#troubled(call, "connect");
    if (error !== null) return error;
    session.isOpen = true;
    session.isReadOnly = this.#troubles.some(({ isReadOnly }) => isReadOnly);
    return null;
  }

  /** An error of the statement itself: nothing was done. */
  #refusal(call: Call, { isReadOnly }: Session): Error | "unanswered" | null {
    if (isReadOnly && WRITES.has(call.method)) {
      this.counts.kept += 1;
      return errorOf("25006", "cannot execute it in a read-only transaction");
    }
    return this.#troubled(call, "statement");
  }

  #troubled({ method, args }: Call, phase: Phase): Error | "unanswered" | null {
    for (const trouble of this.#troubles) {
      if (trouble.phase !== phase || !this.#random.chance(trouble.rate)) continue;
      if (trouble.hits === "writes" && !WRITES.has(method)) continue;
      if (trouble.hits !== "writes" && trouble.hits !== "all" && trouble.hits !== method) continue;
      if (trouble.group === null) return "unanswered";
      if (method === "probeLook" && trouble.group.name === "disk full") continue;
      if (trouble.once?.isSpent(args) === true) continue;
      this.counts.thrown += 1;
      return drawError(trouble.group, this.#random);
    }
    return null;
  }

  #do(call: Call, session: Session, isNoise: boolean): void {
    const { pool, method, args } = call;
    const lost = this.#troubled(call, "commit");
    // The server went away before the commit, or after.
    if (lost !== null && lost !== "unanswered" && this.#random.chance(0.5)) {
      return this.#failed(call, session, lost);
    }
    let result: unknown;
    try {
      if (!PROBES.has(method)) {
        result = (
          this.#fake[method as Exclude<Method, Probe>] as (...all: readonly unknown[]) => unknown
        )(...args);
      }
    } catch (error) {
      return this.#answer(call, () => call.reject(error as Error));
    }
    if (!PROBES.has(method)) this.#onDone(pool.machine, method, args, result);
    if (lost === null && !isNoise) return this.#answer(call, () => call.resolve(result));
    this.counts.unknown += 1;
    if (lost === "unanswered" || (lost === null && this.#random.chance(0.5))) {
      return this.#unanswered(call);
    }
    this.#failed(call, session, lost ?? errorOf("CONNECTION_CLOSED", "noise"));
  }

  #answer({ pool }: Call, run: () => void): void {
    this.#clock.after(this.#random.between(WIRE_MIN_MS, WIRE_MAX_MS), () => pool.machine.io(run));
  }

  /** What the client makes of an error: it tries again, or hands it on with its verdict. */
  #failed(call: Call, session: Session, error: Error, wasSent = true): void {
    if (endsSession(error)) session.isOpen = false;
    const failure = databaseError(error, wasSent);
    const { verdict, isLost } = failure as Partial<DatabaseError>;
    if (verdict?.renew === true || isLost === true) call.pool.wearOut(this.#clock.now());
    const delayMs = RETRY_DELAYS_MS[call.attempt++];
    if (call.mayRepeat && verdict?.again === true && delayMs !== undefined) {
      this.#clock.after(delayMs, () => this.#try(call));
      return;
    }
    this.counts.refused += 1;
    this.#answer(call, () => call.reject(failure));
  }

  /** Neither rows nor an error came: the client gives its pool up. */
  #unanswered(call: Call): void {
    call.pool.endAll();
    this.counts.refused += 1;
    const failure = databaseError(new Error("Postgres did not answer in time"), true);
    this.#clock.after(ANSWER_DEADLINE_MS, () => call.pool.machine.io(() => call.reject(failure)));
  }
}
