/**
 * The circuit's question to Postgres, on a connection of its own, so that whether it takes writes
 * is asked behind nobody else's statement. A server that only reads was perhaps reached by whoever
 * connected meanwhile, and who only reads is never told: then the sessions of all pools are
 * replaced.
 */
import { systemClock } from "../../engine/io/clock.ts";
import { openDatabase } from "../../engine/io/postgres/postgres.ts";
import { isStale } from "../../engine/io/postgres/verdict.ts";
import { probeLook, probeWrite } from "../../engine/store/probe.ts";
import { PROBE_TIMEOUT_MS, PROBE_WRITE_TIMEOUT_MS } from "../../proto/limits.ts";
import type { ProbeKind } from "./postgres-circuit.ts";

/** Of the circuit's own deadline, what is left after the look. */
const COMMIT_WAIT_MS = PROBE_TIMEOUT_MS / 2;

export type Probe = {
  /** Rejects when the database takes no writes. */
  readonly ask: (what: ProbeKind) => Promise<void>;
  /** What the last answer was; true before the first. */
  readonly isWritable: () => boolean;
  readonly close: () => Promise<void>;
};

/** `name`: of this process, under which it has its row. `pools`: those that serve the doors. */
export function openProbe(
  url: string,
  name: string,
  pools: readonly { readonly renew: () => void }[],
): Probe {
  const db = openDatabase({
    url,
    applicationName: `${name} probe`,
    connections: 1,
    statementTimeoutMs: PROBE_TIMEOUT_MS,
    connectTimeoutMs: PROBE_TIMEOUT_MS,
  });
  const writing = openDatabase({
    url,
    applicationName: `${name} probe`,
    connections: 1,
    statementTimeoutMs: PROBE_WRITE_TIMEOUT_MS,
    connectTimeoutMs: PROBE_WRITE_TIMEOUT_MS,
  });
  let isWritable = true;
  let failure: Error | null = null;
  let underWay: Promise<void> | null = null;
  const write = (): Promise<void> =>
    (underWay ??= probeWrite(writing, name)
      .then(
        () => void (failure = null),
        (error: unknown) => void (failure = asError(error)),
      )
      .finally(() => (underWay = null)));
  /**
   * A disk that is busy for a second is no outage: while writes were taken, this one is not waited
   * for to its end.
   */
  const commits = async (): Promise<void> => {
    const ended = write();
    const soon = new Promise<void>((resolve) => void systemClock.after(COMMIT_WAIT_MS, resolve));
    await (isWritable ? Promise.race([ended, soon]) : ended);
    if (failure !== null) throw failure;
  };
  return {
    async ask(what) {
      try {
        await probeLook(db);
        if (what === "write") await commits();
        else if (failure !== null) throw failure;
        isWritable = true;
      } catch (error) {
        isWritable = false;
        if (isStale(error)) for (const pool of pools) pool.renew();
        throw error;
      }
    },
    isWritable: () => isWritable,
    close: async () => void (await Promise.all([db.close(), writing.close()])),
  };
}

const asError = (error: unknown): Error =>
  error instanceof Error ? error : new Error("the probe failed", { cause: error });
