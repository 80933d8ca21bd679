/** The order of a courier's stops, and the times that follow from it. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { visits } from "./route.ts";
import { DROPOFF_HANDLING_S, PICKUP_HANDLING_S } from "./travel-time.ts";
import { createGreatCircleTravel } from "./travel-time.ts";

const travel = createGreatCircleTravel();
/** A point so many metres east of the depot. */
const east = (metres: number) => ({ lng: -122.42 + metres / 87_900, lat: 37.77 });
const legS = (fromM: number, toM: number): number =>
  travel.estimateS(east(fromM), east(toM), "bike");

describe("a courier's stops", () => {
  test("of one errand are the pickup, which waits until it is ready, and the dropoff", () => {
    const errand = { id: "a", pickup: east(1_000), dropoff: east(3_000), readyS: 0 };
    const pickedUpS = legS(0, 1_000) + PICKUP_HANDLING_S;
    const deliveredS = pickedUpS + legS(1_000, 3_000) + DROPOFF_HANDLING_S;
    const [visit] = [...visits(travel, east(0), "bike", [errand]).values()];
    expect(visit?.pickedUpS).toBeCloseTo(pickedUpS, 6);
    expect(visit?.deliveredS).toBeCloseTo(deliveredS, 6);
    const later = visits(travel, east(0), "bike", [{ ...errand, readyS: 5_000 }]).get("a");
    expect(later?.pickedUpS).toBeCloseTo(5_000 + PICKUP_HANDLING_S, 6);
  });

  test("are visited nearest first, so what is on the way delays what is beyond", () => {
    const near = { id: "near", pickup: null, dropoff: east(500), readyS: 0 };
    const far = { id: "far", pickup: null, dropoff: east(2_000), readyS: 0 };
    const all = visits(travel, east(0), "bike", [far, near]);
    const nearS = legS(0, 500) + DROPOFF_HANDLING_S;
    expect(all.get("near")).toEqual({ pickedUpS: null, deliveredS: nearS });
    expect(all.get("far")?.deliveredS).toBeCloseTo(
      nearS + legS(500, 2_000) + DROPOFF_HANDLING_S,
      6,
    );
  });

  test("every errand is done once, after it was fetched", () => {
    const point = fc.record({
      lng: fc.double({ min: -122.5, max: -122.35, noNaN: true }),
      lat: fc.double({ min: 37.7, max: 37.8, noNaN: true }),
    });
    const errand = fc.record({
      pickup: fc.option(point),
      dropoff: point,
      readyS: fc.nat({ max: 3_600 }),
    });
    fc.assert(
      fc.property(point, fc.array(errand, { maxLength: 8 }), (from, list) => {
        const errands = list.map((one, i) => ({ ...one, id: String(i) }));
        const all = visits(travel, from, "car", errands);
        expect(all.size).toBe(errands.length);
        for (const { id, pickup, readyS } of errands) {
          const visit = all.get(id);
          expect(visit?.pickedUpS === null).toBe(pickup === null);
          expect(visit?.deliveredS).toBeGreaterThan(visit?.pickedUpS ?? 0);
          if (pickup !== null) expect(visit?.pickedUpS).toBeGreaterThanOrEqual(readyS);
        }
      }),
    );
  });
});
