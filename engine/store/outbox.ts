/**
 * The outbox: events that were committed with their change and are not yet published. The relay
 * reads, publishes with the row's id as message id, and deletes. A row may become visible after one
 * with a higher id (its transaction was slower), which is why rows are deleted one by one and no
 * position is kept. Of one delivery the ids rise with the numbers, since each change waits for the
 * one before it.
 */
import type { PrincipalId } from "../../proto/ids.ts";
import { textArray } from "../io/postgres/postgres.ts";
import { isTestDelivery } from "../../proto/test-mode.ts";
import type { Database } from "../io/postgres/postgres.ts";
import type { OutboxRow } from "./port.ts";
import { isoTime } from "./rows.ts";

const BATCH = `
select id, delivery_id, owner, number, type, status, reason, courier_id, external_id, at
from outbox order by id limit $1`;

const DONE = "delete from outbox where id = any($1::bigint[])";

type RawEvent = {
  readonly id: string;
  readonly delivery_id: string;
  readonly owner: string;
  readonly number: number;
  readonly type: string;
  readonly status: string;
  readonly reason: string | null;
  readonly courier_id: string | null;
  readonly external_id: string | null;
  readonly at: number;
};

/** The oldest events, in the order of their ids. */
export async function outboxBatch(db: Database, limit: number): Promise<readonly OutboxRow[]> {
  const rows = await db.query<RawEvent>(BATCH, [limit]);
  return rows.map(({ owner, at, ...event }) => ({
    owner: owner as PrincipalId,
    event: { ...event, at: isoTime(at), test: isTestDelivery(event.delivery_id) },
  }));
}

export async function outboxDone(db: Database, ids: readonly string[]): Promise<void> {
  if (ids.length > 0) await db.query(DONE, [textArray(ids)]);
}
