/**
 * The replica of the fleet: courier records of own shards go to the CELLS stream in batches, those
 * of other nodes come in and are folded into the same index. Own records are applied at once; the
 * batch is for the others. A record is absolute, and the index keeps the one with the highest
 * number of its courier, so repeats, gaps and late batches can only leave a courier a little old,
 * never wrong.
 *
 * What a follower missed it gets from the owner (`snapshot`), or from the stream when the owner
 * does not answer; digests (`digests.ts`) find what neither numbers nor gaps show.
 *
 * R1  Batches of a shard are numbered 1, 2, 3 ... under one epoch; a follower sees each gap.
 * R2  A batch of an older epoch changes nothing (D8).
 */
import type { CellId, CourierId, Epoch, NodeId, ShardId } from "../../proto/ids.ts";
import { streamMessages } from "../../proto/messages.ts";
import type { CourierRecord, StreamMessageOf } from "../../proto/messages.ts";
import type { Subjects } from "../../proto/subjects.ts";
import { isRobot } from "../../proto/test-mode.ts";
import type { Clock } from "../io/clock.ts";
import type { StreamPublisher } from "../streams/stream-publisher.ts";

export type RecordsBatch = StreamMessageOf<"records">;

/** The last batch of a shard that a follower has seen. */
export type FollowState = { readonly epoch: number; readonly number: number };

/**
 * What a batch is to a follower: the next one, one that was seen or is of an older owner, or one
 * after a gap (which is applied all the same, and what lies between is read from the stream).
 */
export type Fold = "applied" | "gap" | "old";

/**
 * Pure: the new state, and what the batch was. A first batch is no gap: the follower has just
 * begun.
 */
export function foldBatch(
  state: FollowState | null,
  batch: FollowState,
): { readonly state: FollowState; readonly fold: Fold } {
  const next = { epoch: batch.epoch, number: batch.number };
  if (state === null) return { state: next, fold: "applied" };
  if (batch.epoch < state.epoch) return { state, fold: "old" };
  if (batch.epoch > state.epoch) {
    return { state: next, fold: batch.number === 1 ? "applied" : "gap" };
  }
  if (batch.number <= state.number) return { state, fold: "old" };
  return { state: next, fold: batch.number === state.number + 1 ? "applied" : "gap" };
}

/** The cell index, as far as the replica needs it. */
export type FleetIndex = {
  readonly upsert: (record: CourierRecord) => boolean;
  /** Unless its record is newer than `no`. */
  readonly remove: (courier: CourierId, no: number) => boolean;
  readonly get: (courier: CourierId) => CourierRecord | null;
  readonly cellOfCourier: (courier: CourierId) => CellId | null;
};

export type ReplicaCount = "gap" | "old" | "malformed" | "lost_batch" | "differs";

export type ReplicaPorts = {
  readonly clock: Clock;
  readonly subjects: Subjects;
  readonly publisher: Pick<StreamPublisher, "publish">;
  readonly node: NodeId;
  readonly index: FleetIndex;
  readonly batchMs: number;
  readonly epochOf: (shard: ShardId) => number | null;
  /** False when the epoch is an old one; a higher one is taken note of. */
  readonly see: (shard: ShardId, epoch: Epoch) => boolean;
  /**
   * A record was newer than the one known. `moved`: it is in another cell, or in one for the first
   * time.
   */
  readonly onApplied: (before: CourierRecord | null, after: CourierRecord, moved: boolean) => void;
  /** Batches of a shard were missed; they are in the stream. */
  readonly onGap: (shard: ShardId) => void;
  readonly onCount: (what: ReplicaCount) => void;
};

/** Records in one message; the codec takes no more. */
const RECORDS_PER_BATCH_MAX = 5_000;

export class Replica {
  readonly #ports: ReplicaPorts;
  readonly #waiting = new Map<ShardId, Map<CourierId, CourierRecord>>();
  readonly #numbers = new Map<ShardId, FollowState>();
  readonly #followed = new Map<number, FollowState>();
  #scheduled = false;

  constructor(ports: ReplicaPorts) {
    this.#ports = ports;
  }

  /** A record from a courier actor of this node. */
  publish(record: CourierRecord, shard: ShardId): void {
    this.apply(record);
    let batch = this.#waiting.get(shard);
    if (batch === undefined) this.#waiting.set(shard, (batch = new Map()));
    batch.set(record.courier, record);
    if (this.#scheduled) return;
    this.#scheduled = true;
    this.#ports.clock.after(this.#ports.batchMs, () => this.flush());
  }

  /**
   * A batch from another node or from the stream. Ours come back from the stream at a start only.
   */
  receive(data: Uint8Array): void {
    const batch = streamMessages.decode(data);
    if (batch?.type !== "records") return this.#ports.onCount("malformed");
    if (!this.#ports.see(batch.shard as ShardId, batch.epoch as Epoch)) {
      return this.#ports.onCount("old");
    }
    const known = this.#followed.get(batch.shard) ?? null;
    const { state, fold } = foldBatch(known, batch);
    if (fold === "old") return this.#ports.onCount("old");
    this.#followed.set(batch.shard, state);
    for (const record of batch.records) this.apply(record);
    if (fold !== "gap") return;
    this.#ports.onCount("gap");
    this.#ports.onGap(batch.shard as ShardId);
  }

  /**
   * All records of an owned shard with the number of its last batch, for a follower; null when it
   * is not ours.
   */
  snapshot(shard: ShardId, records: readonly CourierRecord[]): Uint8Array | null {
    const epoch = this.#ports.epochOf(shard);
    if (epoch === null) return null;
    const last = this.#numbers.get(shard);
    const number = last?.epoch === epoch ? last.number : 0;
    const { node } = this.#ports;
    return streamMessages.encode({ type: "records", shard, epoch, number, node, records });
  }

  /** The owner's answer: all that it has. False when it is none. */
  receiveSnapshot(data: Uint8Array): boolean {
    const all = streamMessages.decode(data);
    if (all?.type !== "records" || all.records.length === 0) return false;
    const known = this.#followed.get(all.shard) ?? null;
    const { state, fold } = foldBatch(known, all);
    if (fold !== "old") this.#followed.set(all.shard, state);
    for (const record of all.records) this.apply(record);
    return true;
  }

  /** The last batch published under the present epoch; null before the first. */
  published(shard: ShardId): FollowState | null {
    return this.#numbers.get(shard) ?? null;
  }

  /** The last batch followed. */
  followed(shard: ShardId): FollowState | null {
    return this.#followed.get(shard) ?? null;
  }

  /**
   * Records of a batch read again to close a gap: without looking at its number, but never of an
   * older epoch.
   */
  receiveAgain(data: Uint8Array): void {
    const batch = streamMessages.decode(data);
    if (batch?.type !== "records") return this.#ports.onCount("malformed");
    if (batch.epoch < (this.#followed.get(batch.shard)?.epoch ?? 0)) return;
    for (const record of batch.records) this.apply(record);
  }

  /** Into the index of this node. */
  apply(record: CourierRecord): void {
    const { index, onApplied } = this.#ports;
    // A robot whose test is over never comes back: however many tests there were, the room is there
    // for people.
    if (isRobot(record.courier) && !record.online) {
      index.remove(record.courier, record.no);
      return;
    }
    const before = index.get(record.courier);
    const cellBefore = index.cellOfCourier(record.courier);
    if (!index.upsert(record)) return;
    onApplied(before, record, index.cellOfCourier(record.courier) !== cellBefore);
  }

  /** Publishes what waits. */
  flush(): void {
    this.#scheduled = false;
    for (const [shard, batch] of this.#waiting) this.#publishBatch(shard, [...batch.values()]);
    this.#waiting.clear();
  }

  #publishBatch(shard: ShardId, all: readonly CourierRecord[]): void {
    const { epochOf, publisher, subjects, node, onCount } = this.#ports;
    const epoch = epochOf(shard);
    if (epoch === null) return; // No longer ours to say.
    for (let from = 0; from < all.length; from += RECORDS_PER_BATCH_MAX) {
      const records = all.slice(from, from + RECORDS_PER_BATCH_MAX);
      const last = this.#numbers.get(shard);
      const number = last?.epoch === epoch ? last.number + 1 : 1;
      this.#numbers.set(shard, { epoch, number });
      const data = streamMessages.encode({
        type: "records",
        shard,
        epoch,
        number,
        node,
        records,
      });
      if (!publisher.publish(subjects.cells(shard), data)) onCount("lost_batch");
    }
  }
}
