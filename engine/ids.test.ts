import { describe, expect, it } from "vitest";
import { DELIVERY_ID_PATTERN, NAME_PATTERN, isCarrierId, isCourierId } from "../proto/ids.ts";
import { shardOfDelivery } from "../proto/ids.ts";
import type { CourierId, ShardId } from "../proto/ids.ts";
import { TEST_SCENARIO_NAMES, isTestDelivery, robotNumber } from "../proto/test-mode.ts";
import { robotOf, scenarioOf } from "../proto/test-mode.ts";
import { keyedDeliveryId, newDeliveryId, newNodeId, newSessionId } from "./ids.ts";

describe("a delivery id", () => {
  it("has the form that every door checks, and carries its shard", () => {
    for (const shard of [0, 1, 63, 4_095] as ShardId[]) {
      const id = newDeliveryId(shard, 1_764_000_000_000);
      expect(id).toMatch(DELIVERY_ID_PATTERN);
      expect(shardOfDelivery(id)).toBe(shard);
    }
  });

  it("sorts by time within its shard", () => {
    const zeros = (count: number): Uint8Array => new Uint8Array(count);
    const early = newDeliveryId(7 as ShardId, 1_764_000_000_000, zeros);
    const late = newDeliveryId(7 as ShardId, 1_764_000_000_001, zeros);
    expect(early < late).toBe(true);
    expect(early).toBe("del_00701kav9ft000000000000");
  });

  it("of a test says so, and how it goes", () => {
    for (const scenario of TEST_SCENARIO_NAMES) {
      const byTime = newDeliveryId(63 as ShardId, 1_764_000_000_000, undefined, scenario);
      const byKey = keyedDeliveryId(63 as ShardId, new Uint8Array(32), scenario);
      for (const id of [byTime, byKey]) {
        expect(id).toMatch(DELIVERY_ID_PATTERN);
        expect([isTestDelivery(id), scenarioOf(id), shardOfDelivery(id)]).toEqual([
          ...[true, scenario, 63],
        ]);
        const robot = robotOf(id, 2);
        expect([isCarrierId(robot), isCourierId(robot), robotNumber(robot)]).toEqual([
          ...[true, false, 2],
        ]);
      }
    }
    expect(isTestDelivery(newDeliveryId(63 as ShardId, 1))).toBe(false);
    expect(robotNumber("cur_x_2" as CourierId)).toBe(0);
  });

  it("is another one each time", () => {
    const ids = new Set(Array.from({ length: 2_000 }, () => newDeliveryId(0 as ShardId, 1)));
    expect(ids.size).toBe(2_000);
  });

  it("of a key is always the same one, and differs with the digest and the shard", () => {
    const digest = Uint8Array.from({ length: 32 }, (_, i) => i * 37);
    const id = keyedDeliveryId(63 as ShardId, digest);
    expect(id).toMatch(DELIVERY_ID_PATTERN);
    expect(shardOfDelivery(id)).toBe(63);
    expect(keyedDeliveryId(63 as ShardId, digest)).toBe(id);
    expect(
      keyedDeliveryId(
        63 as ShardId,
        digest.map((byte) => byte ^ 1),
      ),
    ).not.toBe(id);
    expect(() => keyedDeliveryId(63 as ShardId, digest.subarray(0, 19))).toThrow("short");
  });

  it("refuses a shard that has no place in it", () => {
    expect(() => newDeliveryId(4_096 as ShardId, 0)).toThrow("4096");
  });
});

it("names of nodes and sessions are plain tokens", () => {
  expect(newNodeId("node")).toMatch(NAME_PATTERN);
  expect(newSessionId()).toMatch(NAME_PATTERN);
  expect(newNodeId("gw")).not.toBe(newNodeId("gw"));
});
