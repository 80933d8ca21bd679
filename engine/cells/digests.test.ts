import { beforeEach, describe, expect, it } from "vitest";
import type { CourierId, NodeId, ShardId } from "../../proto/ids.ts";
import type { CourierRecord } from "../../proto/messages.ts";
import { Digests } from "./digests.ts";
import type { FollowState } from "./replica.ts";

const SHARD = 4 as ShardId;
const record = (courier: string, no: number, online = true): CourierRecord => ({
  courier: courier as CourierId,
  no,
  at: 1,
  lng: 0,
  lat: 0,
  vehicle: "bike",
  slots: 1,
  doubt: 0,
  online,
  active: 0,
});

/** One side: its index and where it stands. */
class Side {
  records: CourierRecord[] = [];
  at: FollowState = { epoch: 3, number: 10 };
  sent: Uint8Array | null = null;
  differs: ShardId[] = [];
  readonly digests: Digests;

  constructor(node: string) {
    this.digests = new Digests({
      bus: { publish: (_subject, data) => ((this.sent = data), true) },
      subjects: { digest: "t.node.digest" },
      node: node as NodeId,
      forEach: (fn) => this.records.forEach(fn),
      shardOf: () => SHARD,
      owned: () => [SHARD],
      replica: { flush: () => undefined, published: () => this.at, followed: () => this.at },
      onDiffers: (shard) => void this.differs.push(shard),
    });
  }
}

let owner: Side;
let follower: Side;
const compare = (): ShardId[] => {
  owner.digests.publish();
  follower.digests.receive(owner.sent!);
  return follower.differs;
};

beforeEach(() => {
  owner = new Side("node_a");
  follower = new Side("node_b");
  owner.records = [record("cur_a", 7), record("cur_b", 9)];
  follower.records = [record("cur_b", 9), record("cur_a", 7)];
});

describe("a digest", () => {
  it("is the same for the same couriers, in whatever order", () => {
    expect(compare()).toEqual([]);
  });

  it("shows a courier who is missing", () => {
    follower.records.pop();
    expect(compare()).toEqual([SHARD]);
  });

  it("shows a record that is old", () => {
    follower.records[0] = record("cur_b", 8);
    expect(compare()).toEqual([SHARD]);
  });

  it("shows a courier who has left for the owner alone", () => {
    owner.records[0] = record("cur_a", 7, false);
    expect(compare()).toEqual([SHARD]);
  });

  it("says nothing of couriers off shift", () => {
    follower.records.push(record("cur_c", 1, false));
    expect(compare()).toEqual([]);
  });

  it("shows a last batch that was lost, and a whole epoch that was missed", () => {
    follower.at = { epoch: 3, number: 9 };
    expect(compare()).toEqual([SHARD]);
    expect(follower.digests.behind()).toBe(1);
    follower.at = { epoch: 2, number: 10 };
    expect(compare()).toEqual([SHARD, SHARD]);
    follower.at = owner.at;
    expect(compare()).toEqual([SHARD, SHARD]);
    expect(follower.digests.behind()).toBe(0);
  });

  it("is not compared by who is further: it is of a moment ago, or of a former owner", () => {
    follower.records.pop();
    follower.at = { epoch: 3, number: 11 };
    expect(compare()).toEqual([]);
    follower.at = { epoch: 4, number: 1 };
    expect(compare()).toEqual([]);
  });

  it("of one's own is passed over", () => {
    owner.digests.publish();
    owner.records.pop();
    owner.digests.receive(owner.sent!);
    expect(owner.differs).toEqual([]);
  });
});
