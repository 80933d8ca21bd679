/**
 * Reads the CELLS stream from its beginning to where it ends now: at a start, and to close a gap.
 * An ordered consumer goes silent for ever when the server that hosts it dies, so a watchdog makes
 * it anew from the last sequence seen, and a deadline ends it all: positions that could not be read
 * heal with the next pings.
 */
import type { Consumer, JetStreamClient, JetStreamManager, JsMsg } from "@nats-io/jetstream";
import { DeliverPolicy, jetstream, jetstreamManager } from "@nats-io/jetstream";
import type { NatsConnection } from "@nats-io/transport-node";
import { STREAMS } from "../../proto/subjects.ts";
import { systemClock } from "../io/clock.ts";

/** The CELLS stream as its readers see it. */
export type CellsLog = {
  /**
   * Gives every message of `subject` that is in the stream at the time of the call to `onMessage`,
   * oldest first. Rejects when the stream itself does not answer.
   */
  readonly read: (
    subject: string,
    deadlineMs: number,
    onMessage: (data: Uint8Array) => void,
    /** Nothing older than this; everything when it is left out. */
    maxAgeMs?: number,
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
const FETCH_MSGS = 10_000;
const WATCHDOG_EVERY_MSGS = 100;
/** As deep as the stream is. */
const STREAM_AGE_MS = STREAMS.CELLS.ageMaxS * 1_000;

/** The log over the stream of that name. */
export function streamCellsLog(nc: NatsConnection, stream: string): CellsLog {
  let source: Promise<CellsSource> | null = null;
  const open = async (): Promise<CellsSource> => {
    const manager = await jetstreamManager(nc, { checkAPI: false });
    return { client: jetstream(nc), manager, stream };
  };
  return {
    async read(subject, deadlineMs, onMessage, maxAgeMs = STREAM_AGE_MS) {
      source ??= open();
      return readCells(await source, subject, deadlineMs, onMessage, maxAgeMs);
    },
  };
}

async function readCells(
  source: CellsSource,
  subject: string,
  deadlineMs: number,
  onMessage: (data: Uint8Array) => void,
  maxAgeMs: number,
): Promise<ReadResult> {
  const until = performance.now() + deadlineMs;
  const { state } = await source.manager.streams.info(source.stream);
  const place = { seen: 0, isAtEnd: state.messages === 0, messages: 0, last: state.last_seq };
  const since = new Date(systemClock.now() - maxAgeMs).toISOString();
  while (!place.isAtEnd && performance.now() < until) {
    const from =
      place.seen === 0
        ? { deliver_policy: DeliverPolicy.StartTime, opt_start_time: since }
        : { deliver_policy: DeliverPolicy.StartSequence, opt_start_seq: place.seen + 1 };
    const consumer = await source.client.consumers.get(source.stream, {
      filter_subjects: subject,
      ...from,
    });
    try {
      place.isAtEnd ||= (await consumer.info()).num_pending === 0;
      let isSilent = false; // Then it is made anew.
      while (!place.isAtEnd && !isSilent && performance.now() < until) {
        isSilent = (await readSome(consumer, place, onMessage)) === 0;
      }
    } finally {
      await consumer.delete();
    }
  }
  return { messages: place.messages, isComplete: place.isAtEnd };
}

type Place = { seen: number; isAtEnd: boolean; messages: number; readonly last: number };

/** One fetch; resolves to how many messages came before it was full or silent for too long. */
async function readSome(
  consumer: Consumer,
  place: Place,
  onMessage: (data: Uint8Array) => void,
): Promise<number> {
  const before = place.messages;
  const fetched = await consumer.fetch({ max_messages: FETCH_MSGS, expires: WATCHDOG_MS });
  const watchdog = setTimeout(() => fetched.stop(), WATCHDOG_MS);
  for await (const message of fetched as AsyncIterable<JsMsg>) {
    // Not at each message: refreshing a timer costs more than reading one.
    if (place.messages % WATCHDOG_EVERY_MSGS === 0) watchdog.refresh();
    place.seen = message.seq;
    place.messages += 1;
    onMessage(message.data);
    place.isAtEnd = message.seq >= place.last || message.info.pending === 0;
    if (place.isAtEnd) break;
  }
  clearTimeout(watchdog);
  return place.messages - before;
}
