import { mkdtemp, mkdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { distanceM } from "../../actors/geo.ts";
import type { LngLat } from "../../proto/geo.ts";
import { findCityFile, parseCityCsv, readCityFile } from "./city-files.ts";
import { createCityGeocoder, loadCityGeocoder } from "./city-geocoder.ts";
import type { GeocodeResult, Geocoder } from "./geocoder.ts";

/**
 * Main St runs east along 37.70, numbers rise by 100 per 0.001 degrees; 2nd St and 2nd Ave cross
 * elsewhere.
 */
const ADDRESSES = `number,street,lat,lng,source
101,MAIN ST,37.7001,-122.4000,tree
101,MAIN ST,37.7003,-122.4000,osm
101,MAIN ST,37.7002,-122.4000,business
201,MAIN ST,37.7001,-122.3990,tree
110,MAIN ST,37.6999,-122.3999,tree
190,MAIN ST,37.6999,-122.3991,tree
901,MAIN ST,37.7001,-122.3920,tree
10,2ND ST,37.7100,-122.4000,tree
20,2ND ST,37.7110,-122.4000,tree
10,2ND AVE,37.7600,-122.4500,tree
700,2ND AVE,37.7700,-122.4500,tree
50,OAK BLVD,37.7200,-122.4100,tree
x,OAK BLVD,37.7200,-122.4100,broken
60,OAK BLVD,,,broken
`;
const INTERSECTIONS = `street_a,street_b,lat,lng
Main St,2nd St,37.7000,-122.4010
Main St,3rd St,37.7000,-122.3980
Oak Blvd,2nd Ave,37.7300,-122.4200
4th St,Stockton St,37.70015,-122.3991
`;
const city = createCityGeocoder({ addresses: ADDRESSES, intersections: INTERSECTIONS });
const pointOf = (result: GeocodeResult): LngLat => {
  if (!result.found) throw new Error(`not found: ${result.reason}`);
  return result.point;
};
const reasonOf = (text: string): string => {
  const result = city.geocode(text);
  return result.found ? result.match : result.reason;
};

test("a known address is at the median of its records", () => {
  const result = city.geocode("101 Main Street, San Francisco");
  expect(result).toEqual({
    found: true,
    point: { lng: -122.4, lat: 37.7002 },
    match: "exact",
    label: "101 Main St",
  });
});

test("an unknown number lies between its neighbours of the same side", () => {
  const odd = city.geocode("151 Main St");
  expect(odd).toMatchObject({ match: "interpolated", label: "151 Main St" });
  expect(pointOf(odd).lng).toBeCloseTo(-122.3995, 6);
  expect(pointOf(odd).lat).toBeCloseTo(37.70015, 6);
  expect(pointOf(city.geocode("150 Main St")).lat).toBeCloseTo(37.6999, 6);
});

test("where one side knows nothing the other side is asked", () => {
  expect(pointOf(city.geocode("15 2nd St")).lat).toBeCloseTo(37.7105, 6);
});

test("just beyond the last known number is there; far beyond, or in a hole, is nowhere", () => {
  expect(reasonOf("909 Main St")).toBe("interpolated");
  expect(reasonOf("931 Main St")).toBe("not_found");
  expect(reasonOf("451 Main St")).toBe("not_found");
  expect(reasonOf("99999999999 Main St")).toBe("not_found");
});

test("a street without its suffix is accepted when only one fits", () => {
  expect(city.geocode("50 Oak")).toMatchObject({ match: "exact", label: "50 Oak Blvd" });
  expect(city.geocode("50 Oak Street")).toMatchObject({ match: "exact", label: "50 Oak Blvd" });
  expect(city.geocode("700 2nd")).toMatchObject({ match: "exact", label: "700 2nd Ave" });
  expect(reasonOf("10 2nd")).toBe("ambiguous");
  expect(reasonOf("700 2nd St")).toBe("not_found");
});

test("two streets cross where the list says, with or without their suffixes, in any order", () => {
  const crossing = { match: "intersection", point: { lng: -122.401, lat: 37.7 } };
  for (const text of ["Main St & 2nd St", "2nd and Main", "Main at Second St, SF"]) {
    expect(city.geocode(text)).toMatchObject(crossing);
  }
  expect(reasonOf("Main & Oak")).toBe("not_found");
  expect(reasonOf("Main & Main")).toBe("not_found");
});

test("an unlisted crossing is where one street's corner touches the other's houses", () => {
  const result = city.geocode("Main & 4th");
  expect(result).toMatchObject({ match: "intersection", label: "Main St & 4th St" });
  expect(distanceM(pointOf(result), { lng: -122.3991, lat: 37.70015 })).toBeLessThan(20);
});

test("a block is half way between its two crossings", () => {
  expect(pointOf(city.geocode("Main between 2nd and 3rd")).lng).toBeCloseTo(-122.3995, 6);
  expect(reasonOf("Main between 2nd and Oak")).toBe("not_found");
});

test("whatever is written, nothing throws", () => {
  const words = fc.constantFrom("10", "2nd", "Main", "St", "&", "between", "and", "Oak", ",", "SF");
  const text = fc.oneof(
    fc.string({ unit: "binary", maxLength: 250 }),
    fc.array(words, { maxLength: 12 }).map((list) => list.join(" ")),
  );
  fc.assert(
    fc.property(text, (t) => void city.geocode(t)),
    { numRuns: 2_000 },
  );
});

test("a list without its columns is refused at start", () => {
  const lists = { addresses: "number,street,lat\n1,A ST,37\n", intersections: null };
  expect(() => createCityGeocoder(lists)).toThrow("no column lng");
});

test("a city folder is read at any depth, plain or zipped, or has no lists", async () => {
  const dir = await mkdtemp(join(tmpdir(), "city-"));
  try {
    const nothing = { found: false, reason: "no_city_data" };
    expect((await loadCityGeocoder(null)).geocode("50 Oak")).toEqual(nothing);
    expect((await loadCityGeocoder(dir)).geocode("50 Oak")).toEqual(nothing);
    await mkdir(join(dir, "a", "b"), { recursive: true });
    await writeFile(join(dir, "a", "b", "addresses.csv.gz"), gzipSync(ADDRESSES));
    await writeFile(join(dir, "a", "intersections.csv"), INTERSECTIONS);
    const loaded = await loadCityGeocoder(dir);
    expect(loaded.geocode("50 Oak")).toEqual(city.geocode("50 Oak"));
    expect(loaded.geocode("Main & 2nd")).toEqual(city.geocode("Main & 2nd"));
  } finally {
    await rm(dir, { recursive: true });
  }
});

const dataDir = process.env["HEXDISPATCH_DATA_DIR"];
const listed = dataDir === undefined ? null : await findCityFile(dataDir, "addresses.csv");

describe.runIf(listed !== null)("with a city's real addresses", () => {
  test("nine of ten addresses put the tenth within 100 m", { timeout: 60_000 }, async () => {
    const csv = await readCityFile(listed ?? "");
    const { kept, held } = holdOut(csv);
    const startedAt = performance.now();
    const geocoder = createCityGeocoder({ addresses: kept, intersections: null });
    const loadMs = performance.now() - startedAt;
    const errorsM = errorsOf(geocoder, held);
    const share = (limitM: number): number =>
      errorsM.filter((error) => error <= limitM).length / held.size;
    const at = (part: number): number => errorsM[Math.floor(part * errorsM.length)] ?? Number.NaN;
    const figures = {
      held: held.size,
      found: errorsM.length / held.size,
      medianM: at(0.5),
      p95M: at(0.95),
      within100: share(100),
      loadMs,
    };
    console.log(JSON.stringify(figures));
    expect(figures.found).toBeGreaterThan(0.95);
    expect(figures.medianM).toBeLessThan(12);
    expect(figures.p95M).toBeLessThan(80);
    expect(figures.within100).toBeGreaterThan(0.93);
  });
});

/** Every tenth distinct address is held out, with all its records. */
function holdOut(csv: string): { kept: string; held: Map<string, LngLat> } {
  const columns = ["number", "street", "lat", "lng"];
  const order = new Map<string, number>();
  const kept = [columns.join(",")];
  const held = new Map<string, LngLat>();
  for (const row of parseCityCsv(csv, columns)) {
    const [number = "", street = "", lat = "", lng = ""] = row;
    const address = `${number} ${street}`;
    if (!order.has(address)) order.set(address, order.size);
    if ((order.get(address) ?? 0) % 10 === 0)
      held.set(address, { lat: Number(lat), lng: Number(lng) });
    else kept.push(row.join(","));
  }
  return { kept: kept.join("\n"), held };
}

function errorsOf(geocoder: Geocoder, held: ReadonlyMap<string, LngLat>): number[] {
  const errorsM: number[] = [];
  for (const [address, point] of held) {
    const result = geocoder.geocode(`${address}, San Francisco, CA`);
    if (result.found) errorsM.push(distanceM(result.point, point));
  }
  return errorsM.sort((a, b) => a - b);
}
