/**
 * Postgres behind a small port, `Database`: text and parameters in, rows out. It owns the pool and
 * the deadlines, and marks whether a statement had been sent when its error came; what the error
 * says is judged in `verdict.ts`. Every statement that comes through here may be repeated (the
 * store writes them so), hence a lost connection, a server in recovery or a deadlock is tried again
 * a few times. All failures leave as DatabaseError (`unavailable`: not done, or unknown) with their
 * verdict.
 *
 * About the driver (porsager `postgres` 3.4.9, read in its source):
 * - Statements are never pipelined (`max_pipeline` 0): one that waits for a lock must not hold up
 *   others behind it, and a lost connection must not make more than one statement unknown.
 * - A connection whose peer has vanished without a word keeps its statement for as long as TCP
 *   likes, a quarter of an hour. The server gives up by `statement_timeout`; if even that is not
 *   heard, the pool is replaced.
 * - Parameters are texts, numbers and booleans only, JSON as `$1::text::json`: the driver repeats a
 *   statement whose plan went stale with parameters that it has serialized already, which doubles
 *   the quotes of a `json` one.
 * - Its wait before a new connection grows up to 20 s by default; ours ends at half a second.
 * - A statement is handed its connection's `state` when that begins to send it, and not before: so
 *   an error without it was met on the way to a session. The code alone would not do: a connection
 *   that dies under a statement keeps the last error, and gives it to the next statement in place
 *   of an answer of its own; a refused login is then not even reported, and repeated without a
 *   pause. So a pool with such a connection is replaced.
 * - `target_session_attrs` is not used: its `read-write` takes a standby, its `primary` a database
 *   that only reads, and a pooler answers from memory. A statement that meets a read-only server
 *   (25006) replaces the pool; the probe (`store/probe.ts`) sees to it that one is sent.
 */
import type postgres from "postgres";
import { DispatchError } from "../../../proto/errors.ts";
import { POSTGRES_CONNECT_TIMEOUT_MS, POSTGRES_POOL_CONNECTIONS } from "../../../proto/limits.ts";
import { POSTGRES_LOCK_TIMEOUT_MS, POSTGRES_RENEW_EVERY_MS } from "../../../proto/limits.ts";
import { POSTGRES_STATEMENT_TIMEOUT_MS } from "../../../proto/limits.ts";
import { POSTGRES_WAITING_MAX_STATEMENTS } from "../../../proto/limits.ts";
import { backOffMs, systemClock } from "../clock.ts";
import { SESSION_SETTINGS, connectPostgres, targetOf } from "./driver.ts";
import { Slots } from "../slots.ts";
import { DatabaseError, databaseError } from "./verdict.ts";

export type Param = string | number | boolean | null;

export type Database = {
  /**
   * Runs one statement that may be repeated without harm. `repeat: false`: at most one attempt, for
   * statements that would do more the second time. Rejects with a DatabaseError, or `overloaded`.
   */
  readonly query: <Row>(
    text: string,
    params: readonly Param[],
    options?: { readonly repeat?: boolean },
  ) => Promise<readonly Row[]>;
  /**
   * New sessions in place of the present ones, which end when what they run has ended; not more
   * often than once in POSTGRES_RENEW_EVERY_MS.
   */
  readonly renew: () => void;
  /** Waits for what runs, at most five seconds. */
  readonly close: () => Promise<void>;
};

export type DatabaseOptions = {
  readonly url: string;
  /** Shown in pg_stat_activity: which process asks. */
  readonly applicationName: string;
  readonly connections?: number;
  readonly statementTimeoutMs?: number;
  readonly connectTimeoutMs?: number;
};

/** Waits before the attempts after the first; together they outlast a restart of the server. */
const RETRY_DELAYS_MS = [20, 60, 180, 540] as const;
/** Our own deadline comes this much after the server's. */
const ANSWER_GRACE_MS = 500;
const RECONNECT_FIRST_MS = 10;
const RECONNECT_MAX_MS = 500;
const IDLE_CLOSE_S = 300;
const CLOSE_TIMEOUT_S = 5;

/**
 * Milliseconds since 1970 in place of Date objects; the driver would make a Date for each column.
 */
const MILLIS = {
  to: 1184,
  from: [1184],
  serialize: (value: unknown) => value,
  parse: (text: string) => Date.parse(text),
};

/** No connection is made before the first statement. */
export function openDatabase(options: DatabaseOptions): Database {
  const connections = options.connections ?? POSTGRES_POOL_CONNECTIONS;
  const statementTimeoutMs = options.statementTimeoutMs ?? POSTGRES_STATEMENT_TIMEOUT_MS;
  const connectTimeoutMs =
    options.connectTimeoutMs ??
    targetOf(options.url).connectTimeoutMs ??
    POSTGRES_CONNECT_TIMEOUT_MS;
  const answerDeadlineMs = Math.max(statementTimeoutMs, connectTimeoutMs) + ANSWER_GRACE_MS;
  const slots = new Slots(connections, POSTGRES_WAITING_MAX_STATEMENTS);
  const pool = new RenewablePool(() =>
    openPool(options, connections, statementTimeoutMs, connectTimeoutMs),
  );

  const attempt = async <Row>(text: string, params: readonly Param[]): Promise<readonly Row[]> => {
    if (!(await slots.take(answerDeadlineMs))) throw overloaded();
    const current = pool.take();
    const statement = current.unsafe(text, [...params], { prepare: true });
    let cancel = (): void => undefined;
    const unanswered = new Promise<never>((_, reject) => {
      cancel = systemClock.after(answerDeadlineMs, () => {
        reject(new UnansweredError());
        pool.replace(current, 0);
      });
    });
    try {
      return (await Promise.race([statement, unanswered])) as unknown as readonly Row[];
    } catch (error) {
      const failure = databaseError(error, wasSent(statement));
      const { verdict, isLost } = failure as Partial<DatabaseError>;
      if (verdict?.renew === true || isLost === true) pool.wearOut(current);
      throw failure;
    } finally {
      cancel();
      slots.give();
    }
  };

  const query: Database["query"] = async (text, params, { repeat = true } = {}) => {
    const giveUpAt = systemClock.now() + answerDeadlineMs;
    for (const delayMs of repeat ? [...RETRY_DELAYS_MS, null] : [null]) {
      try {
        return await attempt<never>(text, params);
      } catch (error) {
        const mayRepeat = error instanceof DatabaseError && error.verdict.again && !pool.isClosed;
        const isLast = delayMs === null || systemClock.now() + delayMs > giveUpAt;
        if (!mayRepeat || isLast) throw error;
        await new Promise<void>((resolve) => systemClock.after(delayMs, resolve));
      }
    }
    throw new Error("unreachable: the last attempt returns or throws");
  };

  return {
    query,
    renew: () => pool.wearOut(pool.current),
    close: () => pool.close(),
  };
}

/** The sessions that are used now, and their replacement by new ones. */
class RenewablePool {
  readonly #open: () => postgres.Sql;
  #pool: postgres.Sql;
  #isClosed = false;
  #renewedAt = -Infinity;
  /** Its sessions are worth nothing; it is replaced as soon as that may be. */
  #worn: postgres.Sql | null = null;

  constructor(open: () => postgres.Sql) {
    this.#open = open;
    this.#pool = open();
  }

  get current(): postgres.Sql {
    return this.#pool;
  }
  get isClosed(): boolean {
    return this.#isClosed;
  }

  /** The pool for a statement that begins now. */
  take(): postgres.Sql {
    this.#renew();
    return this.#pool;
  }

  /**
   * Whoever finds the pool unusable first replaces it. On a dead one nothing is waited for; what
   * runs on it is tried again on the new.
   */
  replace(old: postgres.Sql, timeoutS: number): void {
    if (this.#pool !== old || this.#isClosed) return;
    this.#pool = this.#open();
    this.#renewedAt = systemClock.now();
    void old.end({ timeout: timeoutS });
  }

  /** Replaces it now, or when the last replacement is long enough ago. */
  wearOut(old: postgres.Sql): void {
    if (old === this.#pool) this.#worn = old;
    this.#renew();
  }

  /** Waits for what runs, at most five seconds. */
  async close(): Promise<void> {
    this.#isClosed = true;
    await this.#pool.end({ timeout: CLOSE_TIMEOUT_S });
  }

  #renew(): void {
    const isDue = systemClock.now() - this.#renewedAt >= POSTGRES_RENEW_EVERY_MS;
    if (this.#worn === this.#pool && isDue) this.replace(this.#worn, CLOSE_TIMEOUT_S);
  }
}

function openPool(
  options: DatabaseOptions,
  connections: number,
  statementTimeoutMs: number,
  connectTimeoutMs: number,
): postgres.Sql {
  return connectPostgres(options.url, {
    applicationName: options.applicationName,
    connectTimeoutMs,
    settings: {
      ...SESSION_SETTINGS,
      statement_timeout: statementTimeoutMs,
      lock_timeout: POSTGRES_LOCK_TIMEOUT_MS,
    },
    driver: {
      max: connections,
      max_pipeline: 0,
      prepare: true,
      // Arrays travel as texts that SQL casts, so the driver need not look up array types on each
      // connection.
      fetch_types: false,
      types: { millis: MILLIS },
      idle_timeout: IDLE_CLOSE_S,
      backoff: (failures: number) =>
        backOffMs(failures, RECONNECT_FIRST_MS, RECONNECT_MAX_MS) / 1_000,
    },
  });
}

/** Neither rows nor an error came in time: the connection is dead, or the server stands still. */
class UnansweredError extends Error {
  override readonly name = "UnansweredError";

  constructor() {
    super("Postgres did not answer in time");
  }
}

const overloaded = (): DispatchError =>
  new DispatchError("overloaded", "Too many statements wait for a database connection.");

/** The driver's own mark, which its types leave out; `postgres-errors.itest.ts` holds it to it. */
const wasSent = (statement: object): boolean =>
  ((statement as { state?: unknown }).state ?? null) !== null;

/** A Postgres array literal of texts, for a parameter that SQL casts: `$1::text[]`. */
export const textArray = (items: readonly string[]): string =>
  `{${items.map((item) => `"${item.replaceAll(/["\\]/g, "\\$&")}"`).join(",")}}`;

/** A Postgres array literal of numbers: `$1::int[]`. */
export const numberArray = (items: readonly number[]): string => `{${items.join(",")}}`;
