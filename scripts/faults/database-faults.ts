// What a database administrator, a failover or a full machine does to Postgres while everybody
// works: each takes a few seconds and is undone. The processes log in under a role of their own, so
// that it can be refused, limited or left without its grants; who looks on is somebody else.

import { setTimeout as sleep } from "node:timers/promises";
import type postgres from "postgres";
import { APP_ROLE } from "../cluster/database.ts";
import { connectOnce } from "../services/postgres.ts";
import type { FaultName } from "./plan.ts";

const LOGIN_MS = 4_000;
const AWAY_MS = 5_000;
const SLOW_MS = 8_000;
const LOCK_MS = 4_000;
const KICK_EVERY_MS = 250;
/** The most that Postgres waits before a commit. */
const COMMIT_DELAY_US = 100_000;

export type DatabaseFault = {
  readonly victim: string;
  readonly run: (sql: postgres.Sql) => Promise<void>;
};

/** A session that outlives the fault: it was there before. */
export async function withAdmin(url: string, run: DatabaseFault["run"]): Promise<void> {
  const sql = connectOnce(url);
  try {
    await run(sql);
  } finally {
    await sql.end({ timeout: 1 });
  }
}

/** Ends the sessions of all our processes. */
const endSessions = async (sql: postgres.Sql): Promise<void> => {
  await sql`select pg_terminate_backend(pid) from pg_stat_activity where usename = ${APP_ROLE}`;
};

/** Does, waits, and undoes whatever happens. */
async function forAWhile(
  sql: postgres.Sql,
  { ms, on, off, kicks = false }: { ms: number; on: string[]; off: string[]; kicks?: boolean },
): Promise<void> {
  try {
    for (const statement of on) await sql.unsafe(statement);
    if (kicks) await endSessions(sql);
    await sleep(ms);
  } finally {
    for (const statement of off) await sql.unsafe(statement);
  }
}

const ROLE = `alter role ${APP_ROLE}`;
const RELOAD = "select pg_reload_conf()";

/** The password was changed; it is what it was again after a while. */
const refusedLogins = (password: string): DatabaseFault => ({
  victim: "logins of our processes",
  run: (sql) =>
    forAWhile(sql, {
      ms: LOGIN_MS,
      on: [`${ROLE} password 'rotated'`],
      off: [`${ROLE} password '${password}'`],
      kicks: true,
    }),
});

/**
 * In turn: all are read-only for a while; or new sessions are, and stay so when the fault is over.
 */
const readOnly = (turn: number): DatabaseFault =>
  turn % 2 === 0
    ? {
        victim: "sessions of a while, read-only for good",
        run: (sql) =>
          forAWhile(sql, {
            ms: AWAY_MS,
            on: [`${ROLE} set default_transaction_read_only = on`],
            off: [`${ROLE} reset default_transaction_read_only`],
            kicks: true,
          }),
      }
    : {
        victim: "the server, read-only for a while",
        run: (sql) =>
          forAWhile(sql, {
            ms: AWAY_MS,
            on: ["alter system set default_transaction_read_only = on", RELOAD],
            off: ["alter system reset default_transaction_read_only", RELOAD],
          }),
      };

/** One session may be there, for all processes together. */
const connectionLimit = (): DatabaseFault => ({
  victim: "all connections but one",
  run: (sql) =>
    forAWhile(sql, {
      ms: AWAY_MS,
      on: [`${ROLE} connection limit 1`],
      off: [`${ROLE} connection limit -1`],
      kicks: true,
    }),
});

/** In turn: what our role may not do for a while, and a table that is not there. */
function missingGrant(turn: number): DatabaseFault {
  const cases = [
    ["all on all tables in schema public", null],
    ["insert on deliveries", null],
    ["insert on outbox", null],
    ["update on couriers", null],
    ["the table deliveries", "alter table deliveries rename to"],
  ] as const;
  const [what, rename] = cases[turn % cases.length] as (typeof cases)[number];
  const [on, off] =
    rename === null
      ? [`revoke ${what} from ${APP_ROLE}`, `grant ${what} to ${APP_ROLE}`]
      : [`${rename} deliveries_away`, "alter table deliveries_away rename to deliveries"];
  return {
    victim: `without ${what}`,
    run: (sql) => forAWhile(sql, { ms: AWAY_MS, on: [on], off: [off] }),
  };
}

/** Sessions are ended by an administrator again and again. */
const endedSessions = (): DatabaseFault => ({
  victim: "sessions of our processes",
  run: async (sql) => {
    for (const until = performance.now() + AWAY_MS; performance.now() < until;) {
      await endSessions(sql);
      await sleep(KICK_EVERY_MS);
    }
  },
});

/** Every commit takes a tenth of a second longer, as on a slow disk. */
const slowCommits = (): DatabaseFault => ({
  victim: "commits, each 100 ms late",
  run: (sql) =>
    forAWhile(sql, {
      ms: SLOW_MS,
      on: [
        `alter system set commit_delay = ${COMMIT_DELAY_US}`,
        "alter system set commit_siblings = 0",
        RELOAD,
      ],
      off: ["alter system reset commit_delay", "alter system reset commit_siblings", RELOAD],
    }),
});

/** In turn: another session holds one courier, or the table of deliveries. */
const locked = (turn: number): DatabaseFault => ({
  victim: turn % 2 === 0 ? "the row of one courier" : "the table deliveries",
  run: (sql) =>
    sql.begin(async (tx) => {
      if (turn % 2 === 1) await tx`lock table deliveries in access exclusive mode`;
      else await tx`select 1 from couriers where load > 0 order by random() limit 1 for update`;
      await sleep(LOCK_MS);
    }) as Promise<unknown> as Promise<void>,
});

/** By the name of the fault. */
export const ON_DATABASE = {
  "postgres-login": (_, password) => refusedLogins(password),
  "postgres-readonly": readOnly,
  "postgres-limit": connectionLimit,
  "postgres-grants": missingGrant,
  "postgres-ended": endedSessions,
  "postgres-locked": locked,
  "postgres-slow": slowCommits,
} as const satisfies Partial<Record<FaultName, (turn: number, password: string) => DatabaseFault>>;

export const isOnDatabase = (fault: FaultName): fault is keyof typeof ON_DATABASE =>
  fault in ON_DATABASE;
