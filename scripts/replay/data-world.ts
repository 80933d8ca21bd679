/**
 * A world of real data: the fleet's day as couriers, ride-hail demand by zone and hour as the
 * stream of orders, real addresses as doors. Files are found by name at any depth below the data
 * folder: `pings.csv`, `taz_points.csv`, `tnc_hourly.csv`, `addresses.csv`, plain or gzipped.
 */
import { distanceM, inBox } from "../../actors/geo.ts";
import { findCityFile, parseCityCsv, readCityFile } from "../../engine/geo/city-files.ts";
import type { LngLat } from "../../proto/geo.ts";
import { SERVICE_AREA_DEFAULT } from "../../proto/limits.ts";
import { readFleet } from "./fleet.ts";
import { seeded, weightedIndex } from "./random.ts";
import type { Random } from "./random.ts";
import type { Place, World } from "./world.ts";

export type DataWorldOptions = {
  readonly folder: string;
  readonly couriers: number;
  readonly ordersPerDay: number;
  readonly seed: number;
  readonly flat: boolean;
};

/** 0 is Monday: the fleet's day was a Thursday too. */
const THURSDAY = "3";
/** Deliveries are this long on average: the decay of demand with distance is fitted to it. */
const DELIVERY_MEAN_M = 2_750;
/** Addresses are kept in squares of this many degrees, about 300 m. */
const SQUARE_DEG = 0.003;
const SQUARES_AROUND_MAX = 3;

type Zone = LngLat & { readonly pickups: number[]; readonly dropoffs: number[] };

export async function readDataWorld(options: DataWorldOptions): Promise<World> {
  const read = async (name: string, columns: readonly string[]): Promise<string[][]> => {
    const path = await findCityFile(options.folder, name);
    if (path === null) throw new Error(`there is no ${name} below ${options.folder}`);
    return parseCityCsv(await readCityFile(path), columns);
  };
  const fleet = readFleet(await read("pings.csv", ["ts", "cab", "lat", "lng"]), options);
  const zones = zonesOf(
    await read("taz_points.csv", ["taz", "lat", "lng"]),
    await read("tnc_hourly.csv", ["taz", "day_of_week", "hour", "pickups", "dropoffs"]),
  );
  const columns = ["number", "street", "lat", "lng"];
  const addresses = addressBook(await read("addresses.csv", columns));
  const demand = demandOf(zones);
  return {
    name: "San Francisco, a Thursday",
    notes: [...fleet.notes, ...demandNotes(options.flat, demand.decayM)],
    traces: fleet.traces,
    ordersPerS: (worldS) => {
      const share = options.flat ? 1 / 24 : (demand.shares[hourOf(worldS)] as number);
      return (options.ordersPerDay * share) / 3_600;
    },
    order: (worldS, random) => {
      const [from, to] = demand.pair(hourOf(worldS), random);
      return { origin: addresses(from, random), destination: addresses(to, random) };
    },
  };
}

const hourOf = (worldS: number): number => Math.floor(worldS / 3_600) % 24;

const demandNotes = (flat: boolean, decayM: number): string[] => [
  "When and where deliveries are asked for follows ride-hail pickups by zone and hour of a Thursday (rides, not parcels).",
  `The dropoff zone is drawn by dropoffs, times exp(-distance / ${Math.round(decayM)} m), fitted to a mean of ${DELIVERY_MEAN_M} m; doors are real addresses near the zone's point.`,
  flat ? "The rate is the same all day (--flat)." : "The rate follows the hours of the day.",
];

function zonesOf(points: string[][], hourly: string[][]): Zone[] {
  const zones = new Map<string, Zone>();
  for (const [taz = "", lat, lng] of points) {
    const at = { lng: Number(lng), lat: Number(lat) };
    if (!inBox(at, SERVICE_AREA_DEFAULT)) continue; // The Farallon islands.
    const none = (): number[] => Array.from({ length: 24 }, () => 0);
    zones.set(taz, { ...at, pickups: none(), dropoffs: none() });
  }
  for (const [taz = "", day, hour, pickups, dropoffs] of hourly) {
    const zone = zones.get(taz);
    if (zone === undefined || day !== THURSDAY) continue;
    // Hours 24 to 26 are the first of the next day.
    zone.pickups[Number(hour) % 24] = Number(pickups);
    zone.dropoffs[Number(hour) % 24] = Number(dropoffs);
  }
  return [...zones.values()];
}

type Demand = {
  /** Share of the day's orders in each hour. */
  readonly shares: readonly number[];
  readonly decayM: number;
  readonly pair: (hour: number, random: Random) => [Zone, Zone];
};

function demandOf(zones: readonly Zone[]): Demand {
  const hours = Array.from({ length: 24 }, (_, hour) =>
    zones.reduce((sum, zone) => sum + (zone.pickups[hour] as number), 0),
  );
  const day = hours.reduce((sum, pickups) => sum + pickups, 0);
  const pickupWeights = Array.from({ length: 24 }, (_, hour) =>
    cumulative(zones.map((zone) => zone.pickups[hour] as number)),
  );
  const decayM = fittedDecayM(zones);
  return {
    shares: hours.map((pickups) => pickups / day),
    decayM,
    pair: (hour, random) => {
      const from = zones[weightedIndex(random, pickupWeights[hour] as number[])] as Zone;
      const weights = zones.map((to) => dropoffWeight(from, to, hour, decayM));
      return [from, zones[weightedIndex(random, cumulative(weights))] as Zone];
    },
  };
}

const dropoffWeight = (from: Zone, to: Zone, hour: number, decayM: number): number =>
  (to.dropoffs[hour] as number) * Math.exp(-distanceM(from, to) / decayM);

function cumulative(weights: readonly number[]): number[] {
  let sum = 0;
  return weights.map((weight) => (sum += weight));
}

/**
 * The decay at which deliveries have the wanted mean length, by bisection on a sample of pickups at
 * noon.
 */
function fittedDecayM(zones: readonly Zone[]): number {
  const hour = 12;
  const random = seeded(1);
  const byPickups = cumulative(zones.map((zone) => zone.pickups[hour] as number));
  const sample = Array.from({ length: 150 }, () => zones[weightedIndex(random, byPickups)] as Zone);
  const meanM = (decayM: number): number => {
    let total = 0;
    for (const from of sample) {
      let weights = 0;
      let metres = 0;
      for (const to of zones) {
        const weight = dropoffWeight(from, to, hour, decayM);
        weights += weight;
        metres += weight * distanceM(from, to);
      }
      total += metres / weights;
    }
    return total / sample.length;
  };
  let low = 100;
  let high = 20_000;
  for (let i = 0; i < 12; i++) {
    const middle = Math.sqrt(low * high);
    if (meanM(middle) < DELIVERY_MEAN_M) low = middle;
    else high = middle;
  }
  return Math.sqrt(low * high);
}

/**
 * A function that gives a random address near a point; the point itself where there is none within
 * 900 m.
 */
function addressBook(rows: string[][]): (near: LngLat, random: Random) => Place {
  const squares = new Map<string, Place[]>();
  const square = (value: number): number => Math.floor(value / SQUARE_DEG);
  for (const [number = "", street = "", lat, lng] of rows) {
    const at = { lng: Number(lng), lat: Number(lat) };
    const key = `${square(at.lng)},${square(at.lat)}`;
    const kept = squares.get(key) ?? [];
    squares.set(key, kept);
    kept.push({ ...at, address: `${number} ${readable(street)}, San Francisco` });
  }
  return (near, random) => {
    const [x, y] = [square(near.lng), square(near.lat)];
    for (let k = 0; k <= SQUARES_AROUND_MAX; k++) {
      const found: Place[] = [];
      for (let dx = -k; dx <= k; dx++) {
        for (let dy = -k; dy <= k; dy++) found.push(...(squares.get(`${x + dx},${y + dy}`) ?? []));
      }
      if (found.length > 0) return found[Math.floor(random() * found.length)] as Place;
    }
    return { lng: near.lng, lat: near.lat, address: null };
  };
}

/** "10TH AVE" as people write it: "10th Ave". */
const readable = (street: string): string =>
  street.toLowerCase().replace(/(^|\s)([a-z])/g, (_, gap: string, letter: string) => {
    return gap + letter.toUpperCase();
  });
