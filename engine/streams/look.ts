/**
 * One look at the streams, for `stream-keeper.ts`: whether each is there and as asked, and whether
 * it takes messages. A stream on a disk that was full stays switched off when there is room again,
 * and says so to nobody: publishes to it get no answer at all (nats-server 2.15.1). What tells is a
 * call that must write and cannot change anything: deleting a message whose number no stream ever
 * reaches.
 */
import { JetStreamApiError, jetstreamManager } from "@nats-io/jetstream";
import type { NatsConnection } from "@nats-io/transport-node";
import { STREAMS_CALL_TIMEOUT_MS } from "../../proto/limits.ts";
import { STREAMS } from "../../proto/subjects.ts";
import type { StreamKey } from "../../proto/subjects.ts";
import type { Config } from "../config.ts";
import { errorFields } from "../io/log.ts";
import type { Log } from "../io/log.ts";
import type { Clock } from "../io/clock.ts";
import { ensureStream, isTransient, wantedStream } from "./streams.ts";
import type { WantedStream } from "./streams.ts";
import { StreamKeeper } from "./keeper.ts";
import type { StreamTroubles } from "./keeper.ts";

/** No stream has a message of this number. */
const SEQUENCE_NEVER = Number.MAX_SAFE_INTEGER;
/** "There is no such message", as memory streams and file streams say it. */
const NO_SUCH_MESSAGE = /not found|no message found|store EOF/i;
const STREAM_NOT_FOUND = 10_059;

export type StreamLookOptions = Pick<Config, "natsPrefix" | "natsReplicas" | "streamBytes"> & {
  readonly nc: NatsConnection;
  /** All of them, where they are made; those that this process needs, where it only looks. */
  readonly keys?: readonly StreamKey[];
  /** Whether what is missing or different is made as asked. */
  readonly makes: boolean;
  readonly onMade?: (stream: string) => void;
};

/**
 * Resolves to what is wrong with which stream. Rejects while JetStream as a whole does not answer.
 */
export async function lookAtStreams(options: StreamLookOptions): Promise<StreamTroubles> {
  const { nc, natsPrefix, natsReplicas, streamBytes, makes } = options;
  const api = await jetstreamManager(nc, { checkAPI: false, timeout: STREAMS_CALL_TIMEOUT_MS });
  await api.getAccountInfo();
  const troubles = new Map<StreamKey, string>();
  for (const key of options.keys ?? (Object.keys(STREAMS) as StreamKey[])) {
    const wanted = wantedStream(natsPrefix, key, natsReplicas, streamBytes[key]);
    try {
      const onMade = (): void => options.onMade?.(wanted.name);
      const found = makes ? await ensureStream(api, key, wanted, onMade) : [];
      const different = found.map(({ field }) => field).join(", ");
      const trouble = different === "" ? await whyNotWritable(nc, wanted) : `differs: ${different}`;
      if (trouble !== null) troubles.set(key, trouble);
    } catch (error) {
      const what = isTransient(error) ? "does not answer" : "cannot be made";
      troubles.set(key, `${what}: ${(error as Error).message}`);
    }
  }
  return troubles;
}

/** Why a stream takes no messages; null when it does. Rejects when it does not answer. */
async function whyNotWritable(
  nc: NatsConnection,
  { name, num_replicas: replicas }: WantedStream,
): Promise<string | null> {
  const question = JSON.stringify({ seq: SEQUENCE_NEVER, no_erase: true });
  const options = { timeout: STREAMS_CALL_TIMEOUT_MS };
  const answer = await nc.request(`$JS.API.STREAM.MSG.DELETE.${name}`, question, options);
  const { error } = answer.json<{ error?: { err_code?: number; description?: string } }>();
  const why = error?.description ?? "";
  if (error === undefined) return null;
  if (error.err_code === STREAM_NOT_FOUND) return "is not there";
  if (NO_SUCH_MESSAGE.test(why)) return null;
  // Another server of a cluster may have room. A single one has to be restarted by whoever runs it.
  if (replicas > 1) await nc.request(`$JS.API.STREAM.LEADER.STEPDOWN.${name}`, "", options);
  return `takes no messages: ${why}`;
}

/** A keeper over a connection, with its lines in the log. */
export function keepStreams(clock: Clock, log: Log, options: StreamLookOptions): StreamKeeper {
  const onMade = (stream: string): void =>
    log.warn({ stream }, "a stream was not there: it was made anew, empty");
  return new StreamKeeper({
    clock,
    look: () => lookAtStreams({ onMade, ...options }),
    onLooked: (troubles, before) => {
      for (const [stream, why] of troubles) {
        if (before.get(stream) === why) continue;
        log.error({ stream, why }, "a stream does not work; it is looked at again");
      }
      const mended = [...before.keys()].filter((key) => !troubles.has(key));
      if (mended.length > 0) log.warn({ streams: mended }, "streams work again");
    },
    onFailed: (error, isFirst) => {
      const level = error instanceof JetStreamApiError ? "error" : "warn";
      log[isFirst ? level : "debug"](errorFields(error), "the streams could not be looked at");
    },
  });
}
