/**
 * The gate of the streams: makes or updates CELLS, LEDGER, EVENTS and INTAKE as `proto/subjects.ts`
 * says, and refuses to start when the server's echo differs from what was asked. An older server
 * accepts settings that it does not know and drops them silently (a stream without its limits, ids
 * that are not deduplicated), which nobody would notice before the day it matters.
 */
import { DiscardPolicy, JetStreamApiError, RetentionPolicy, StorageType } from "@nats-io/jetstream";
import type { JetStreamAccountStats, JetStreamManager, StreamConfig } from "@nats-io/jetstream";
import { STREAMS, streamName, subjectsFor } from "../../proto/subjects.ts";
import type { StreamKey } from "../../proto/subjects.ts";
import { streamBytesName } from "../config.ts";
import { isConnectionProblem } from "../io/nats/nats.ts";

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
export function wantedStream(
  prefix: string,
  key: StreamKey,
  replicas: number,
  bytesMax: number = STREAMS[key].bytesMax,
): WantedStream {
  const row = STREAMS[key];
  return {
    name: streamName(prefix, key),
    subjects: [subjectsFor(prefix)[row.subject]],
    storage: row.storage === "memory" ? StorageType.Memory : StorageType.File,
    retention: RetentionPolicy.Limits,
    discard: row.whenFull === "old goes" ? DiscardPolicy.Old : DiscardPolicy.New,
    max_age: row.ageMaxS * NANOS_PER_S,
    max_bytes: bytesMax,
    duplicate_window: row.dedupeS * NANOS_PER_S,
    num_replicas: replicas,
    allow_direct: row.readAnywhere,
  };
}

/**
 * Settings of the server's own that somebody may have changed by hand, and that would spoil a
 * stream of ours.
 */
const UNTOUCHED = {
  sealed: false,
  no_ack: false,
  max_msgs: -1,
  max_msg_size: -1,
  max_msgs_per_subject: -1,
  max_consumers: -1,
} as const satisfies Partial<StreamConfig>;

/**
 * Where the echo is not what was asked for. A setting that the server does not name has its
 * default.
 */
export function differences(wanted: WantedStream, echoed: StreamConfig): StreamDifference[] {
  const echoOf = (field: string): unknown => echoed[field as keyof StreamConfig];
  const untouched = Object.entries(UNTOUCHED).filter(([field]) => echoOf(field) !== undefined);
  return [...Object.entries(wanted), ...untouched]
    .map(([field, value]) => ({
      stream: wanted.name,
      field,
      wanted: value as unknown,
      echoed: echoOf(field),
    }))
    .filter((d) => JSON.stringify(d.wanted) !== JSON.stringify(d.echoed));
}

/** The server has not the room to set aside what a stream may grow to. */
export class StreamStorageError extends Error {
  override readonly name = "StreamStorageError";

  /**
   * `reservedBytes`: what all streams of this account have set aside in that storage; null when it
   * is unknown.
   */
  constructor(
    key: StreamKey,
    wanted: WantedStream,
    reservedBytes: number | null,
    cause: JetStreamApiError,
  ) {
    const inMemory = wanted.storage === StorageType.Memory;
    const reserved = reservedBytes === null ? "an unknown part of it" : mib(reservedBytes);
    const copies = wanted.num_replicas > 1 ? ` for each of ${wanted.num_replicas} copies` : "";
    super(
      `the NATS server has no room for the stream ${wanted.name} (${cause.message}): it asks for ${mib(wanted.max_bytes)} ` +
        `of ${inMemory ? "memory" : "file storage"}${copies}, and the streams that are there have set aside ${reserved}. ` +
        `Raise ${inMemory ? "max_memory_store" : "max_file_store"} in the server's jetstream block, or lower ` +
        `HEXDISPATCH_${streamBytesName(key)} here or at the clusters that share the server`,
      { cause },
    );
  }
}

const mib = (bytes: number): string => `${Math.round(bytes / 1_048_576)} MiB`;

/**
 * Codes by which a server says that its storage, its memory, the account's share or its peers do
 * not suffice.
 */
const NO_ROOM: ReadonlySet<number> = new Set([10_002, 10_005, 10_023, 10_028, 10_047]);

/** The part of the JetStream manager that the gate needs. */
export type StreamsApi = {
  readonly getAccountInfo: () => Promise<unknown>;
  readonly streams: Pick<JetStreamManager["streams"], "info" | "add" | "update">;
};

/**
 * Makes sure of all streams. Throws StreamMismatchError, StreamStorageError, or the client's error
 * when the server refuses outright (a stream of that name with another storage, say). Transient
 * refusals during an election are not retried here: the node's start does that, by `isTransient`.
 */
export async function ensureStreams(
  api: StreamsApi,
  prefix: string,
  replicas: number,
  bytes: Partial<Readonly<Record<StreamKey, number>>> = {},
): Promise<void> {
  const found: StreamDifference[] = [];
  for (const key of Object.keys(STREAMS) as StreamKey[]) {
    found.push(...(await ensureStream(api, key, wantedStream(prefix, key, replicas, bytes[key]))));
  }
  if (found.length > 0) throw new StreamMismatchError(found);
}

/**
 * Makes sure of one stream and resolves to what of it still differs. Rejects with
 * StreamStorageError or the client's error. `onMade` is called when it was not there.
 */
export async function ensureStream(
  api: StreamsApi,
  key: StreamKey,
  wanted: WantedStream,
  onMade: () => void = () => undefined,
): Promise<readonly StreamDifference[]> {
  try {
    const known = await infoOf(api, wanted.name);
    if (known === null) {
      const made = (await api.streams.add(wanted)).config;
      onMade();
      return differences(wanted, made);
    }
    if (differences(wanted, known).length === 0) return [];
    const changed = { ...UNTOUCHED, ...wanted };
    return differences(wanted, (await api.streams.update(wanted.name, changed)).config);
  } catch (error) {
    if (!(error instanceof JetStreamApiError) || !NO_ROOM.has(error.code)) throw error;
    throw new StreamStorageError(key, wanted, await reserved(api, wanted), error);
  }
}

async function reserved(api: StreamsApi, wanted: WantedStream): Promise<number | null> {
  try {
    const info = (await api.getAccountInfo()) as Partial<JetStreamAccountStats>;
    const bytes =
      wanted.storage === StorageType.Memory ? info.reserved_memory : info.reserved_storage;
    return bytes ?? null;
  } catch {
    return null; // The refusal itself is what has to be said.
  }
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
