import { greatCircleDistance } from "h3-js";
import { expect, test } from "vitest";
import fc from "fast-check";
import type { LngLat } from "../proto/geo.ts";
import {
  cellCentre,
  cellOf,
  distanceM,
  gridDiskCells,
  inBox,
  ringsAround,
  shardCell,
} from "./geo.ts";

const ferryBuilding: LngLat = { lng: -122.3937, lat: 37.7955 };
const cityHall: LngLat = { lng: -122.4193, lat: 37.7793 };
const anywhere = fc.record({
  lng: fc.double({ min: -180, max: 180, noNaN: true }),
  lat: fc.double({ min: -90, max: 90, noNaN: true }),
});

test("the Ferry Building is 2.9 km from City Hall", () => {
  expect(distanceM(ferryBuilding, cityHall)).toBeGreaterThan(2_850);
  expect(distanceM(ferryBuilding, cityHall)).toBeLessThan(2_900);
});

test("distances agree with h3's own, which takes a sphere 1.6 m smaller, anywhere on earth", () => {
  fc.assert(
    fc.property(anywhere, anywhere, (a, b) => {
      const h3M = greatCircleDistance([a.lat, a.lng], [b.lat, b.lng], "m");
      expect(Math.abs(distanceM(a, b) - h3M)).toBeLessThan(1 + h3M * 1e-6);
    }),
  );
});

test("a cell's centre lies in the cell, in the order lng, lat", () => {
  const cell = cellOf(ferryBuilding);
  expect(cellOf(cellCentre(cell))).toBe(cell);
  expect(distanceM(cellCentre(cell), ferryBuilding)).toBeLessThan(700);
});

test("a disk is the union of its rings, and most neighbours share a shard's cell", () => {
  const cell = cellOf(ferryBuilding);
  const rings = ringsAround(cell, 2);
  expect(rings.map((ring) => ring.length)).toEqual([1, 6, 12]);
  expect(rings.flat().sort()).toEqual(gridDiskCells(cell, 2).sort());
  expect(new Set(rings.flat().map((c) => shardCell(c))).size).toBeLessThanOrEqual(4);
});

test("a box contains its border", () => {
  const box = { west: -122.5, south: 37.7, east: -122.3, north: 37.9 };
  expect(inBox({ lng: -122.5, lat: 37.9 }, box)).toBe(true);
  expect(inBox({ lng: -122.51, lat: 37.8 }, box)).toBe(false);
});
