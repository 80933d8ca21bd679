/**
 * The gate of the streams: makes or updates CELLS, LEDGER and EVENTS as `proto/subjects.ts` says, and refuses to
 * start when the server's echo differs from what was asked. An older server accepts settings that it does not
 * know and drops them silently (a stream without its limits, ids that are not deduplicated), which nobody would
 * notice before the day it matters.
 */
import { DiscardPolicy, JetStreamApiError, RetentionPolicy, StorageType } from "@nats-io/jetstream";
import type { JetStreamManager, StreamConfig } from "@nats-io/jetstream";
import { STREAMS, streamName, subjectsFor } from "../proto/subjects.ts";
import type { StreamKey } from "../proto/subjects.ts";
import { isConnectionProblem } from "./io/nats.ts";

/** The settings that we ask for and compare; durations in nanoseconds, as on the wire. */
export type WantedStream = Pick<
  StreamConfig,
  | "name"
  | "subjects"
  | "storage"
  | "retention"
  | "discard"
  | "max_age"
  | "max_bytes"
  | "duplicate_window"
  | "num_replicas"
  | "allow_direct"
>;

/** What one field should be and what the server says it is. */
export type StreamDifference = {
  readonly stream: string;
  readonly field: string;
  readonly wanted: unknown;
  readonly echoed: unknown;
};

/** The server has not done what it was asked for. */
export class StreamMismatchError extends Error {
  override readonly name = "StreamMismatchError";
  readonly differences: readonly StreamDifference[];

  constructor(differences: readonly StreamDifference[]) {
    const lines = differences.map(
      ({ stream, field, wanted, echoed }) =>
        `  - ${stream}.${field} is ${JSON.stringify(echoed)}, asked for was ${JSON.stringify(wanted)}`,
    );
    super(`the NATS server did not make the streams as asked:\n${lines.join("\n")}`);
    this.differences = differences;
  }
}

const NANOS_PER_S = 1_000_000_000;
const STREAM_NOT_FOUND = 10_059;

/** What a stream of this cluster must look like. */
export function wantedStream(prefix: string, key: StreamKey, replicas: number): WantedStream {
  const row = STREAMS[key];
  return {
    name: streamName(prefix, key),
    subjects: [subjectsFor(prefix)[row.subject]],
    storage: row.storage === "memory" ? StorageType.Memory : StorageType.File,
    retention: RetentionPolicy.Limits,
    discard: DiscardPolicy.Old,
    max_age: row.ageMaxS * NANOS_PER_S,
    max_bytes: row.bytesMax,
    duplicate_window: row.dedupeS * NANOS_PER_S,
    num_replicas: replicas,
    allow_direct: true,
  };
}

/** Where the echo is not what was asked for. */
export function differences(wanted: WantedStream, echoed: StreamConfig): StreamDifference[] {
  return Object.entries(wanted)
    .map(([field, value]) => ({
      stream: wanted.name,
      field,
      wanted: value as unknown,
      echoed: echoed[field as keyof StreamConfig] as unknown,
    }))
    .filter((d) => JSON.stringify(d.wanted) !== JSON.stringify(d.echoed));
}

/** The part of the JetStream manager that the gate needs. */
export type StreamsApi = {
  readonly streams: Pick<JetStreamManager["streams"], "info" | "add" | "update">;
};

/**
 * Makes sure of all streams. Throws StreamMismatchError, or the client's error when the server refuses outright
 * (a stream of that name with another storage, say). Transient refusals during an election are not retried
 * here: the node's start does that, by `isTransient`.
 */
export async function ensureStreams(
  api: StreamsApi,
  prefix: string,
  replicas: number,
): Promise<void> {
  const found: StreamDifference[] = [];
  for (const key of Object.keys(STREAMS) as StreamKey[]) {
    const wanted = wantedStream(prefix, key, replicas);
    found.push(...differences(wanted, await ensureStream(api, wanted)));
  }
  if (found.length > 0) throw new StreamMismatchError(found);
}

async function ensureStream(api: StreamsApi, wanted: WantedStream): Promise<StreamConfig> {
  const known = await infoOf(api, wanted.name);
  if (known === null) return (await api.streams.add(wanted)).config;
  if (differences(wanted, known).length === 0) return known;
  return (await api.streams.update(wanted.name, wanted)).config;
}

async function infoOf(api: StreamsApi, name: string): Promise<StreamConfig | null> {
  try {
    return (await api.streams.info(name)).config;
  } catch (error) {
    if (error instanceof JetStreamApiError && error.code === STREAM_NOT_FOUND) return null;
    throw error;
  }
}

/** While JetStream elects a leader it answers as if it were turned off; that passes within 10 s. */
export const isTransient = (error: unknown): boolean =>
  (error instanceof Error && error.name === "JetStreamNotEnabled") ||
  isConnectionProblem(error) ||
  (error instanceof JetStreamApiError && error.apiError().code === 503);
