// Asks a running cluster how it is: admin listeners, metrics, and the table of owners in Postgres.
// Never rejects: who does not answer is shown as not answering.

import postgres from "postgres";
import { parseMetrics } from "../replay/system.ts";
import type { Cluster } from "./cluster.ts";
import type { Member } from "./member.ts";
import type { ClusterFacts, OwnerFacts, ProcessFacts } from "./table.ts";

const ANSWER_MS = 800;

const RECONNECT_S = 0.25;

export class FactFinder {
  readonly #cluster: Cluster;
  readonly #sql: postgres.Sql;
  readonly #shards: number;

  constructor(cluster: Cluster, postgresUrl: string, shards: number) {
    this.#cluster = cluster;
    this.#shards = shards;
    // The driver waits up to 20 s before it connects again; who looks on wants to see it at once.
    const quick = { connect_timeout: 1, backoff: () => RECONNECT_S };
    this.#sql = postgres(postgresUrl, { max: 1, ...quick, onnotice: () => undefined });
  }

  async find(): Promise<ClusterFacts> {
    const [owners, ...processes] = await Promise.all([
      this.owners().catch(() => null),
      ...this.#cluster.members().map((member) => this.#process(member)),
    ]);
    return { processes, owners, shards: this.#shards };
  }

  /** Who owns what by Postgres. Rejects when it does not answer in time. */
  async owners(): Promise<OwnerFacts[]> {
    const query = this.#sql<OwnerFacts[]>`
      select shard::int, epoch::int, node from shards order by shard`;
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(() => {
        query.cancel();
        reject(new Error("Postgres does not answer"));
      }, ANSWER_MS);
    });
    try {
      return [...(await Promise.race([query, late]))];
    } finally {
      clearTimeout(timer);
    }
  }

  async #process(member: Member): Promise<ProcessFacts> {
    const { name, kind, state, pid, ports, id, ended, adminUrl } = member;
    const asks = adminUrl !== null && state === "up";
    const [ready, metrics] = asks
      ? await Promise.all([ask(`${adminUrl}/readyz`), ask(`${adminUrl}/metrics`)])
      : [null, null];
    const values = parseMetrics(metrics?.ok === true ? metrics.text : "");
    const valueOf = (metric: string): number | null => {
      for (const [key, value] of values) if (key.split("{")[0] === metric) return value;
      return null;
    };
    return {
      name,
      kind,
      state,
      pid,
      ports,
      id,
      ended,
      isReady: ready === null ? null : ready.ok,
      shardsOwned: valueOf("hexdispatch_shards_owned"),
      connections: valueOf("hexdispatch_ws_connections"),
      isPartitioned: this.#cluster.isPartitioned(name),
    };
  }

  close(): Promise<void> {
    return this.#sql.end({ timeout: 1 });
  }
}

async function ask(url: string): Promise<{ ok: boolean; text: string } | null> {
  try {
    const answer = await fetch(url, { signal: AbortSignal.timeout(ANSWER_MS) });
    return { ok: answer.ok, text: await answer.text() };
  } catch {
    return null; // Down, paused or cut off.
  }
}
