import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { VEHICLES } from "../proto/geo.ts";
import type { LngLat } from "../proto/geo.ts";
import type { CourierId } from "../proto/ids.ts";
import type { CourierRecord } from "../proto/messages.ts";
import { CellIndex } from "./cell-index.ts";
import { cellOf, distanceM } from "./geo.ts";
import { NearestResult } from "./nearest-result.ts";

const NOW = 1_800_000_000_000;
const STALE_MS = 60_000;
const PICKUP: LngLat = { lng: -122.41, lat: 37.78 };

const idOf = (n: number): CourierId => `cur_${n}` as CourierId;
const record = (n: number, change: Partial<CourierRecord> = {}): CourierRecord => ({
  courier: idOf(n),
  no: 1,
  at: NOW,
  ...PICKUP,
  vehicle: "bike",
  slots: 1,
  doubt: 0,
  online: true,
  active: 0,
  ...change,
});
const index = (capacityCouriers = 1_000) => new CellIndex({ resolution: 8, capacityCouriers });

/** The slow truth: every courier by great-circle distance. */
function bruteForce(
  couriers: Map<CourierId, CourierRecord>,
  from: LngLat,
  radiusM: number,
): number[] {
  return [...couriers.values()]
    .filter((c) => c.online && c.slots > 0 && NOW - c.at <= STALE_MS)
    .map((c) => distanceM(from, c))
    .filter((d) => d <= radiusM)
    .sort((a, b) => a - b);
}

function search(couriers: CellIndex, from: LngLat, radiusM = 5_000, max = 10): CourierRecord[] {
  const out = new NearestResult(max);
  couriers.nearest(from, radiusM, max, NOW, { staleMs: STALE_MS }, out);
  return Array.from(out.ordinals.subarray(0, out.count), (o) => couriers.recordAt(o));
}

type Op = { n: number; remove: boolean; change: Partial<CourierRecord> };

/** Around San Francisco, around a pentagon of the grid, across the antimeridian, near a pole. */
const CENTRES: readonly LngLat[] = [
  PICKUP,
  { lng: 10.536, lat: 64.7 },
  { lng: 179.999, lat: -17 },
  { lng: 30, lat: 89.9 },
];
const near = (centre: LngLat, dx: number, dy: number): LngLat => {
  const lng = centre.lng + dx / Math.max(0.01, Math.cos((centre.lat * Math.PI) / 180));
  return { lng: lng > 180 ? lng - 360 : lng, lat: Math.min(90, centre.lat + dy) };
};
/** Few places, so that couriers often share one, and any. */
const offset = fc.oneof(
  fc.constantFrom(0, 0.001, 0.004, 0.01),
  fc.double({ min: -0.08, max: 0.08, noNaN: true }),
);
const op = (centre: LngLat): fc.Arbitrary<Op> =>
  fc.record({
    n: fc.integer({ min: 0, max: 40 }),
    remove: fc.integer({ min: 0, max: 9 }).map((r) => r === 0),
    change: fc
      .record({
        dx: offset,
        dy: offset,
        slots: fc.constantFrom(0, 1, 3),
        ageMs: fc.constantFrom(0, 59_000, 61_000, NOW),
        online: fc.boolean(),
        vehicle: fc.constantFrom(...VEHICLES),
      })
      .map(({ dx, dy, ageMs, ...rest }) => ({ ...rest, ...near(centre, dx, dy), at: NOW - ageMs })),
  });
const story = (centre: LngLat) => fc.array(op(centre), { maxLength: 150 });

describe.each(CENTRES)("around %o", (centre) => {
  test("the nearest are those of a full scan, whatever moved, left or came back", () => {
    fc.assert(
      fc.property(
        story(centre),
        offset,
        offset,
        fc.constantFrom(300, 1_000, 5_000, 12_000),
        fc.integer({ min: 0, max: 12 }),
        (ops, dx, dy, radiusM, max) => {
          const couriers = index();
          const truth = new Map<CourierId, CourierRecord>();
          let no = 0;
          for (const { n, remove, change } of ops) {
            const next = record(n, { ...change, no: ++no });
            const changed = remove ? couriers.remove(idOf(n)) : couriers.upsert(next);
            expect(changed).toBe(remove ? truth.delete(idOf(n)) : true);
            if (!remove) truth.set(idOf(n), next);
          }
          const from = near(centre, dx, dy);
          const expected = bruteForce(truth, from, radiusM).slice(0, max);
          const out = new NearestResult(12);
          expect(couriers.nearest(from, radiusM, max, NOW, { staleMs: STALE_MS }, out)).toBe(
            expected.length,
          );
          expected.forEach((d, i) => {
            expect(out.distancesM[i]).toBeCloseTo(d, 4);
            expect(distanceM(from, couriers.pointAt(out.ordinals[i]!))).toBeCloseTo(d, 4);
          });
          expect(new Set(out.ordinals.subarray(0, out.count)).size).toBe(expected.length);
          expect(couriers.count()).toBe(truth.size);
          for (const [id, courier] of truth) expect(couriers.get(id)).toEqual(courier);
        },
      ),
      { numRuns: 100 },
    );
  });
});

test("an older or repeated record changes nothing, not even after the courier was removed", () => {
  const couriers = index();
  expect(couriers.upsert(record(1, { no: 5 }))).toBe(true);
  expect(couriers.upsert(record(1, { no: 5, slots: 0 }))).toBe(false);
  expect(couriers.upsert(record(1, { no: 4, lat: 37.7 }))).toBe(false);
  expect(couriers.get(idOf(1))).toEqual(record(1, { no: 5 }));
  couriers.remove(idOf(1));
  expect(couriers.upsert(record(1, { no: 5 }))).toBe(false);
  expect(couriers.get(idOf(1))).toBeNull();
  expect(couriers.upsert(record(1, { no: 6 }))).toBe(true);
});

test("a leave that was overtaken by a newer record does not remove the courier", () => {
  const couriers = index();
  couriers.upsert(record(1, { no: 5 }));
  expect(couriers.remove(idOf(1), 4)).toBe(false);
  expect(couriers.remove(idOf(1), 5)).toBe(true);
  expect(couriers.remove(idOf(1))).toBe(false);
});

test("couriers off shift, stale, full or nowhere are counted by gate, not returned", () => {
  const couriers = index();
  couriers.upsert(record(1, { online: false }));
  couriers.upsert(record(2, { at: NOW - STALE_MS - 1 }));
  couriers.upsert(record(3, { slots: 0 }));
  couriers.upsert(record(4, { at: 0, lng: 0, lat: 0 }));
  couriers.upsert(record(5));
  const out = new NearestResult(10);
  couriers.nearest(PICKUP, 1_000, 10, NOW, { staleMs: STALE_MS }, out);
  expect(couriers.idAt(out.ordinals[0]!)).toBe(idOf(5));
  expect([out.count, out.offShift, out.stale, out.noSlots]).toEqual([1, 1, 1, 1]);
  expect(couriers.count()).toBe(5);
  expect(couriers.cellOfCourier(idOf(4))).toBeNull();
});

test("the caller's own gate is asked for each courier that would be returned", () => {
  const couriers = index();
  for (let n = 0; n < 6; n++) couriers.upsert(record(n, { lat: PICKUP.lat + n / 1_000 }));
  const accept = (ordinal: number): boolean => couriers.idAt(ordinal) !== idOf(0);
  const out = new NearestResult(2);
  couriers.nearest(PICKUP, 5_000, 2, NOW, { staleMs: STALE_MS, accept }, out);
  expect([...out.ordinals].map((o) => couriers.idAt(o))).toEqual([idOf(1), idOf(2)]);
});

test("a courier who crosses a border is found from its new cell and counted there only", () => {
  const couriers = index();
  couriers.upsert(record(1));
  const moved = { lng: PICKUP.lng + 0.02, lat: PICKUP.lat };
  couriers.upsert(record(1, { no: 2, ...moved }));
  expect(couriers.cellOfCourier(idOf(1))).toBe(cellOf(moved));
  // A robot of a test is no supply.
  couriers.upsert({ ...record(2), courier: "bot_005d0000000000000000001_1" as CourierId });
  expect([...couriers.supplyByCell(NOW, STALE_MS)]).toEqual([[cellOf(moved), 1]]);
  couriers.remove("bot_005d0000000000000000001_1" as CourierId);
  expect(search(couriers, PICKUP, 500)).toEqual([]);
  expect(search(couriers, moved, 500)).toHaveLength(1);
});

test("a full index refuses new couriers, counts them, and makes room when one is removed", () => {
  const couriers = index(3);
  for (let n = 0; n < 3; n++) couriers.upsert(record(n));
  expect(couriers.upsert(record(3))).toBe(false);
  expect(couriers.refusedFull()).toBe(1);
  expect(couriers.upsert(record(2, { no: 2 }))).toBe(true);
  couriers.remove(idOf(1));
  expect(couriers.upsert(record(3))).toBe(true);
  const ids: CourierId[] = [];
  couriers.forEach((courier) => ids.push(courier.courier));
  expect(ids.sort()).toEqual([idOf(0), idOf(2), idOf(3)]);
});

test("with its cells full, the index refuses further ones and still searches exactly", () => {
  const couriers = new CellIndex({ resolution: 8, capacityCouriers: 10, capacityCells: 1 });
  expect(couriers.upsert(record(1))).toBe(true);
  const elsewhere = { lng: PICKUP.lng + 0.05, lat: PICKUP.lat };
  expect(couriers.upsert(record(2, elsewhere))).toBe(false);
  expect(search(couriers, PICKUP)).toHaveLength(1);
  expect(search(couriers, elsewhere)).toHaveLength(1);
  expect(search(couriers, elsewhere, 1_000)).toHaveLength(0);
});

test("the index grows beyond its first size without losing anybody", () => {
  const couriers = index(5_000);
  for (let n = 0; n < 5_000; n++) couriers.upsert(record(n, { no: n + 1 }));
  expect(couriers.count()).toBe(5_000);
  expect(couriers.get(idOf(4_999))?.no).toBe(5_000);
  expect(couriers.get(idOf(3))?.no).toBe(4);
});
