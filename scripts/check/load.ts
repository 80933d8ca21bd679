/**
 * Reads what `rules.ts` judges: rows from Postgres in one snapshot, events from the EVENTS stream
 * once the outbox is empty. Reads only. It looks past the doors on purpose: a door could hide what
 * is wrong behind it.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { jetstream, jetstreamManager } from "@nats-io/jetstream";
import { connect } from "@nats-io/transport-node";
import { connectOptions } from "../../engine/io/nats/connect.ts";
import type postgres from "postgres";
import { connectPostgres } from "../../engine/io/postgres/driver.ts";
import type { DeliveryEvent } from "../../proto/events.ts";
import type { Status } from "../../proto/status.ts";
import { streamName } from "../../proto/subjects.ts";
import type { AcknowledgedFacts, CourierFacts, DeliveryFacts, EventFacts, Facts } from "./rules.ts";

export type Sources = {
  readonly postgresUrl: string;
  /** One address or several, separated by commas. */
  readonly natsUrl: string;
  /** A file with a key; null where the server asks for none. */
  readonly natsCredentials: string | null;
  readonly natsPrefix: string;
};

/**
 * How long committed events may take to be published, here: after whatever was killed has come
 * back.
 */
const OUTBOX_WAIT_MS = 60_000;
const EVENTS_MAX = 5_000_000;

/** Throws when the outbox does not empty in time, or a source is away. */
export async function loadFacts(sources: Sources, acknowledged: AcknowledgedFacts): Promise<Facts> {
  const sql = connectPostgres(sources.postgresUrl, {
    applicationName: "hexdispatch check",
    driver: { max: 2 },
  });
  try {
    await untilOutboxIsEmpty(sql);
    const { deliveries, couriers } = await readRows(sql);
    const { events, since } = await readEvents(sources);
    return { deliveries, couriers, events, acknowledged, eventsSince: since };
  } finally {
    await sql.end({ timeout: 5 });
  }
}

async function untilOutboxIsEmpty(sql: postgres.Sql): Promise<void> {
  const until = Date.now() + OUTBOX_WAIT_MS;
  for (;;) {
    const [row] = await sql<{ n: number }[]>`select count(*)::int as n from outbox`;
    if (row?.n === 0) return;
    if (Date.now() > until) {
      throw new Error(`${row?.n} events wait in the outbox and are not published`);
    }
    // Polling: the relay tells nobody outside that it is done.
    await sleep(250);
  }
}

type Row = {
  id: string;
  version: number;
  status: Status;
  status_reason: string | null;
  courier_id: string | null;
  ended_at: Date | null;
};

async function readRows(sql: postgres.Sql): Promise<{
  deliveries: Map<string, DeliveryFacts>;
  couriers: Map<string, CourierFacts>;
}> {
  return sql.begin("isolation level repeatable read read only", async (tx) => {
    const rows = await tx<Row[]>`
      select id, version, status, courier_id, ended_at,
        -- Created just now: the first round, or the sweep, has had no time to say why it waits.
        case when status = 'pending' and created_at > now() - interval '5 seconds'
          then 'searching' else status_reason end as status_reason
      from deliveries`;
    const deliveries = rows.map((row): [string, DeliveryFacts] => [
      row.id,
      {
        id: row.id,
        version: row.version,
        status: row.status,
        statusReason: row.status_reason,
        courier: row.courier_id,
        endedAt: row.ended_at?.getTime() ?? null,
      },
    ]);
    const riders = await tx<CourierFacts[]>`select id, capacity, load from couriers`;
    const couriers = riders.map((row): [string, CourierFacts] => [row.id, { ...row }]);
    return { deliveries: new Map(deliveries), couriers: new Map(couriers) };
  });
}

/**
 * All events of the stream by delivery. `since`: the time of the oldest one kept, null when none
 * was ever dropped.
 */
async function readEvents(
  sources: Sources,
): Promise<{ events: Map<string, EventFacts[]>; since: number | null }> {
  const connection = await connect({
    ...connectOptions(sources.natsUrl, sources.natsCredentials),
  });
  const events = new Map<string, EventFacts[]>();
  try {
    const name = streamName(sources.natsPrefix, "EVENTS");
    const { state } = await (await jetstreamManager(connection)).streams.info(name);
    if (state.messages > EVENTS_MAX)
      throw new Error(`${state.messages} events are too many to read`);
    let left = state.messages;
    let oldest: number | null = null;
    if (left === 0) return { events, since: null };
    const consumer = await jetstream(connection).consumers.get(name, {});
    const messages = await consumer.consume({ max_messages: 1_000 });
    for await (const message of messages) {
      const event = message.json<DeliveryEvent>();
      const at = Date.parse(event.at);
      oldest ??= at;
      const list = events.get(event.delivery_id) ?? [];
      events.set(event.delivery_id, list);
      const { number, type, status, reason } = event;
      const facts = { delivery: event.delivery_id, number, type, status, reason, at };
      list.push({ ...facts, courier: event.courier_id });
      if (--left === 0) break;
    }
    return { events, since: state.first_seq > 1 ? oldest : null };
  } finally {
    await connection.close();
  }
}
