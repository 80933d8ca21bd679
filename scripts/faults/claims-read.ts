// Reads what `claims.ts` compares, straight from Postgres, and waits a while for what is on its way
// there: a create that was answered 202 lies in the intake until the database takes it.

import { setTimeout as sleep } from "node:timers/promises";
import { connectOnce } from "../services/postgres.ts";
import { claimsIn, compareClaims } from "./claims.ts";
import type { Mismatch, Rows, Stored } from "./claims.ts";
import { nowMs } from "./history.ts";
import type { Request } from "./history.ts";

/** From the end of a fault until all that was taken in meanwhile is in its row. */
const SETTLED_DEADLINE_MS = 45_000;
const LOOK_MS = 500;
const ANSWER_TIMEOUT_S = 5;
const IDS_AT_ONCE = 5_000;

export type Compared = { readonly claims: number; readonly mismatches: readonly Mismatch[] };

export type ClaimSources = {
  readonly postgresUrl: string;
  readonly wasReplaced: (delivery: string) => boolean;
  /** How long what is missing may be on its way; default: as long as an intake takes to empty. */
  readonly deadlineMs?: number;
};

/**
 * Compares the claims among the requests from `from` on, again and again until all is as it was
 * answered or the deadline. Rejects when Postgres does not answer by then.
 */
export async function checkClaims(
  { postgresUrl, wasReplaced, deadlineMs = SETTLED_DEADLINE_MS }: ClaimSources,
  requests: readonly Request[],
  from: number,
): Promise<Compared> {
  // What is answered while we look is left to the next time.
  const all = requests.slice();
  const claims = claimsIn(all.slice(from));
  const ids = [...new Set(claims.map(({ delivery }) => delivery))];
  const owners = [...new Set(all.flatMap(({ verb, who }) => (verb === "create" ? [who] : [])))];
  for (const until = nowMs() + deadlineMs; ;) {
    try {
      const rows = await readRows(postgresUrl, ids, owners);
      const mismatches = compareClaims(claims, rows, requests.slice(), wasReplaced);
      if (mismatches.length === 0 || nowMs() > until) return { claims: claims.length, mismatches };
    } catch (error) {
      if (nowMs() > until) throw error;
    }
    // Polling: nobody tells outsiders that the intake is empty.
    await sleep(LOOK_MS);
  }
}

async function readRows(
  url: string,
  ids: readonly string[],
  owners: readonly string[],
): Promise<Rows> {
  const sql = connectOnce(url, ANSWER_TIMEOUT_S);
  try {
    const byId = new Map<string, Stored>();
    for (let at = 0; at < ids.length; at += IDS_AT_ONCE) {
      const part = ids.slice(at, at + IDS_AT_ONCE);
      const rows = await sql<Stored[]>`
        select id, owner, external_id as "externalId", status, courier_id as courier, size,
          pickup_lng as "pickupLng", pickup_lat as "pickupLat",
          dropoff_lng as "dropoffLng", dropoff_lat as "dropoffLat",
          case when status = 'pending' or replacing then
            (select coalesce(array_agg(o ->> 'courier'), '{}') from jsonb_array_elements(offers) o
              where (o ->> 'until')::float8 > extract(epoch from clock_timestamp()) * 1000)
          else '{}'::text[] end as offered
        from deliveries where id = any(${part})`;
      for (const row of rows) byId.set(row.id, row);
    }
    const counts = await sql<{ owner: string; n: number }[]>`
      select owner, count(*)::int as n from deliveries where owner = any(${owners}) group by owner`;
    const shared = await sql<{ owner: string; externalId: string }[]>`
      select owner, external_id as "externalId" from deliveries
      where owner = any(${owners}) and external_id is not null
      group by owner, external_id having count(*) > 1 limit 20`;
    return { byId, countOf: new Map(counts.map(({ owner, n }) => [owner, n])), shared };
  } finally {
    await sql.end({ timeout: 1 });
  }
}
