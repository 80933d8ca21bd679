/**
 * Looks once whether what stands behind the URL keeps sessions: a pooler in transaction mode lends
 * each statement another one, so that our settings would be a stranger's and our prepared
 * statements gone. Found at the start and said in one line; with `?pgbouncer=true` nothing is kept
 * in a session, and the role must bring the settings itself.
 *
 * Two connections that are open at the same time and show the same backend, or one that shows
 * another backend while the second one is in a transaction, have no backend of their own: that is
 * proof, whatever the pooler is called.
 */
import type postgres from "postgres";
import { POSTGRES_LOCK_TIMEOUT_MS, POSTGRES_STATEMENT_TIMEOUT_MS } from "../../../proto/limits.ts";
import { repeat, systemClock } from "../clock.ts";
import { SESSION_SETTINGS, connectPostgres, targetOf } from "./driver.ts";

/** It cannot be used as it is; the message is one line, and says what to do. */
export class PoolingError extends Error {
  override readonly name = "PoolingError";
}

const RETRY_MS = 1_000;
const BACKEND_SQL = `
  select pg_catalog.pg_backend_pid() || ' ' || coalesce((
    select backend_start::text from pg_catalog.pg_stat_activity
    where pid = pg_catalog.pg_backend_pid()), '') as backend`;

/**
 * Rejects with PoolingError, or with an error that says where and why where the question could not
 * be asked.
 */
export async function checkSessions(url: string): Promise<void> {
  const { host, port, isPooledByTransaction } = targetOf(url);
  try {
    if (isPooledByTransaction) await checkRole(url);
    else await checkTwoSessions(url);
  } catch (error) {
    if (error instanceof PoolingError) throw error;
    // Which part, where, and the driver's own words: this is the line of a start that fails.
    const { message, code } = error as NodeJS.ErrnoException;
    const told = new Error(`Postgres at ${host}:${port}: ${message}`, { cause: error });
    throw Object.assign(told, code === undefined ? {} : { code });
  }
}

/** Asks until there is an answer; `onWrong` hears of a PoolingError. Returns its end. */
export function watchSessions(
  url: string,
  onWrong: (error: PoolingError) => void,
): () => Promise<void> {
  let isDone = false;
  return repeat(systemClock, RETRY_MS, async () => {
    if (isDone) return;
    try {
      await checkSessions(url);
      isDone = true;
    } catch (error) {
      // Away: everything else says so, and this is asked again.
      if (!(error instanceof PoolingError)) return;
      isDone = true;
      onWrong(error);
    }
  });
}

async function checkTwoSessions(url: string): Promise<void> {
  let hasReconnected = false;
  const open = (): postgres.Sql =>
    connectPostgres(url, {
      applicationName: "hexdispatch start",
      driver: {
        max: 1,
        prepare: false,
        fetch_types: false,
        onclose: () => (hasReconnected = true),
      },
    });
  const backendOf = async (sql: postgres.Sql): Promise<string> => {
    const [row] = await sql.unsafe<{ backend: string }[]>(BACKEND_SQL);
    return row?.backend ?? "";
  };
  const [one, other] = [open(), open()];
  let isShared: boolean;
  try {
    const first = await backendOf(one);
    isShared = first === (await backendOf(other));
    if (!isShared) {
      await other.unsafe("begin");
      await other.unsafe("select 1");
      isShared = first !== (await backendOf(one)) && !hasReconnected;
      await other.unsafe("rollback");
    }
  } finally {
    await Promise.all([one.end({ timeout: 1 }), other.end({ timeout: 1 })]);
  }
  if (!isShared) return;
  throw new PoolingError(
    "the pooler in front of Postgres keeps no sessions: set pool_mode = session, or add " +
      "?pgbouncer=true to HEXDISPATCH_POSTGRES_URL and give the role its settings (docs/in-front.md)",
  );
}

async function checkRole(url: string): Promise<void> {
  const sql = connectPostgres(url, {
    applicationName: "hexdispatch start",
    driver: { max: 1, fetch_types: false },
  });
  const timeouts = {
    statement_timeout: POSTGRES_STATEMENT_TIMEOUT_MS,
    lock_timeout: POSTGRES_LOCK_TIMEOUT_MS,
  };
  try {
    const lacking: string[] = [];
    // Milliseconds are what pg_settings counts these two in.
    for (const [name, value] of Object.entries({ ...timeouts, ...SESSION_SETTINGS })) {
      const [row] = await sql<{ isSo: boolean }[]>`
        select setting = ${String(value)} as "isSo"
        from pg_catalog.pg_settings where name = ${name}`;
      if (row?.isSo !== true) lacking.push(`set ${name} = '${value}'`);
    }
    if (lacking.length === 0) return;
    const role = targetOf(url).user.replaceAll('"', '""');
    throw new PoolingError(
      `behind a pooler of transactions the role must bring what a session would have: ` +
        lacking.map((one) => `alter role "${role}" ${one}`).join("; "),
    );
  } finally {
    await sql.end({ timeout: 1 });
  }
}
