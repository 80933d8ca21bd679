/**
 * A Postgres URL, as people and platforms write it, read into what a connection needs. Pure but for
 * the files of certificates, which are read once. Every parameter is taken or refused by name, none
 * is ignored: the driver hands what it does not know to the server, which ends the session, and
 * silently forgets what it cannot do.
 *
 * The spelling is libpq's (PostgreSQL documentation, 32.1.1.2 and 32.1.2):
 * `postgres://user:password@host:port/database?...`, each part optional, percent-encoded; a host
 * that begins with a slash is the folder of a Unix socket. One host only: which of several is the
 * primary is decided by what stands before them, not by each process for itself.
 */
import { readFileSync } from "node:fs";
import { userInfo } from "node:os";

export type PostgresTarget = {
  /** A name, an address without brackets, or the folder of a Unix socket. */
  readonly host: string;
  readonly port: number;
  readonly user: string;
  readonly password: string;
  readonly database: string;
  readonly tls: PostgresTls;
  /** Overrides the process's own name; null: it does not. */
  readonly applicationName: string | null;
  readonly connectTimeoutMs: number | null;
  /** search_path of each session; null: the role's own. */
  readonly schema: string | null;
  /** A pooler in transaction mode stands between: nothing may be kept in a session. */
  readonly isPooledByTransaction: boolean;
};

export type PostgresTls = {
  /** `prefer`: where the server offers it. */
  readonly mode: "off" | "prefer" | "on";
  /**
   * Whether the chain of the server's certificate is verified, and whether its name must be the
   * host's.
   */
  readonly verifies: "nothing" | "chain" | "chain and name";
  readonly ca: string | null;
  readonly cert: string | null;
  readonly key: string | null;
};

/**
 * What is wrong with a URL, fit to follow "is refused: ". Never holds a part of the URL that may be
 * secret.
 */
export class PostgresUrlError extends Error {
  override readonly name = "PostgresUrlError";
}

type Environment = Readonly<Record<string, string | undefined>>;

export const SSL_MODES = ["disable", "allow", "prefer", "require", "verify-ca", "verify-full"];
const DEFAULT_PORT = 5432;
const CONNECT_TIMEOUT_MAX_S = 30;
const SHAPE = /^postgres(?:ql)?:\/\/(?:([^/?#]*)@)?([^/?#@]*)(?:\/([^?#]*))?(?:\?([^#]*))?$/;
const HOST = /^(?:\[([^\]]+)\]|([^:[\]]*))(?::(\d*))?$/;
const ENCODING =
  "it must be like postgres://user:password@host:5432/database; in a password / ? and # are " +
  "written %2F, %3F and %23";
const SEVERAL = "it names several hosts; name the one address that leads to the primary";
const SCHEMA = /^[A-Za-z_][A-Za-z0-9_]{0,62}$/;

/** Parameters that are taken, and what is refused about their values; null: nothing. */
const PARAMETERS: Readonly<Record<string, (value: string) => string | null>> = {
  host: () => null,
  port: (value) => (isPort(value) ? null : "must be 1 to 65535"),
  user: () => null,
  password: () => null,
  dbname: () => null,
  sslmode: (value) => (SSL_MODES.includes(value) ? null : `must be one of ${SSL_MODES.join(", ")}`),
  ssl: (value) => (["true", "false"].includes(value) ? null : "must be true or false"),
  sslrootcert: () => null,
  sslcert: () => null,
  sslkey: () => null,
  application_name: () => null,
  connect_timeout: (value) =>
    /^\d{1,2}$/.test(value) && Number(value) >= 1 && Number(value) <= CONNECT_TIMEOUT_MAX_S
      ? null
      : `must be 1 to ${CONNECT_TIMEOUT_MAX_S} seconds`,
  target_session_attrs: (value) =>
    ["any", "read-write", "primary"].includes(value)
      ? null
      : "must be any, read-write or primary: this is where deliveries are written",
  channel_binding: (value) =>
    ["disable", "prefer"].includes(value)
      ? null
      : "cannot be had: this client has no SCRAM-SHA-256-PLUS. Leave it out and say " +
        "sslmode=verify-full, which keeps others out of the connection as well",
  schema: (value) =>
    SCHEMA.test(value) ? null : "must be one schema's name: letters, digits and underscores",
  pgbouncer: (value) => (["true", "false"].includes(value) ? null : "must be true or false"),
};
/** Refused with more than "not known": what to do in their place. */
const HINTS: Readonly<Record<string, string>> = {
  options: "set what it sets by `alter role ... set`, or say schema=",
  search_path: "say schema=",
  hostaddr: "say host=",
  sslpassword: "give a key without a passphrase, readable by this process alone",
  sslcrl: "revocation lists are not read",
  connection_limit: "it is HEXDISPATCH_POSTGRES_CONNECTIONS",
  pool_max: "it is HEXDISPATCH_POSTGRES_CONNECTIONS",
};

/** libpq's variables that stand in where a URL says nothing. The others of libpq are not read. */
const FROM_ENVIRONMENT = {
  PGPASSWORD: "password",
  PGSSLMODE: "sslmode",
  PGSSLROOTCERT: "sslrootcert",
  PGSSLCERT: "sslcert",
  PGSSLKEY: "sslkey",
} as const;

/**
 * The URL with what libpq's variables add to it: a password, and everything about TLS, which must
 * not be weaker than the environment demands. What the URL says itself stands. A URL that cannot be
 * read is returned as it is.
 */
export function withLibpqEnvironment(url: string, env: Environment): string {
  const match = SHAPE.exec(url);
  if (match === null) return url;
  const [, credentials = "", , , query = ""] = match;
  const parameters = new URLSearchParams(query);
  const more = Object.entries(FROM_ENVIRONMENT).flatMap(([variable, name]) => {
    const value = env[variable];
    if (value === undefined || value === "" || parameters.has(name)) return [];
    if (name === "password" && credentials.includes(":")) return [];
    if (name === "sslmode" && parameters.has("ssl")) return [];
    return [`${name}=${encodeURIComponent(value)}`];
  });
  if (more.length === 0) return url;
  return `${url}${url.includes("?") ? (query === "" ? "" : "&") : "?"}${more.join("&")}`;
}

/**
 * What a configuration check says of a URL, after the variable's name; null when it can be used.
 */
export function postgresUrlProblem(url: string): string | null {
  const allowed = "it must be a URL that begins with postgres:// or postgresql://";
  if (url === "") return `is not set; ${allowed}`;
  if (!/^postgres(?:ql)?:\/\//.test(url)) return `is "[masked]"; ${allowed}`;
  try {
    parsePostgresUrl(url);
    return null;
  } catch (error) {
    if (!(error instanceof PostgresUrlError)) throw error;
    return `is refused: ${error.message}`;
  }
}

/** Reads a URL. Throws PostgresUrlError, also when a file that it names cannot be read. */
export function parsePostgresUrl(url: string): PostgresTarget {
  const match = SHAPE.exec(url);
  if (match === null) {
    throw new PostgresUrlError(ENCODING);
  }
  const [, credentials = "", authority = "", path = "", query = ""] = match;
  // Before anything is repeated: what looks like a parameter may be the end of a password.
  if (authority.includes(",")) throw new PostgresUrlError(SEVERAL);
  if (HOST.exec(authority) === null) {
    throw new PostgresUrlError(`an IPv6 address stands in brackets: [::1]; ${ENCODING}`);
  }
  if (/[@/]/.test(path)) throw new PostgresUrlError(ENCODING);
  const given = readParameters(query);
  const colon = credentials.indexOf(":");
  const named = colon < 0 ? credentials : credentials.slice(0, colon);
  const secret = colon < 0 ? "" : credentials.slice(colon + 1);
  const { host, port } = readHost(authority, given);
  const user = decoded(named, "user") || given.get("user") || ownName();
  return {
    host,
    port,
    user,
    password: decoded(secret, "password") || (given.get("password") ?? ""),
    database: decoded(path, "database") || (given.get("dbname") ?? user),
    tls: readTls(given, host),
    applicationName: given.get("application_name") ?? null,
    connectTimeoutMs: given.has("connect_timeout")
      ? Number(given.get("connect_timeout")) * 1e3
      : null,
    ...readPooling(given),
  };
}

/** As psql: without a name it is the one that this process runs under. */
function ownName(): string {
  try {
    return userInfo().username;
  } catch {
    throw new PostgresUrlError("it names no user, and this process has none: postgres://user@...");
  }
}

/** The URL for a log: without what is secret in it. */
export function maskedPostgresUrl(url: string): string {
  // What cannot be read may hold a secret anywhere.
  if (postgresUrlProblem(url) !== null) return "[masked]";
  return url
    .replace(/(:\/\/[^/?#]*?):[^/?#]*@/, "$1:masked@")
    .replace(/([?&]password=)[^&#]*/g, "$1masked");
}

function readParameters(query: string): ReadonlyMap<string, string> {
  const given = new Map<string, string>();
  for (const [name, value] of new URLSearchParams(query)) {
    // Others' spellings of a name are theirs to mend; a value may be secret and is not repeated.
    const check = Object.hasOwn(PARAMETERS, name) ? PARAMETERS[name] : undefined;
    if (check === undefined) {
      if (/[^\w.-]/.test(name)) throw new PostgresUrlError(ENCODING);
      const hint = Object.hasOwn(HINTS, name) ? ` (${HINTS[name]})` : "";
      const known = Object.keys(PARAMETERS).join(", ");
      throw new PostgresUrlError(`?${name.slice(0, 40)}= is not taken${hint}; taken are ${known}`);
    }
    if (given.has(name)) throw new PostgresUrlError(`?${name}= stands there twice`);
    const problem = check(value);
    if (problem !== null) throw new PostgresUrlError(`?${name}= ${problem}`);
    given.set(name, value);
  }
  return given;
}

function readHost(
  authority: string,
  given: ReadonlyMap<string, string>,
): { readonly host: string; readonly port: number } {
  if ((given.get("host") ?? "").includes(",")) throw new PostgresUrlError(SEVERAL);
  const [, bracketed, plain = "", digits = ""] = HOST.exec(authority) ?? [];
  if (digits !== "" && !isPort(digits)) throw new PostgresUrlError("its port must be 1 to 65535");
  const host = bracketed ?? decoded(plain, "host");
  const port = digits === "" ? (given.get("port") ?? DEFAULT_PORT) : digits;
  return { host: host === "" ? given.get("host") || "localhost" : host, port: Number(port) };
}

const isPort = (text: string): boolean =>
  /^\d{1,5}$/.test(text) && Number(text) >= 1 && Number(text) <= 65_535;

function decoded(text: string, what: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    throw new PostgresUrlError(`its ${what} has a % that begins no code; a % is written %25`);
  }
}

/**
 * As libpq: `require` verifies the chain where a root is named, and the system's roots are for
 * verify-full alone.
 */
function readTls(given: ReadonlyMap<string, string>, host: string): PostgresTls {
  const mode =
    given.get("sslmode") ?? { true: "require", false: "disable" }[given.get("ssl") ?? ""];
  const root = given.get("sslrootcert");
  if (
    (given.has("sslcert") && !given.has("sslkey")) ||
    (given.has("sslkey") && !given.has("sslcert"))
  ) {
    throw new PostgresUrlError("?sslcert= and ?sslkey= are given together or not at all");
  }
  if (given.has("ssl") && given.has("sslmode")) {
    throw new PostgresUrlError("?ssl= and ?sslmode= say the same; give one of them");
  }
  if (root === "system" && mode !== undefined && mode !== "verify-full") {
    throw new PostgresUrlError("?sslrootcert=system goes with sslmode=verify-full");
  }
  const wanted = root === "system" ? "verify-full" : (mode ?? "prefer");
  const none = { ca: null, cert: null, key: null };
  if (wanted === "disable" || host.startsWith("/")) {
    return { mode: "off", verifies: "nothing", ...none };
  }
  const isOn = !["prefer", "allow"].includes(wanted);
  const verifies =
    wanted === "verify-full"
      ? "chain and name"
      : wanted === "verify-ca" || (wanted === "require" && root !== undefined)
        ? "chain"
        : "nothing";
  return {
    mode: isOn ? "on" : "prefer",
    verifies,
    // Without a file Node's own roots count, to which NODE_EXTRA_CA_CERTS adds.
    ca: root === undefined || root === "system" ? null : readFile(root, "sslrootcert"),
    cert: given.has("sslcert") ? readFile(given.get("sslcert") ?? "", "sslcert") : null,
    key: given.has("sslkey") ? readFile(given.get("sslkey") ?? "", "sslkey") : null,
  };
}

function readFile(path: string, parameter: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    throw new PostgresUrlError(`?${parameter}= names a file that cannot be read (${code ?? "?"})`);
  }
}

function readPooling(
  given: ReadonlyMap<string, string>,
): Pick<PostgresTarget, "schema" | "isPooledByTransaction"> {
  const schema = given.get("schema") ?? null;
  const isPooledByTransaction = given.get("pgbouncer") === "true";
  if (isPooledByTransaction && schema !== null && schema !== "public") {
    throw new PostgresUrlError(
      "?schema= needs a session of its own, which ?pgbouncer=true has not; set the role's search_path",
    );
  }
  return { schema: schema === "public" ? null : schema, isPooledByTransaction };
}
