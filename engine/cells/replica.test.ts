import { describe, expect, it } from "vitest";
import type { CellId, CourierId, DeliveryId, NodeId, ShardId } from "../../proto/ids.ts";
import { robotOf } from "../../proto/test-mode.ts";
import { streamMessages } from "../../proto/messages.ts";
import type { CourierRecord } from "../../proto/messages.ts";
import { subjectsFor } from "../../proto/subjects.ts";
import { VirtualClock } from "../io/virtual-clock.ts";
import { Replica, foldBatch } from "./replica.ts";
import type { Fold, RecordsBatch } from "./replica.ts";

const SHARD = 4 as ShardId;
const record = (name: string, no: number, more: Partial<CourierRecord> = {}): CourierRecord => ({
  courier: `cur_${name}` as CourierId,
  no,
  at: 1_000 + no,
  lng: -122.4,
  lat: 37.7,
  vehicle: "bike",
  slots: 1,
  doubt: 0,
  online: true,
  active: 0,
  ...more,
});

describe("the fold of batches", () => {
  const foldAll = (batches: readonly (readonly [epoch: number, number: number])[]): Fold[] => {
    let state: Parameters<typeof foldBatch>[0] = null;
    return batches.map(([epoch, number]) => {
      const result = foldBatch(state, { epoch, number });
      state = result.state;
      return result.fold;
    });
  };

  it("takes batches in order, wherever it began", () => {
    // prettier-ignore
    expect(foldAll([[2, 7], [2, 8], [2, 9]])).toEqual(["applied", "applied", "applied"]);
  });

  it("sees a gap once, and goes on behind it", () => {
    // prettier-ignore
    expect(foldAll([[2, 1], [2, 4], [2, 5]])).toEqual(["applied", "gap", "applied"]);
  });

  it("knows repeats and late ones", () => {
    expect(foldAll([[2, 4], [2, 4], [2, 3]])).toEqual(["applied", "old", "old"]); // prettier-ignore
  });

  it("R2: goes over to a new owner, from its first batch on, and hears the old one no more", () => {
    const folds = foldAll([[2, 9], [3, 1], [2, 10], [3, 2], [5, 3]]); // prettier-ignore
    expect(folds).toEqual(["applied", "applied", "old", "applied", "gap"]);
  });
});

/** An index of one cell a courier, told by its longitude. */
function drive(epochs = new Map<ShardId, number>([[SHARD, 7]])) {
  const clock = new VirtualClock();
  const records = new Map<CourierId, CourierRecord>();
  const published: RecordsBatch[] = [];
  const gaps: ShardId[] = [];
  const applied: string[] = [];
  const replica = new Replica({
    clock,
    subjects: subjectsFor("t"),
    publisher: {
      publish: (_subject, data) => {
        published.push(streamMessages.decode(data) as RecordsBatch);
        return true;
      },
    },
    node: "node_x" as NodeId,
    index: {
      upsert: (r) => {
        if (r.no <= (records.get(r.courier)?.no ?? -1)) return false;
        records.set(r.courier, r);
        return true;
      },
      remove: (courier) => records.delete(courier),
      get: (courier) => records.get(courier) ?? null,
      cellOfCourier: (courier) => (records.get(courier)?.lng.toFixed(1) as CellId) ?? null,
    },
    batchMs: 50,
    epochOf: (shard) => epochs.get(shard) ?? null,
    onApplied: (_before, after, moved) => void applied.push(`${after.no}${moved ? " moved" : ""}`),
    onGap: (shard) => void gaps.push(shard),
    see: () => true,
    onCount: () => undefined,
  });
  return { clock, replica, records, published, gaps, applied, epochs };
}

const batch = (epoch: number, number: number, records: readonly CourierRecord[]): Uint8Array =>
  streamMessages.encode({
    type: "records",
    shard: SHARD,
    epoch,
    number,
    node: "node_y" as NodeId,
    records,
  });

describe("publishing", () => {
  it("applies a record at once and sends the latest of each courier once a batch", async () => {
    const { clock, replica, records, published } = drive();
    replica.publish(record("a", 1), SHARD);
    replica.publish(record("a", 2), SHARD);
    replica.publish(record("b", 5), SHARD);
    expect(records.size).toBe(2);
    await clock.advance(49);
    expect(published).toEqual([]);
    await clock.advance(1);
    expect(published.map((p) => p.records.map((r) => [r.courier, r.no]))).toEqual([
      [["cur_a", 2], ["cur_b", 5]], // prettier-ignore
    ]);
  });

  it("sends all couriers of a shard, however many moved: 5,001 are two batches, in their order", async () => {
    const { clock, replica, published } = drive();
    for (let i = 0; i < 5_001; i++) replica.publish(record(String(i), 1), SHARD);
    await clock.advance(50);
    expect(published.map(({ number, records }) => [number, records.length])).toEqual([
      [1, 5_000],
      [2, 1],
    ]);
    const told = published.flatMap(({ records }) => records.map(({ courier }) => courier));
    expect(new Set(told).size).toBe(5_001);
  });

  it("R1: numbers the batches of a shard from 1 under each epoch", async () => {
    const { clock, replica, published, epochs } = drive();
    for (let no = 1; no <= 3; no++) {
      if (no === 3) epochs.set(SHARD, 8);
      replica.publish(record("a", no), SHARD);
      await clock.advance(50);
    }
    // prettier-ignore
    expect(published.map((p) => [p.epoch, p.number])).toEqual([[7, 1], [7, 2], [8, 1]]);
  });

  it("forgets robots that go off shift, everywhere: their tests are over, and the room is for people", async () => {
    const { clock, replica, records, published } = drive();
    const courier = robotOf("tst_005d0000000000000000001" as DeliveryId, 1);
    replica.publish(record("a", 1, { courier }), SHARD);
    expect(records.size).toBe(1);
    replica.publish(record("a", 2, { courier, online: false }), SHARD);
    expect(records.size).toBe(0);
    await clock.advance(50);
    expect(published[0]?.records).toMatchObject([{ courier, no: 2, online: false }]);
    replica.publish(record("b", 1, { online: false }), SHARD);
    expect(records.size).toBe(1);
  });

  it("says nothing about a shard that is no longer its own", async () => {
    const { clock, replica, published, epochs } = drive();
    replica.publish(record("a", 1), SHARD);
    epochs.clear();
    await clock.advance(50);
    expect(published).toEqual([]);
  });
});

describe("following", () => {
  it("folds other nodes' batches and asks for what it missed", () => {
    const { replica, records, gaps, applied } = drive();
    replica.receive(batch(2, 1, [record("a", 1)]));
    replica.receive(batch(2, 3, [record("a", 9)]));
    replica.receive(batch(2, 2, [record("a", 8, { online: false })]));
    expect(gaps).toEqual([SHARD]);
    expect(records.get("cur_a" as CourierId)?.no).toBe(9);
    expect(applied).toEqual(["1 moved", "9"]);
  });

  it("takes what it reads again for a gap, but nothing of an older owner", () => {
    const { replica, records } = drive();
    replica.receive(batch(3, 5, [record("a", 9)]));
    replica.receiveAgain(batch(3, 4, [record("b", 1)]));
    replica.receiveAgain(batch(2, 9, [record("c", 1)]));
    expect([...records.keys()]).toEqual(["cur_a", "cur_b"]);
  });
});
