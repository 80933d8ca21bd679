/**
 * Reads the CELLS stream from its beginning to where it ends now: at a start, and to close a gap. An ordered
 * consumer goes silent for ever when the server that hosts it dies, so a watchdog makes it anew from the last
 * sequence seen, and a deadline ends it all: positions that could not be read heal with the next pings.
 */
import type { JetStreamClient, JetStreamManager, JsMsg } from "@nats-io/jetstream";
import { DeliverPolicy, jetstream, jetstreamManager } from "@nats-io/jetstream";
import type { NatsConnection } from "@nats-io/transport-node";

/** The CELLS stream as its readers see it. */
export type CellsLog = {
  /**
   * Gives every message of `subject` that is in the stream at the time of the call to `onMessage`, oldest first.
   * Rejects when the stream itself does not answer.
   */
  readonly read: (
    subject: string,
    deadlineMs: number,
    onMessage: (data: Uint8Array) => void,
  ) => Promise<ReadResult>;
};

type CellsSource = {
  readonly client: JetStreamClient;
  readonly manager: JetStreamManager;
  readonly stream: string;
};

export type ReadResult = {
  readonly messages: number;
  /** False when the deadline came first. */
  readonly isComplete: boolean;
};

/** Nothing heard for so long: the consumer is dead. */
const WATCHDOG_MS = 2_000;
const FETCH_MSGS = 1_000;

/** The log over the stream of that name. */
export function streamCellsLog(nc: NatsConnection, stream: string): CellsLog {
  let source: Promise<CellsSource> | null = null;
  const open = async (): Promise<CellsSource> => {
    const manager = await jetstreamManager(nc, { checkAPI: false });
    return { client: jetstream(nc), manager, stream };
  };
  return {
    async read(subject, deadlineMs, onMessage) {
      source ??= open();
      return readCells(await source, subject, deadlineMs, onMessage);
    },
  };
}

async function readCells(
  source: CellsSource,
  subject: string,
  deadlineMs: number,
  onMessage: (data: Uint8Array) => void,
): Promise<ReadResult> {
  const until = performance.now() + deadlineMs;
  const { state } = await source.manager.streams.info(source.stream);
  let seen = Math.max(0, state.first_seq - 1);
  let messages = 0;
  let isAtEnd = state.messages === 0;
  while (!isAtEnd && performance.now() < until) {
    const consumer = await source.client.consumers.get(source.stream, {
      filter_subjects: subject,
      deliver_policy: DeliverPolicy.StartSequence,
      opt_start_seq: seen + 1,
    });
    const { num_pending } = await consumer.info();
    if (num_pending === 0) break;
    const fetched = await consumer.fetch({ max_messages: FETCH_MSGS, expires: WATCHDOG_MS });
    const watchdog = setTimeout(() => fetched.stop(), WATCHDOG_MS);
    for await (const message of fetched as AsyncIterable<JsMsg>) {
      watchdog.refresh();
      seen = message.seq;
      messages += 1;
      onMessage(message.data);
      isAtEnd = message.info.pending === 0 || seen >= state.last_seq;
      if (isAtEnd) break;
    }
    clearTimeout(watchdog);
    await consumer.delete();
  }
  return { messages, isComplete: performance.now() < until };
}
