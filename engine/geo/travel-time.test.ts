import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { VEHICLES } from "../../proto/geo.ts";
import type { LngLat } from "../../proto/geo.ts";
import { findCityFile, parseCityCsv, readCityFile } from "./city-files.ts";
import { createGreatCircleTravel } from "./travel-time.ts";

const travel = createGreatCircleTravel();
const HERE: LngLat = { lng: -122.41, lat: 37.78 };
const north = (metres: number): LngLat => ({ lng: HERE.lng, lat: HERE.lat + metres / 111_195 });

test("one kilometre takes a walker a quarter of an hour and a bicycle six minutes", () => {
  expect(travel.estimateS(HERE, north(1_000), "walk")).toBeCloseTo(1_000, -1);
  expect(travel.estimateS(HERE, north(1_000), "bike")).toBeCloseTo(360, -1);
});

test("who is there has no way to go, and further never takes less", () => {
  const metres = fc.double({ min: 0, max: 20_000, noNaN: true });
  fc.assert(
    fc.property(metres, metres, fc.constantFrom(...VEHICLES), (a, b, vehicle) => {
      expect(travel.estimateS(HERE, HERE, vehicle)).toBe(0);
      const [near, far] = [Math.min(a, b), Math.max(a, b)];
      expect(travel.estimateS(HERE, north(near), vehicle)).toBeLessThanOrEqual(
        travel.estimateS(HERE, north(far), vehicle) + 1e-6,
      );
    }),
  );
});

test("settings replace the detour and single paces, and nonsense is refused", () => {
  const fast = createGreatCircleTravel({
    detourFactor: 1,
    paces: { car: { speedMps: 10, startS: 0 } },
  });
  expect(fast.estimateS(HERE, north(1_000), "car")).toBeCloseTo(100, 1);
  expect(() => createGreatCircleTravel({ detourFactor: 0.5 })).toThrow(RangeError);
  expect(() => createGreatCircleTravel({ paces: { car: { speedMps: 0, startS: 0 } } })).toThrow(
    RangeError,
  );
});

const dataDir = process.env["HEXDISPATCH_DATA_DIR"];
const trips = dataDir === undefined ? null : await findCityFile(dataDir, "trips.csv");

describe.runIf(trips !== null)("with real taxi trips", () => {
  test(
    "nine of ten trips by car are within five minutes of the estimate",
    { timeout: 60_000 },
    async () => {
      const rows = parseCityCsv(await readCityFile(trips ?? ""), [
        "pickup_lng",
        "pickup_lat",
        "dropoff_lng",
        "dropoff_lat",
        "duration_s",
      ]);
      const errors = rows.map((row) => {
        const [fromLng = 0, fromLat = 0, toLng = 0, toLat = 0, durationS = 0] = row.map(Number);
        const from = { lng: fromLng, lat: fromLat };
        return travel.estimateS(from, { lng: toLng, lat: toLat }, "car") - durationS;
      });
      const sorted = errors.map(Math.abs).sort((a, b) => a - b);
      const mean = (values: number[]): number =>
        values.reduce((sum, v) => sum + v, 0) / values.length;
      const within = (limitS: number): number =>
        sorted.filter((error) => error <= limitS).length / sorted.length;
      const figures = {
        trips: rows.length,
        medianS: sorted[sorted.length >> 1] ?? Number.NaN,
        p90S: sorted[Math.floor(sorted.length * 0.9)] ?? Number.NaN,
        meanS: mean(sorted),
        biasS: mean(errors),
        within2min: within(120),
        within3min: within(180),
        within5min: within(300),
      };
      console.log(JSON.stringify(figures));
      expect(figures.meanS).toBeLessThan(130);
      expect(figures.within5min).toBeGreaterThan(0.92);
    },
  );
});
