import { expect, test } from "vitest";
import { PACKAGE_SIZES, VEHICLES } from "../proto/geo.ts";
import type { LngLat, Vehicle } from "../proto/geo.ts";
import type { CourierId, DeliveryId } from "../proto/ids.ts";
import { robotOf } from "../proto/test-mode.ts";
import type { SearchQuery } from "./actor.ts";
import { CellIndex } from "./cell-index.ts";
import { distanceM } from "./geo.ts";
import { canCarry, createSearch, gateOf, GATE_NAMES, rankCandidates } from "./matching.ts";
import type { CandidateFacts, Found, Gate, Need } from "./matching.ts";

const NOW = 1_800_000_000_000;
const PICKUP: LngLat = { lng: -122.41, lat: 37.78 };
const SPEEDS: Record<Vehicle, number> = { walk: 1, bike: 4, scooter: 6, car: 8, van: 6 };
const travelS = (vehicle: Vehicle, from: LngLat, to: LngLat): number =>
  distanceM(from, to) / SPEEDS[vehicle];
const north = (metres: number): LngLat => ({ lng: PICKUP.lng, lat: PICKUP.lat + metres / 111_195 });
const found = (id: string, vehicle: Vehicle, metres: number): Found => ({
  courier: id as CourierId,
  vehicle,
  point: north(metres),
  distanceM: metres,
});

test("who arrives first is asked first, even from further away", () => {
  const ranked = rankCandidates(
    [found("cur_walk", "walk", 300), found("cur_car", "car", 900), found("cur_bike", "bike", 600)],
    PICKUP,
    travelS,
    2,
  );
  expect(ranked.map((c) => c.courier)).toEqual(["cur_car", "cur_bike"]);
  expect(ranked[0]?.etaS).toBeCloseTo(112.5, 0);
});

test("equal travel times are ordered by distance, then by id, alike on every node", () => {
  const same = (): number => 60;
  const couriers = [
    found("cur_b", "bike", 200),
    found("cur_a", "bike", 200),
    found("cur_c", "walk", 100),
  ];
  const ranked = rankCandidates(couriers, PICKUP, same, 10);
  expect(ranked.map((c) => c.courier)).toEqual(["cur_c", "cur_a", "cur_b"]);
});

test("small goes on anything, medium not on foot, large in a car or van only", () => {
  const fits = PACKAGE_SIZES.map((size) => VEHICLES.filter((vehicle) => canCarry(vehicle, size)));
  expect(fits).toEqual([
    ["walk", "bike", "scooter", "car", "van"],
    ["bike", "scooter", "car", "van"],
    ["car", "van"],
  ]);
});

const fit: CandidateFacts = {
  online: true,
  ageMs: 0,
  slots: 1,
  askedBefore: false,
  vehicle: "bike",
  distanceM: 100,
};
const need: Need = { staleMs: 60_000, radiusM: 1_000, vehicle: "bike", size: "medium" };
const stopped: Record<Gate, readonly [Partial<CandidateFacts>, Partial<Need>]> = {
  too_far: [{ distanceM: 1_001 }, {}],
  off_shift: [{ online: false }, {}],
  stale: [{ ageMs: 60_001 }, {}],
  no_slots: [{ slots: 0 }, {}],
  asked_before: [{ askedBefore: true }, {}],
  vehicle: [{ vehicle: "car" }, {}],
  package: [{}, { size: "large" }],
};

test("a courier that fits passes every gate", () => {
  expect(gateOf(fit, need)).toBeNull();
});

test.each(GATE_NAMES)("the gate %s names itself", (gate) => {
  const [facts, other] = stopped[gate];
  expect(gateOf({ ...fit, ...facts }, { ...need, ...other })).toBe(gate);
});

test("a search ranks the candidates and counts who was removed by which gate", () => {
  const couriers = new CellIndex({ resolution: 8, capacityCouriers: 100 });
  const put = (id: string, vehicle: Vehicle, metres: number, change = {}): void => {
    const record = { courier: id as CourierId, no: 1, at: NOW, ...north(metres), vehicle };
    couriers.upsert({ ...record, slots: 1, online: true, active: 0, doubt: 0, ...change });
  };
  put("cur_near", "bike", 300);
  put("cur_fast", "car", 500);
  put("cur_asked", "car", 50);
  put("cur_walker", "walk", 20);
  put("cur_off", "car", 10, { online: false });
  put("cur_old", "car", 10, { at: NOW - 60_001 });
  put("cur_full", "car", 10, { slots: 0 });
  put("cur_far", "car", 1_500);
  const query: SearchQuery = {
    delivery: "del_x" as DeliveryId,
    pickup: PICKUP,
    radiusM: 1_000,
    max: 3,
    size: "medium",
    vehicle: null,
    exclude: ["cur_asked" as CourierId],
  };
  const search = createSearch(couriers, { staleMs: 60_000, candidatesMax: 24, travelS });
  const result = search(query, NOW);
  expect(result.candidates.map((c) => c.courier)).toEqual(["cur_fast", "cur_near"]);
  expect(result.gates).toEqual({
    off_shift: 1,
    stale: 1,
    no_slots: 1,
    asked_before: 1,
    package: 1,
  });
  // Robots are no candidates, however near; for a test nobody else is. Neither counts as removed.
  const robot = robotOf("tst_005d0000000000000000001" as DeliveryId, 1);
  put(robot, "van", 5);
  expect(search(query, NOW)).toEqual(result);
  const ofTest = search({ ...query, delivery: "tst_005d0000000000000000001" as DeliveryId }, NOW);
  expect(ofTest.candidates.map((c) => c.courier)).toEqual([robot]);
  const onlyVans = search({ ...query, vehicle: "van", radiusM: 2_000 }, NOW);
  expect(onlyVans.candidates).toEqual([]);
  expect(onlyVans.gates["vehicle"]).toBe(4);
});
