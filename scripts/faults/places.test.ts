import { expect, test } from "vitest";
import { distanceM, inBox } from "../../actors/geo.ts";
import { shardOfCourier, shardOfPoint } from "../../engine/cluster/shards.ts";
import { SERVICE_AREA_DEFAULT } from "../../proto/limits.ts";
import { WIDE_AREA, probePlaces, pullPlaces } from "./places.ts";

test("each of 16 shards has a place and a courier of its own, out of everybody's reach", () => {
  const places = probePlaces(16);
  expect(places.map(({ shard }) => shard)).toEqual(Array.from({ length: 16 }, (_, i) => i));
  for (const { shard, at, courier } of places) {
    expect(shardOfPoint(at, 16)).toBe(shard);
    expect(shardOfCourier(courier, 16)).toBe(shard);
    expect(inBox(at, WIDE_AREA)).toBe(true);
    expect(inBox(at, SERVICE_AREA_DEFAULT)).toBe(false);
    const others = places.filter((other) => other.shard !== shard);
    expect(Math.min(...others.map((other) => distanceM(at, other.at)))).toBeGreaterThan(10_000);
  }
});

test("more shards than there is room for are refused", () => {
  expect(() => probePlaces(4_096)).toThrow("no room");
});

test("couriers without a socket stand out of reach of all probes and of each other", () => {
  const probes = probePlaces(16);
  const pulls = pullPlaces(probes, 2);
  expect(pulls.map(({ courier }) => courier)).toEqual(["cur_pull_1", "cur_pull_2"]);
  const all = [...probes, ...pulls].map(({ at }) => at);
  for (const { at } of pulls) {
    expect(inBox(at, WIDE_AREA)).toBe(true);
    const others = all.filter((other) => other !== at);
    expect(Math.min(...others.map((other) => distanceM(at, other)))).toBeGreaterThan(10_000);
  }
});
