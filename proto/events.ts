/**
 * What partners and customers may see of a delivery, one numbered fact after the other: the JSON on
 * the EVENTS stream. It is written by the statement that commits the fact, and never changed
 * afterwards.
 */

import { EVENT_TYPES } from "./status.ts";

/**
 * A committed, numbered fact about a delivery, as partners and customers may see it (JSON on
 * EVENTS).
 */
export type DeliveryEvent = {
  /** Outbox id; the message id on the stream. */
  readonly id: string;
  readonly delivery_id: string;
  /** 1, 2, 3 ... without a gap (D5); equals the delivery's version after it. */
  readonly number: number;
  readonly type: string;
  readonly status: string;
  readonly reason: string | null;
  readonly courier_id: string | null;
  readonly external_id: string | null;
  /** RFC 3339, the server's own time of the commit's statement. */
  readonly at: string;
  /** Of a test: nobody carries anything (`proto/test-mode.ts`). */
  readonly test: boolean;
};

/**
 * The name of an event wherever repeats are dropped: a delivery never has two of one number (D5).
 */
export const eventKey = (event: Pick<DeliveryEvent, "delivery_id" | "number">): string =>
  `${event.delivery_id}_${event.number}`;

/** CloudEvents' name of a kind of event. */
export const cloudEventType = (type: string): string => `hexdispatch.delivery.${type}`;
export const CLOUD_EVENT_TYPES = EVENT_TYPES.map(cloudEventType);

/**
 * The headers of an event: CloudEvents 1.0 in binary mode. `ce-id` and `ce-source` together name it
 * for ever. All values are plain ASCII without spaces, so that none needs escaping.
 */
export const cloudEventHeaders = (
  event: DeliveryEvent,
  source: string,
): Readonly<Record<string, string>> => ({
  "ce-specversion": "1.0",
  "ce-id": eventKey(event),
  "ce-source": source,
  "ce-type": cloudEventType(event.type),
  "ce-subject": event.delivery_id,
  "ce-time": event.at,
  "ce-sequence": String(event.number),
  ...(event.test ? { "ce-test": "true" } : {}),
  "content-type": "application/json",
});

/** An event out of a message of the stream; null when it is none. */
export function decodeEvent(data: Uint8Array): DeliveryEvent | null {
  try {
    const value = JSON.parse(new TextDecoder().decode(data)) as Partial<DeliveryEvent> | null;
    const isEvent =
      typeof value?.delivery_id === "string" &&
      Number.isInteger(value.number) &&
      typeof value.type === "string";
    return isEvent ? (value as DeliveryEvent) : null;
  } catch {
    return null;
  }
}
