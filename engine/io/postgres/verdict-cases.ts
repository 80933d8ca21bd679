/**
 * What real servers throw, by phase: a table for unit tests and for the simulator, which draws from
 * it. Each row was met by hand on a real server, or is in the manual (appendix A) and in public
 * reports. `errorOf` makes the error as the driver gives it, `failureOf` as `Database.query`
 * rejects.
 */
import { databaseError } from "./verdict.ts";
import type { About } from "./verdict.ts";
import type { DispatchError } from "../../../proto/errors.ts";

/**
 * When it is met. `connecting`: nothing was sent. `statement`: the statement was rolled back whole.
 * `commit`: the statement may have been committed, and nobody said so.
 */
export type Phase = "connecting" | "statement" | "commit";

export type ServerCase = {
  /** A sentence's end: "the server says that ...". */
  readonly name: string;
  readonly phase: Phase;
  /** SQLSTATE, or the driver's or the system's own code. */
  readonly code: string;
  /** Of a message of the server; null where the driver or the system speaks. */
  readonly severity: "ERROR" | "FATAL" | "PANIC" | null;
  readonly message: string;
  readonly about: About;
};

type Short = readonly [code: string, name: string, message: string];

const rows = (
  phase: Phase,
  severity: ServerCase["severity"],
  about: About,
  all: readonly Short[],
): readonly ServerCase[] =>
  all.map(([code, name, message]) => ({ name, phase, code, severity, message, about }));

export const SERVER_CASES: readonly ServerCase[] = [
  ...rows("connecting", "FATAL", "connection", [
    ["28P01", "the password was changed", 'password authentication failed for user "u"'],
    ["28000", "the role may not log in, or no line of pg_hba lets it", 'role "u" may not log in'],
    ["3D000", "the database was renamed", 'database "d" does not exist'],
    ["42501", "the role may not connect", 'permission denied for database "d"'],
    ["53300", "there are too many clients", "sorry, too many clients already"],
    ["53300", "the role has no connection left", 'too many connections for role "u"'],
    ["57P03", "it is starting up", "the database system is starting up"],
    ["57P03", "it is shutting down", "the database system is shutting down"],
    ["57P03", "it recovers", "the database system is not yet accepting connections"],
    ["55000", "the database takes no connections", 'database "d" is not accepting connections'],
    ["0A000", "a pooler takes no such parameter", "unsupported startup parameter: jit"],
    ["08P01", "a pooler does not know the database", "no such database: d"],
    ["08P01", "a pooler waited too long", "query_wait_timeout"],
    ["22023", "a start-up parameter has no such value", "invalid value for parameter"],
    ["23505", "an answer of a lost session comes late", "duplicate key value"],
    ["42704", "a start-up parameter is not known", "unrecognized configuration parameter"],
    ["58P01", "a library cannot be loaded", "could not access file"],
    ["53200", "there is no memory for a session", "out of memory"],
    ["XX000", "the catalog cannot be read", "could not open relation"],
  ]),
  ...rows("connecting", null, "connection", [
    ["ECONNREFUSED", "nobody listens", "connect ECONNREFUSED"],
    ["ECONNRESET", "the link is cut", "read ECONNRESET"],
    ["ENOTFOUND", "the name is not known", "getaddrinfo ENOTFOUND"],
    ["EAI_AGAIN", "the resolver is away", "getaddrinfo EAI_AGAIN"],
    ["EHOSTUNREACH", "there is no way to the host", "connect EHOSTUNREACH"],
    ["EMFILE", "this process has no file descriptor left", "connect EMFILE"],
    ["CONNECT_TIMEOUT", "nobody answers", "write CONNECT_TIMEOUT"],
    ["CERT_HAS_EXPIRED", "the certificate has expired", "certificate has expired"],
    ["DEPTH_ZERO_SELF_SIGNED_CERT", "the certificate is nobody's", "self-signed certificate"],
    ["ERR_SSL_WRONG_VERSION_NUMBER", "the server speaks no TLS", "wrong version number"],
    ["SASL_SIGNATURE_MISMATCH", "the server cannot prove itself", "did not return the signature"],
  ]),
  ...rows("statement", "ERROR", "command", [
    ["22001", "a text is too long", "value too long for type character varying(10)"],
    ["22003", "a number is out of range", "smallint out of range"],
    ["22P05", "a character cannot be stored", "unsupported Unicode escape sequence"],
    ["23502", "a value is missing", "null value violates not-null constraint"],
    ["23505", "a key is there already", "duplicate key value violates unique constraint"],
    ["23514", "a check does not hold", "new row violates check constraint"],
  ]),
  ...rows("statement", "ERROR", "server", [
    ["25006", "this server only reads", "cannot execute INSERT in a read-only transaction"],
    ["25P02", "the session's transaction has failed", "current transaction is aborted"],
    ["0A000", "a plan is stale", "cached plan must not change result type"],
    ["26000", "a prepared statement is gone", 'prepared statement "a" does not exist'],
    ["40001", "a transaction came between", "could not serialize access"],
    ["40P01", "two wait for each other", "deadlock detected"],
    ["42501", "a grant was taken away", "permission denied for table deliveries"],
    ["42601", "the statement has a mistake", "syntax error"],
    ["42703", "a column is missing", 'column "c" does not exist'],
    ["42P01", "a table is missing", 'relation "deliveries" does not exist'],
    ["3F000", "the schema is missing", "no schema has been selected"],
    ["53100", "the disk is full", "could not extend file: No space left on device"],
    ["53200", "there is no memory", "out of memory"],
    ["53400", "a limit of its configuration is met", "temporary file size exceeds limit"],
    ["55006", "something is in use", "database is being accessed by other users"],
    ["55P03", "a lock is held too long", "canceling statement due to lock timeout"],
    ["57014", "the statement takes too long", "canceling statement due to statement timeout"],
    ["58030", "its disk fails", "could not read block: Input/output error"],
    ["XX000", "something broke inside", "cache lookup failed"],
    ["XX001", "a page is corrupt", "invalid page in block"],
  ]),
  ...rows("statement", "ERROR", "unknown", [
    ["P0001", "a trigger raised something", "not today"],
    ["54000", "a row does not fit an index", "index row size exceeds maximum"],
    ["HV000", "a foreign table fails", "could not connect to server"],
  ]),
  ...rows("commit", "FATAL", "server", [
    ["57P01", "an administrator ended the session", "terminating connection"],
    ["57P02", "another backend crashed", "terminating connection because of crash"],
    ["25P03", "the session idled in a transaction", "terminating connection"],
  ]),
  ...rows("commit", "PANIC", "server", [
    ["53100", "the disk of its log is full", "could not write to file: No space left on device"],
  ]),
  ...rows("commit", null, "unknown", [
    ["CONNECTION_CLOSED", "the session ended without a word", "write CONNECTION_CLOSED"],
    ["CONNECTION_DESTROYED", "the pool was thrown away", "write CONNECTION_DESTROYED"],
    ["ECONNRESET", "the link was cut", "read ECONNRESET"],
    ["EPIPE", "the link was closed", "write EPIPE"],
    ["ETIMEDOUT", "the link is dead", "read ETIMEDOUT"],
  ]),
];

/** The error as the driver gives it. */
export function errorOf({ code, severity, message }: ServerCase): Error {
  const error = new Error(message);
  if (severity !== null) error.name = "PostgresError";
  return Object.assign(error, { code, ...(severity === null ? {} : { severity }) });
}

/** The error as the callers of the store get it. */
export const failureOf = (row: ServerCase): DispatchError =>
  databaseError(errorOf(row), row.phase !== "connecting");
