/**
 * The circuit's question to Postgres, on a connection of its own, so that whether it takes writes is asked behind nobody
 * else's statement. A server that only reads was perhaps reached by whoever connected meanwhile, and who only reads is
 * never told: then the sessions of all pools are replaced.
 */
import { openDatabase } from "../engine/io/postgres.ts";
import { isStale } from "../engine/io/verdict.ts";
import { probeLook, probeWrite } from "../engine/store/probe.ts";
import { PROBE_TIMEOUT_MS } from "../proto/limits.ts";
import type { ProbeKind } from "./circuit.ts";

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
  let isWritable = true;
  return {
    async ask(what) {
      try {
        await (what === "write" ? probeWrite(db, name) : probeLook(db));
        isWritable = true;
      } catch (error) {
        isWritable = false;
        if (isStale(error)) for (const pool of pools) pool.renew();
        throw error;
      }
    },
    isWritable: () => isWritable,
    close: () => db.close(),
  };
}
