/**
 * The driver (porsager `postgres`) opened from a URL: the one place that hands it an address. The
 * driver reads URLs and the environment in its own way (an IPv6 address loses its brackets and its
 * port, unknown parameters go to the server, `PGSSL` and others count unseen); here it gets what
 * postgres-url.ts has read and nothing else.
 */
import postgres from "postgres";
import { POSTGRES_CONNECT_TIMEOUT_MS } from "../../../proto/limits.ts";
import { openSession } from "./session.ts";
import type { SessionSettings } from "./session.ts";
import { parsePostgresUrl } from "./url.ts";
import type { PostgresTarget } from "./url.ts";

type DriverOptions = postgres.Options<Record<string, postgres.PostgresType>>;

export type ConnectOptions = {
  readonly applicationName: string;
  /** Default: what the URL says, else POSTGRES_CONNECT_TIMEOUT_MS. */
  readonly connectTimeoutMs?: number;
  /** Set in each session before its first statement. */
  readonly settings?: SessionSettings;
  /** The driver's own, as it names them. */
  readonly driver?: Partial<DriverOptions> & { readonly max_pipeline?: number };
};

/** What every session of the store has, besides its statement timeout. */
export const SESSION_SETTINGS: SessionSettings = {
  // Short statements by index, thousands a second: compiling one costs more than it could save,
  // and a plan that was made while a table was empty must not go on reading the whole table
  // when it has grown.
  jit: "off",
  enable_seqscan: "off",
  // Planning one of our statements takes milliseconds, and no parameter's value would change
  // the plan.
  plan_cache_mode: "force_generic_plan",
};

/**
 * What the URL says that others must know, too: how long to wait, and whether anything may be kept
 * in a session.
 */
export const targetOf = (url: string): PostgresTarget => parsePostgresUrl(url);

/**
 * A pool of the driver. No connection is made before the first statement. Throws PostgresUrlError.
 */
export function connectPostgres(url: string, options: ConnectOptions): postgres.Sql {
  const target = parsePostgresUrl(url);
  const timeoutMs =
    options.connectTimeoutMs ?? target.connectTimeoutMs ?? POSTGRES_CONNECT_TIMEOUT_MS;
  const settings = settingsFor(target, options.settings ?? {});
  let isEnded = false;
  // The one variable of libpq that the driver cannot be kept from reading; the URL has checked its
  // own.
  delete process.env["PGTARGETSESSIONATTRS"];
  const sql = postgres({
    // Arrays: the driver would cut a text at its colons.
    host: [target.host],
    port: [target.port],
    user: target.user,
    // A function, because the driver takes an empty password for none and looks into the
    // environment.
    pass: () => target.password,
    database: target.database,
    ssl: false,
    debug: false,
    keep_alive: 60,
    onnotice: () => undefined,
    ...options.driver,
    // Named statements are the session's that prepared them; the next statement may meet another.
    ...(target.isPooledByTransaction ? { prepare: false } : {}),
    connect_timeout: timeoutMs / 1_000,
    socket: () => openSession(target, settings, timeoutMs, () => !isEnded),
    connection: {
      application_name: target.applicationName ?? options.applicationName,
      // Poolers know these and keep them for each client.
      TimeZone: "UTC",
      DateStyle: "ISO",
    },
  } as unknown as DriverOptions) as postgres.Sql;
  const end = sql.end.bind(sql);
  // A connection that is being made when the pool ends at once is not among those that the driver
  // ends.
  sql.end = async (how) => {
    if (how?.timeout === 0) isEnded = true;
    try {
      await end(how);
    } finally {
      isEnded = true;
    }
  };
  return sql;
}

function settingsFor(target: PostgresTarget, wanted: SessionSettings): SessionSettings {
  // Behind a pooler of transactions a setting would be somebody else's a moment later: the role
  // carries them.
  if (target.isPooledByTransaction) return {};
  return target.schema === null ? wanted : { ...wanted, search_path: target.schema };
}
