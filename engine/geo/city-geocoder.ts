/**
 * The geocoder of one city, from two lists: addresses (`number, street, lat, lng`) and
 * intersections (`street_a, street_b, lat, lng`). Everything is in memory: a street keeps its known
 * house numbers sorted, the two sides of the street apart. A number that is not known lies on the
 * straight line between its neighbours of the same side.
 *
 * It refuses to guess: no point far beyond the last known number, none in a hole of the list, none
 * when two streets fit the words and lie apart.
 */
import { distanceM } from "../../actors/geo.ts";
import type { LngLat } from "../../proto/geo.ts";
import { parseAddress, parseStreet, SAN_FRANCISCO } from "./address-text.ts";
import type { ParsedAddress, Place, StreetName } from "./address-text.ts";
import { findCityFile, parseCityCsv, readCityFile } from "./city-files.ts";
import { NO_CITY_GEOCODER } from "./geocoder.ts";
import type { GeocodeResult, Geocoder } from "./geocoder.ts";
import { emptySide, pointOf, sideOf } from "./house-numbers.ts";
import type { HousePoint, Side } from "./house-numbers.ts";
import { meetingOf, NO_STREET_POINTS, streetPointsOf } from "./street-points.ts";
import type { StreetPoints } from "./street-points.ts";

/**
 * Streets of one name whose answers lie within this are one street to a courier ("Turk St", "Turk
 * Blvd").
 */
const SAME_PLACE_M = 200;
const HOUSE_NUMBER_MAX = 99_999;

export type CityLists = {
  /** CSV texts; null where the city has no such list. */
  readonly addresses: string | null;
  readonly intersections: string | null;
};

type Street = {
  readonly name: StreetName;
  readonly label: string;
  odd: Side;
  even: Side;
  /** Crossings and houses; sorted once both lists are read. */
  points: StreetPoints;
};

type Found = Extract<GeocodeResult, { found: true }>;
const NOT_FOUND: GeocodeResult = { found: false, reason: "not_found" };
const AMBIGUOUS: GeocodeResult = { found: false, reason: "ambiguous" };

/**
 * Of the city in `dir`, or one that answers `no_city_data` when there is no folder or no list in
 * it.
 */
export async function loadCityGeocoder(
  dir: string | null,
  place: Place = SAN_FRANCISCO,
): Promise<Geocoder> {
  if (dir === null) return NO_CITY_GEOCODER;
  const addresses = await findCityFile(dir, "addresses.csv");
  const intersections = await findCityFile(dir, "intersections.csv");
  if (addresses === null && intersections === null) return NO_CITY_GEOCODER;
  return createCityGeocoder(
    {
      addresses: addresses && (await readCityFile(addresses)),
      intersections: intersections && (await readCityFile(intersections)),
    },
    place,
  );
}

/** Builds the index. Throws when a list has not its columns; single malformed rows are left out. */
export function createCityGeocoder(lists: CityLists, place: Place = SAN_FRANCISCO): Geocoder {
  const city = new City();
  if (lists.addresses !== null) city.addAddresses(lists.addresses);
  if (lists.intersections !== null) city.addIntersections(lists.intersections);
  city.finish();
  return {
    geocode: (text) => {
      const parsed = parseAddress(text, place);
      return parsed === null ? NOT_FOUND : city.locate(parsed);
    },
  };
}

class City {
  /** Streets by the name without its suffix: "4TH" has 4th St and 4th Ave. */
  readonly #byBase = new Map<string, Street[]>();
  readonly #crossings = new Map<string, LngLat[]>();
  /** Only while the lists are read. */
  readonly #crossingsOf = new Map<Street, LngLat[]>();
  readonly #housesOf = new Map<Street, LngLat[]>();

  addAddresses(csv: string): void {
    const byStreet = new Map<Street, Map<number, LngLat[]>>();
    const streets = new Map<string, Street | null>();
    for (const [number = "", street = "", lat = "", lng = ""] of parseCityCsv(csv, [
      "number",
      "street",
      "lat",
      "lng",
    ])) {
      const known = this.#streetOf(street, streets);
      const point = pointOf(lat, lng);
      const n = Number(number);
      const valid = Number.isInteger(n) && n >= 1 && n <= HOUSE_NUMBER_MAX;
      if (known === null || point === null || !valid) continue;
      const numbers = upsert(byStreet, known, () => new Map<number, LngLat[]>());
      upsert(numbers, n, () => []).push(point);
      upsert(this.#housesOf, known, () => []).push(point);
    }
    for (const [street, numbers] of byStreet) {
      street.odd = sideOf(numbers, 1);
      street.even = sideOf(numbers, 0);
    }
  }

  addIntersections(csv: string): void {
    const streets = new Map<string, Street | null>();
    for (const [nameA = "", nameB = "", lat = "", lng = ""] of parseCityCsv(csv, [
      "street_a",
      "street_b",
      "lat",
      "lng",
    ])) {
      const a = this.#streetOf(nameA, streets);
      const b = this.#streetOf(nameB, streets);
      const point = pointOf(lat, lng);
      if (a === null || b === null || point === null) continue;
      upsert(this.#crossings, pairKey(a, b), () => []).push(point);
      for (const street of [a, b]) upsert(this.#crossingsOf, street, () => []).push(point);
    }
  }

  finish(): void {
    for (const street of [...this.#byBase.values()].flat()) {
      const houses = this.#housesOf.get(street) ?? [];
      street.points = streetPointsOf(this.#crossingsOf.get(street) ?? [], houses);
    }
    this.#crossingsOf.clear();
    this.#housesOf.clear();
  }

  locate(address: ParsedAddress): GeocodeResult {
    if (address.kind === "number") return this.#number(address.number, address.street);
    if (address.kind === "crossing") return this.#crossing(...address.streets);
    const [first, second] = address.ends;
    const from = this.#crossing(address.street, first);
    const to = this.#crossing(address.street, second);
    if (!from.found) return from;
    if (!to.found) return to;
    return {
      ...from,
      point: midpoint(from.point, to.point),
      label: `${from.label} to ${to.label}`,
    };
  }

  #number(number: number, name: StreetName): GeocodeResult {
    const found: Found[] = [];
    for (const street of this.#streetsNamed(name)) {
      const [same, other] =
        number % 2 === 1 ? [street.odd, street.even] : [street.even, street.odd];
      const point: HousePoint | null = same.locate(number) ?? other.locate(number);
      if (point !== null) found.push({ found: true, ...point, label: `${number} ${street.label}` });
    }
    return onePlace(found);
  }

  #crossing(nameA: StreetName, nameB: StreetName): GeocodeResult {
    const pairs = this.#streetsNamed(nameA).flatMap((a) =>
      this.#streetsNamed(nameB).flatMap((b): [Street, Street][] => (a === b ? [] : [[a, b]])),
    );
    const listed = pairs.flatMap(([a, b]) =>
      (this.#crossings.get(pairKey(a, b)) ?? []).map((point) => crossingAt(point, a, b)),
    );
    if (listed.length > 0) return onePlace(listed);
    return onePlace(
      pairs.flatMap(([a, b]) => {
        const point = meetingOf(a.points, b.points);
        return point === null ? [] : [crossingAt(point, a, b)];
      }),
    );
  }

  /**
   * The street itself; without a suffix, or with one that no such street has, all streets of that
   * name.
   */
  #streetsNamed(name: StreetName): readonly Street[] {
    const streets = this.#byBase.get(name.base) ?? [];
    const exact = name.suffix === "" ? [] : streets.filter((s) => s.name.suffix === name.suffix);
    return exact.length > 0 ? exact : streets;
  }

  /**
   * The street of a list's row, made when new. `seen` spares parsing each spelling more than once.
   */
  #streetOf(text: string, seen: Map<string, Street | null>): Street | null {
    const known = seen.get(text);
    if (known !== undefined) return known;
    const name = parseStreet(text);
    const street = name === null ? null : this.#street(name);
    seen.set(text, street);
    return street;
  }

  #street(name: StreetName): Street {
    const streets = upsert(this.#byBase, name.base, () => []);
    const known = streets.find((street) => street.name.suffix === name.suffix);
    if (known !== undefined) return known;
    const street = {
      name,
      label: labelOf(name),
      odd: emptySide,
      even: emptySide,
      points: NO_STREET_POINTS,
    };
    streets.push(street);
    return street;
  }
}

function upsert<K, V>(map: Map<K, V>, key: K, make: () => V): V {
  const known = map.get(key);
  if (known !== undefined) return known;
  const value = make();
  map.set(key, value);
  return value;
}

function pairKey(a: Street, b: Street): string {
  const [first, second] = a.label < b.label ? [a, b] : [b, a];
  return `${first.label}|${second.label}`;
}

/** All that was found, if it is one place. A known address says more than an interpolated one. */
function onePlace(found: readonly Found[]): GeocodeResult {
  const best = found.find(({ match }) => match === "exact") ?? found[0];
  if (best === undefined) return NOT_FOUND;
  const apart = found.some(({ point }) => distanceM(point, best.point) > SAME_PLACE_M);
  return apart ? AMBIGUOUS : best;
}

const crossingAt = (point: LngLat, a: Street, b: Street): Found => ({
  found: true,
  point,
  match: "intersection",
  label: `${a.label} & ${b.label}`,
});

const midpoint = (a: LngLat, b: LngLat): LngLat => ({
  lng: (a.lng + b.lng) / 2,
  lat: (a.lat + b.lat) / 2,
});

/** "10TH", "AVE" -> "10th Ave"; "BUENA VISTA EAST", "AVE" -> "Buena Vista Ave East". */
function labelOf({ base, suffix }: StreetName): string {
  const [, name = base, side = ""] = /^(.+)( (?:NORTH|SOUTH|EAST|WEST))$/.exec(base) ?? [];
  return (suffix === "" ? base : `${name} ${suffix}${side}`)
    .toLowerCase()
    .replace(/\b[a-z]/g, (letter) => letter.toUpperCase());
}
