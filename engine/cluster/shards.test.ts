import { describe, expect, it } from "vitest";
import { cellOf } from "../../actors/geo.ts";
import type { CellId, CourierId, ShardId } from "../../proto/ids.ts";
import { newDeliveryId } from "../ids.ts";
import { hash32, rank, shardOfActor, shardOfCell, shardOfCourier, shardOfPoint } from "./shards.ts";

/** From an independent implementation (Python). */
const HASH_VECTORS = [2_872_998_923, 444_641_715, 2_231_671_492, 1_364_168_822, 3_101_440_620];

const FERRY_BUILDING = { lng: -122.3937, lat: 37.7955 };

describe("the hash", () => {
  it("gives these numbers for ever, because deliveries carry their shard in their id", () => {
    const vectors = ["", "a", "cur_1", "cur_2", "862830807ffffff"].map((text) => hash32(text));
    expect(vectors).toEqual(HASH_VECTORS);
    expect(shardOfPoint(FERRY_BUILDING, 64)).toBe(48);
  });

  it("spreads couriers with numbered names evenly", () => {
    const counts = Array.from({ length: 64 }, () => 0);
    for (let i = 0; i < 64_000; i++) counts[shardOfCourier(`cur_${i}` as CourierId, 64)]! += 1;
    expect(Math.min(...counts)).toBeGreaterThan(850);
    expect(Math.max(...counts)).toBeLessThan(1_150);
  });
});

describe("the shard of an actor", () => {
  it("is the same for a pickup and for the cell it lies in", () => {
    for (let i = 0; i < 500; i++) {
      const point = { lng: -122.5 + (i % 25) * 0.007, lat: 37.6 + Math.floor(i / 25) * 0.012 };
      expect(shardOfPoint(point, 64)).toBe(shardOfCell(cellOf(point), 64));
    }
  });

  it("is read off a delivery's id", () => {
    expect(shardOfActor("delivery", newDeliveryId(17 as ShardId, 0), 64)).toBe(17);
  });

  it("is nothing for an id of another form or of a larger cluster", () => {
    expect(shardOfActor("delivery", "del_zzz", 64)).toBeNull();
    expect(shardOfActor("delivery", newDeliveryId(64 as ShardId, 0), 64)).toBeNull();
    expect(shardOfActor("courier", "cur_", 64)).toBeNull();
    expect(shardOfActor("cell", "here", 64)).toBeNull();
    expect(shardOfActor("cell", cellOf(FERRY_BUILDING) as CellId, 64)).toBe(
      shardOfPoint(FERRY_BUILDING, 64),
    );
  });
});

describe("the ranking of nodes", () => {
  const nodes = ["node_a", "node_b", "node_c", "node_d"];
  const shards = Array.from({ length: 256 }, (_, i) => i as ShardId);

  it("does not depend on the order in which the nodes are known", () => {
    for (const shard of shards) expect(rank(shard, nodes.toReversed())).toEqual(rank(shard, nodes));
  });

  it("moves only the shards of a node that goes, each to its first standby", () => {
    for (const shard of shards) {
      const before = rank(shard, nodes);
      const after = rank(
        shard,
        nodes.filter((node) => node !== "node_b"),
      );
      expect(after).toEqual(before.filter((node) => node !== "node_b"));
    }
  });

  it("gives each node about its share", () => {
    for (const node of nodes) {
      const owned = shards.filter((shard) => rank(shard, nodes)[0] === node).length;
      expect(owned).toBeGreaterThan(40);
      expect(owned).toBeLessThan(90);
    }
  });
});
