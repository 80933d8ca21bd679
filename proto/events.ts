/**
 * What partners and customers may see of a delivery, one numbered fact after the other: the JSON on the EVENTS stream.
 * It is written by the statement that commits the fact, and never changed afterwards.
 */

/** A committed, numbered fact about a delivery, as partners and customers may see it (JSON on EVENTS). */
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
};
