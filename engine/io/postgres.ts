/**
 * Postgres behind a small port, `Database`: text and parameters in, rows out. It owns the pool, the
 * deadlines and the judgement of what went wrong. Every statement that comes through here may be
 * repeated (the store writes them so), hence a lost connection, a server in recovery or a deadlock
 * is tried again a few times and then becomes DispatchError `unavailable`: not done, or unknown,
 * never "failed". What is a mistake of ours (a broken constraint, bad SQL) goes up as it is.
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
 */
import type postgres from "postgres";
import { DispatchError } from "../../proto/errors.ts";
import { POSTGRES_CONNECT_TIMEOUT_MS, POSTGRES_POOL_CONNECTIONS } from "../../proto/limits.ts";
import { POSTGRES_STATEMENT_TIMEOUT_MS } from "../../proto/limits.ts";
import { POSTGRES_WAITING_MAX_STATEMENTS } from "../../proto/limits.ts";
import { backOffMs, systemClock } from "./clock.ts";
import { SESSION_SETTINGS, connectPostgres, targetOf } from "./postgres-driver.ts";
import { Slots } from "./slots.ts";

export type Param = string | number | boolean | null;

export type Database = {
  /**
   * Runs one statement that may be repeated without harm. `repeat: false`: at most one attempt, for
   * statements that would do more the second time. Rejects with `unavailable` or `overloaded`.
   */
  readonly query: <Row>(
    text: string,
    params: readonly Param[],
    options?: { readonly repeat?: boolean },
  ) => Promise<readonly Row[]>;
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
  const open = () => openPool(options, connections, statementTimeoutMs, connectTimeoutMs);
  let pool = open();
  let closed = false;

  /**
   * Whoever finds the pool dead first replaces it; what else runs on the old one is tried again on
   * the new.
   */
  const replacePool = (dead: postgres.Sql): void => {
    if (pool !== dead || closed) return;
    pool = open();
    void dead.end({ timeout: 0 });
  };

  const attempt = async <Row>(text: string, params: readonly Param[]): Promise<readonly Row[]> => {
    if (!(await slots.take(answerDeadlineMs))) throw overloaded();
    const current = pool;
    let cancel = (): void => undefined;
    const unanswered = new Promise<never>((_, reject) => {
      cancel = systemClock.after(answerDeadlineMs, () => {
        reject(new UnansweredError());
        replacePool(current);
      });
    });
    try {
      const rows = current.unsafe(text, [...params], { prepare: true });
      return (await Promise.race([rows, unanswered])) as unknown as readonly Row[];
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
        const verdict = judge(error);
        if (verdict === "mistake") throw error;
        const isLast = delayMs === null || systemClock.now() + delayMs > giveUpAt;
        if (verdict === "give up" || isLast || closed) throw unavailable(error);
        await new Promise<void>((resolve) => systemClock.after(delayMs, resolve));
      }
    }
    throw new Error("unreachable: the last attempt returns or throws");
  };

  return {
    query,
    close: async () => {
      closed = true;
      await pool.end({ timeout: CLOSE_TIMEOUT_S });
    },
  };
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

const unavailable = (cause: unknown): DispatchError =>
  cause instanceof DispatchError ? cause : new DispatchError("unavailable", undefined, { cause });
const overloaded = (): DispatchError =>
  new DispatchError("overloaded", "Too many statements wait for a database connection.");

/** What can be heard of a lost or refused connection, from the driver and from the system. */
const CONNECTION_CODES = new Set([
  "CONNECTION_CLOSED",
  "CONNECTION_DESTROYED",
  "CONNECT_TIMEOUT",
  "ECONNREFUSED",
  "ECONNRESET",
  "EPIPE",
  "ETIMEDOUT",
  "EHOSTUNREACH",
  "ENETUNREACH",
  "EAI_AGAIN",
  "ENOTFOUND",
  "ENOENT",
]);
/**
 * SQLSTATEs that pass by themselves: the statement was rolled back whole and may be tried again.
 */
const PASSING_STATES = new Set([
  "25006", // read-only: this server is a standby, or was just demoted
  "40001", // serialization failure
  "40P01", // deadlock
  "53300", // too many connections
  "57P01", // terminated by an administrator
  "57P02", // crash of another backend
  "57P03", // starting up, or in recovery
  "57P05", // closed for idling
]);
/** SQLSTATE classes, and a state, that mean "not now" but that trying again at once makes worse. */
const AWAY_CLASSES = new Set(["53", "58"]);
const STATEMENT_TIMEOUT = "57014";

type Verdict = "try again" | "give up" | "mistake";

/** What an error of the driver means for the statement that met it. */
export function judge(error: unknown): Verdict {
  if (error instanceof UnansweredError || error instanceof DispatchError) return "give up";
  const code = (error as { code?: unknown } | null)?.code;
  if (typeof code !== "string") return "mistake";
  if (CONNECTION_CODES.has(code) || PASSING_STATES.has(code)) return "try again";
  if (/^08...$/.test(code)) return "try again";
  if (code === STATEMENT_TIMEOUT || code === "CONNECTION_ENDED") return "give up";
  return /^[0-9A-Z]{5}$/.test(code) && AWAY_CLASSES.has(code.slice(0, 2)) ? "give up" : "mistake";
}

/** A Postgres array literal of texts, for a parameter that SQL casts: `$1::text[]`. */
export const textArray = (items: readonly string[]): string =>
  `{${items.map((item) => `"${item.replaceAll(/["\\]/g, "\\$&")}"`).join(",")}}`;

/** A Postgres array literal of numbers: `$1::int[]`. */
export const numberArray = (items: readonly number[]): string => `{${items.join(",")}}`;
