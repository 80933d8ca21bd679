/** The worlds of a replay: what they promise about places, speeds and numbers. */
import { describe, expect, test } from "vitest";
import { distanceM } from "../../actors/geo.ts";
import { readFleet, traceOf } from "./fleet.ts";
import { makeWorld } from "./made-world.ts";
import { parseReplayArgs } from "./options.ts";
import { exponential, logNormal, seeded, weightedIndex } from "./random.ts";
import { quantile } from "./stats.ts";
import { towards } from "./world.ts";

const many = (count: number, make: () => number): number[] => Array.from({ length: count }, make);

describe("random numbers", () => {
  test("are the same for the same seed", () => {
    expect(many(5, seeded(3))).toEqual(many(5, seeded(3)));
    expect(many(5, seeded(3))).not.toEqual(many(5, seeded(4)));
  });
  test("of people's delays have the median and the 95th percentile that were asked for", () => {
    const random = seeded(1);
    const values = many(20_000, () => logNormal(random, 6, 18));
    expect(quantile(values, 0.5)).toBeCloseTo(6, 0);
    expect((quantile(values, 0.95) ?? 0) / 18).toBeCloseTo(1, 1);
  });
  test("of gaps have the mean, and of weights the shares, that were asked for", () => {
    const random = seeded(1);
    const gaps = many(20_000, () => exponential(random, 5));
    expect(gaps.reduce((sum, gap) => sum + gap, 0) / gaps.length / 5).toBeCloseTo(1, 1);
    const drawn = many(20_000, () => weightedIndex(random, [0, 3, 3, 4]));
    expect(drawn.filter((index) => index === 1).length / drawn.length).toBeCloseTo(0.75, 1);
    expect(drawn.some((index) => index === 0 || index === 2)).toBe(false);
  });
});

describe("a made-up city", () => {
  const options = { couriers: 5, ordersPerDay: 1_000, seed: 1, startS: 43_200 };

  test("moves its couriers no faster than they wander", () => {
    for (const trace of makeWorld(options).traces) {
      let before = trace.at(options.startS);
      for (let s = 10; s < 3_600; s += 10) {
        const here = trace.at(options.startS + s);
        expect(distanceM(before!, here!)).toBeLessThan(45);
        before = here;
      }
    }
  });
  test("asks for deliveries of about two kilometres", () => {
    const [world, random] = [makeWorld(options), seeded(1)];
    const lengths = many(2_000, () => {
      const { origin, destination } = world.order(0, random);
      return distanceM(origin, destination);
    });
    const mean = lengths.reduce((sum, length) => sum + length, 0) / lengths.length;
    expect(mean).toBeGreaterThan(1_500);
    expect(mean).toBeLessThan(3_000);
  });
});

describe("a recorded fleet", () => {
  const day = { t: [0, 60, 120, 1_000, 1_060], lng: [0, 1, 1, 2, 2], lat: [0, 0, 0, 0, 0] };
  const inCity = {
    t: day.t,
    lng: day.lng.map((lng) => -122.43 + lng * 0.005),
    lat: day.lat.map(() => 37.77),
  };

  test("is somewhere between two pings, on the line", () => {
    const here = traceOf(inCity, 0).at(30);
    expect(here?.lng).toBeCloseTo(-122.4275, 6);
    expect(here?.lat).toBe(37.77);
  });
  test("is off shift in a silence of more than ten minutes and before its first ping", () => {
    const trace = traceOf(inCity, 0);
    expect([trace.at(130), trace.at(1_030) === null]).toEqual([null, false]);
    expect(traceOf(inCity, 500).at(100)).toBeNull();
  });
  test("outside the served area is off shift", () => {
    expect(traceOf(day, 0).at(30)).toBeNull();
  });
  test("gives more couriers than cabs by shifting the day, and says so", () => {
    const rows = inCity.t.map((t, i) => [String(t), "cab", "37.77", String(inCity.lng[i])]);
    const fleet = readFleet(rows, { couriers: 3, seed: 1 });
    expect(fleet.traces).toHaveLength(3);
    expect(fleet.notes.join()).toContain("2 couriers are copies");
  });
});

test("a step towards a point ends on it and never beyond", () => {
  const [a, b] = [
    { lng: -122.43, lat: 37.77 },
    { lng: -122.42, lat: 37.77 },
  ];
  const metres = distanceM(a, b);
  expect(distanceM(a, towards(a, b, metres, 100))).toBeCloseTo(100, 0);
  expect(towards(a, b, metres, 10_000)).toBe(b);
});

describe("the command line", () => {
  test("has a default for everything", () => {
    expect(parseReplayArgs([])).toMatchObject({ couriers: 60, compression: 20, minutes: 2 });
  });
  test("says what is wrong", () => {
    expect(() => parseReplayArgs(["--couriers", "many"])).toThrow("--couriers must be a number");
    expect(() => parseReplayArgs(["--start", "25:00"])).toThrow("time of day");
    expect(() => parseReplayArgs(["--accept-delay-ms", "5000"])).toThrow("two numbers");
  });
});
