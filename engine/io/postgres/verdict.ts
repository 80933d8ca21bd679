/**
 * What an error of the database says, decided in one place for gateways and nodes. It is about one
 * of four things:
 *
 * - `command`: the server looked at this very statement and proved that its data cannot be stored
 *   (SQLSTATE class 22 or 23, severity ERROR, answered to a statement that had been sent).
 * - `connection`: anything met before the statement was sent, whatever its code. A refused login
 *   (28P01), a missing database (3D000) or a refused start-up parameter (22023) says nothing about
 *   a command that nobody has read.
 * - `server`: the server cannot do it now: read-only, full, shutting down, locked, restoring, or
 *   without the grants and tables that it needs.
 * - `unknown`: everything else, a lost answer above all. The statement may have been done; it is
 *   asked again, or read back by its key.
 *
 * Only the first may end something that was acknowledged. A code on no list is an outage and never
 * a refusal. The table is pure data, so that it can be read, tested and drawn from
 * (`verdict-cases.ts`). Codes are those of the PostgreSQL manual, appendix A.
 */
import { DispatchError } from "../../../proto/errors.ts";

export type About = "command" | "connection" | "server" | "unknown";

export type Verdict = {
  readonly about: About;
  /** The same statement may succeed within milliseconds: it is sent again at once. */
  readonly again: boolean;
  /**
   * The sessions are worth nothing any more: they began on a server that only reads, or their
   * prepared statements are stale. The pool is replaced whole.
   */
  readonly renew: boolean;
  /** Somebody holds a row or a table: another command of the same batch may succeed. */
  readonly held: boolean;
};

type Row = Partial<Omit<Verdict, "about">> & { readonly about?: About };

/** Answers to a statement, by SQLSTATE. A whole code comes before its class (first two letters). */
const STATES: Readonly<Record<string, Row>> = {
  "08": { about: "server", again: true }, // connection exceptions, also of a pooler
  "0A": { about: "server", again: true, renew: true }, // a cached plan whose result type changed
  "22": { about: "command" }, // data exceptions
  "23": { about: "command" }, // integrity constraints
  "25": { about: "server", again: true, renew: true }, // read-only (25006), a failed transaction
  "26": { about: "server", again: true, renew: true }, // prepared statement gone (a pooler)
  "28": { about: "server" }, // authorization taken away
  "3D": { about: "server" }, // database gone
  "3F": { about: "server" }, // schema gone
  "40": { about: "server", again: true }, // rolled back: serialization, deadlock
  "42": { about: "server" }, // tables, columns, grants missing, or a mistake of ours
  "42P05": { about: "server", again: true, renew: true }, // prepared statement there (a pooler)
  "53": { about: "server" }, // disk full, out of memory, too many connections
  "53300": { about: "server", again: true },
  "55": { about: "server" }, // not in the state that is needed, in use
  "55P03": { about: "server", held: true }, // lock_timeout
  "57": { about: "server", again: true }, // an operator, a shutdown, a crash, a start
  "57014": { about: "server", held: true }, // statement_timeout, or canceled from outside
  "57P04": { about: "server" }, // database dropped
  "58": { about: "server" }, // errors of its operating system
  "72": { about: "server", again: true }, // snapshot too old
  F0: { about: "server" }, // its configuration file
  XX: { about: "server" }, // internal errors, corruption
};

/**
 * Lost or refused connections, as the driver and the system say it: a new one may succeed at once.
 */
const LOST_CODES: ReadonlySet<string> = new Set([
  "CONNECTION_CLOSED",
  "CONNECTION_DESTROYED",
  "CONNECTION_ENDED",
  "CONNECT_TIMEOUT",
  "EAI_AGAIN",
  "ECONNABORTED",
  "ECONNREFUSED",
  "ECONNRESET",
  "EHOSTUNREACH",
  "ENETUNREACH",
  "ENOENT",
  "ENOTFOUND",
  "EPIPE",
  "ETIMEDOUT",
]);
/** Refusals of a login that pass by themselves: full, starting, shutting down, recovering. */
const LOGIN_AGAIN = /^(?:08...|53300|57P0[1235])$/;
const SQLSTATE = /^[0-9A-Z]{5}$/;
const CAUSES_MAX = 8;

const verdict = (about: About, { again = false, renew = false, held = false }: Row): Verdict => ({
  about,
  again,
  renew,
  held,
});

/**
 * Judges what a statement met. `wasSent`: the driver had begun to send it when the error came; only
 * then can a code be about it. A verdict that was passed below is kept, and causes are looked
 * through.
 */
export function judge(error: unknown, wasSent: boolean): Verdict {
  const causes = causesOf(error);
  const passed = causes.find((one) => one instanceof DatabaseError);
  if (passed !== undefined) return passed.verdict;
  const code = codeOf(causes);
  const again = code !== null && (wasSent ? LOST_CODES.has(code) : isLoginAgain(code));
  if (!wasSent) return verdict("connection", { again });
  if (code === null || !SQLSTATE.test(code)) return verdict("unknown", { again });
  const row = STATES[code] ?? STATES[code.slice(0, 2)];
  if (row === undefined) return verdict("unknown", {});
  // A session that is ended with a message (FATAL, PANIC) was not refused a row.
  const isEnded = row.about === "command" && !causes.some(isPlainError);
  return isEnded ? verdict("server", {}) : verdict(row.about ?? "unknown", row);
}

const isLoginAgain = (code: string): boolean => LOST_CODES.has(code) || LOGIN_AGAIN.test(code);

/** Severity as it stands in the message's field V, which is never translated. */
const isPlainError = (error: Error): boolean =>
  (error as { severity?: unknown }).severity === "ERROR";

/** The error and what caused it, outermost first; of several attempts to connect, each. */
function causesOf(error: unknown): readonly Error[] {
  const found: Error[] = [];
  const open: unknown[] = [error];
  while (open.length > 0 && found.length < CAUSES_MAX) {
    const next = open.shift();
    if (!(next instanceof Error) || found.includes(next)) continue;
    found.push(next);
    open.push(next.cause);
    if (next instanceof AggregateError) open.push(...(next.errors as readonly unknown[]));
  }
  return found;
}

/** The first code of the database, the driver or the system. Codes of our own table are none. */
function codeOf(causes: readonly Error[]): string | null {
  for (const error of causes) {
    const { code } = error as { code?: unknown };
    if (typeof code === "string" && !(error instanceof DispatchError)) return code;
  }
  return null;
}

/**
 * What `Database.query` rejects with, whatever went wrong: to a client it is `unavailable` (not
 * done, or unknown), to whoever must decide what becomes of a command it carries the verdict. The
 * text is for clients and names nothing of the inside; the driver's words are the cause.
 */
export class DatabaseError extends DispatchError {
  readonly verdict: Verdict;
  /** SQLSTATE, or the driver's or system's code; null when there was none. */
  readonly causeCode: string | null;

  constructor(passed: Verdict, cause: unknown) {
    super("unavailable", undefined, { cause });
    this.verdict = passed;
    this.causeCode = codeOf(causesOf(cause));
  }

  /** A connection died while the statement was under way. */
  get isLost(): boolean {
    return this.verdict.about === "unknown" && LOST_CODES.has(this.causeCode ?? "");
  }
}

/**
 * The error as the store's callers see it. Refusals of our own (`overloaded`) stay what they are.
 */
export function databaseError(error: unknown, wasSent: boolean): DispatchError {
  if (error instanceof DispatchError) return error;
  return new DatabaseError(judge(error, wasSent), error);
}

const verdictIn = (error: unknown): Verdict | null =>
  causesOf(error).find((one) => one instanceof DatabaseError)?.verdict ?? null;

/** Proven: the server read this command and will not store its data. Never true of an outage. */
export const isRefusal = (error: unknown): boolean => verdictIn(error)?.about === "command";

/** Somebody else holds what the statement needs. */
export const isHeld = (error: unknown): boolean => verdictIn(error)?.held === true;

/**
 * One row may be to blame, and the others of its batch not: it is refused or held, or the server
 * said something (a trigger, an index) that is on no list.
 */
export function isOfOneRow(error: unknown): boolean {
  const failure = causesOf(error).find((one) => one instanceof DatabaseError);
  if (failure === undefined) return false;
  const { verdict: passed, causeCode } = failure;
  const isUnlisted = passed.about === "unknown" && SQLSTATE.test(causeCode ?? "");
  return passed.about === "command" || passed.held || isUnlisted;
}

/** The sessions reached a server that only reads, or are stale in another way. */
export const isStale = (error: unknown): boolean => verdictIn(error)?.renew === true;

/**
 * Not done, or unknown, and not refused: the same command may be given to somebody else, or again.
 */
export const isOutage = (error: unknown): boolean =>
  error instanceof DispatchError && error.code === "unavailable" && !isRefusal(error);

/** What to show in a log: the innermost error, the driver's or the system's own words. */
export const rootOf = (error: unknown): unknown => causesOf(error).at(-1) ?? error;
