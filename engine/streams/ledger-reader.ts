/**
 * Reads what the ledger has about one delivery, for the gateway's "why". It reads from the stream
 * with a consumer of its own that lives for one call; bounded in entries and in time.
 */
import { jetstream, jetstreamManager } from "@nats-io/jetstream";
import type { JsMsg } from "@nats-io/jetstream";
import type { NatsConnection } from "@nats-io/transport-node";
import { DispatchError } from "../../proto/errors.ts";
import type { DeliveryId } from "../../proto/ids.ts";
import { streamName, subjectsFor } from "../../proto/subjects.ts";
import type { LedgerEntry } from "../../proto/views.ts";

/** Entries given at most, the oldest first. */
export const LEDGER_READ_MAX = 1_000;
const READ_DEADLINE_MS = 2_000;
/** The consumer goes by itself if we die. */
const INACTIVE_NANOS = 5_000_000_000;

/**
 * The ledger of a delivery in the order of writing; empty when nothing is known. Rejects with
 * DispatchError `unavailable` when the stream does not answer in time.
 */
export async function readLedger(
  nc: NatsConnection,
  prefix: string,
  delivery: DeliveryId,
): Promise<readonly LedgerEntry[]> {
  try {
    const entries: LedgerEntry[] = [];
    for (const data of await messagesOf(nc, prefix, delivery)) entries.push(...parse(data));
    return entries.slice(0, LEDGER_READ_MAX);
  } catch (cause) {
    throw new DispatchError("unavailable", "The ledger does not answer.", { cause });
  }
}

async function messagesOf(
  nc: NatsConnection,
  prefix: string,
  delivery: DeliveryId,
): Promise<Uint8Array[]> {
  const stream = streamName(prefix, "LEDGER");
  const api = await jetstreamManager(nc, { checkAPI: false, timeout: READ_DEADLINE_MS });
  const info = await api.consumers.add(stream, {
    filter_subject: subjectsFor(prefix).ledger(delivery),
    inactive_threshold: INACTIVE_NANOS,
    mem_storage: true,
    num_replicas: 1,
  });
  try {
    const count = Math.min(info.num_pending, LEDGER_READ_MAX);
    if (count === 0) return [];
    const consumer = jetstream(nc).consumers.getConsumerFromInfo(info);
    const batch = await consumer.fetch({ max_messages: count, expires: READ_DEADLINE_MS });
    const messages: Uint8Array[] = [];
    for await (const message of batch as AsyncIterable<JsMsg>) {
      messages.push(message.data);
      if (messages.length >= count) break;
    }
    if (messages.length < count) throw new Error(`${messages.length} of ${count} messages came`);
    return messages;
  } finally {
    await api.consumers.delete(stream, info.name);
  }
}

/**
 * What is not ours, or from a newer version of us, is passed over: an explanation less, not an
 * error.
 */
function parse(data: Uint8Array): readonly LedgerEntry[] {
  try {
    const value: unknown = JSON.parse(Buffer.from(data).toString());
    return Array.isArray(value) ? value.filter(isEntry) : [];
  } catch {
    return [];
  }
}

const isEntry = (value: unknown): value is LedgerEntry =>
  typeof value === "object" && value !== null && "at" in value && "type" in value;
