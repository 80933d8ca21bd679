/**
 * Durable consumers of JetStream, whose place in a stream outlives every process and every release.
 * The server refuses to "create" one that is there with other settings, as after an upgrade that
 * changed a setting: a reader that only ever creates would be refused for good, so settings that
 * may change are changed.
 */
import { JetStreamApiError } from "@nats-io/jetstream";
import type { ConsumerConfig, ConsumerInfo, JetStreamManager } from "@nats-io/jetstream";

const CONSUMER_EXISTS = 10_148;

/** Durations in nanoseconds, as on the wire. */
export type Durable = Partial<
  Pick<ConsumerConfig, "ack_policy" | "deliver_policy" | "max_ack_pending">
> & {
  readonly durable_name: string;
  readonly filter_subject: string;
  readonly ack_wait: number;
};

/**
 * Makes the consumer, leaves it as it is, or changes what is different: filter, ack wait and the
 * bound of what is under way. Its place stays. Rejects while nobody answers, there is no such
 * stream, or what differs can never be changed.
 */
export async function ensureDurable(
  { consumers }: Pick<JetStreamManager, "consumers">,
  stream: string,
  durable: Durable,
): Promise<ConsumerInfo> {
  try {
    return await consumers.add(stream, durable);
  } catch (error) {
    if (!(error instanceof JetStreamApiError) || error.code !== CONSUMER_EXISTS) throw error;
    const { durable_name, filter_subject, ack_wait, max_ack_pending } = durable;
    const changed = { filter_subject, ack_wait, ...(max_ack_pending && { max_ack_pending }) };
    return consumers.update(stream, durable_name, changed);
  }
}
