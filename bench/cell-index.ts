/**
 * What a search for the three nearest couriers and a ping cost in the cell index, against two
 * obvious ways in the same run, alternated: a scan of all couriers (two Float64Arrays), and H3
 * cells as strings in a Map of Sets with a gridDisk for each query. All must find the same
 * distances, or the bench fails. Nanoseconds, median of rounds.
 *
 * Run: npx tsx bench/cell-index.ts [seed]
 */
import { cellOf, distanceM, gridDiskCells } from "../actors/geo.ts";
import { CellIndex } from "../actors/cell-index.ts";
import { NearestResult } from "../actors/nearest-result.ts";
import type { LngLat } from "../proto/geo.ts";
import type { CellId, CourierId } from "../proto/ids.ts";
import type { CourierRecord } from "../proto/messages.ts";
import { median, report, seeded } from "./report.ts";

const SF = { west: -122.52, south: 37.705, east: -122.355, north: 37.835 };
const NOW = 1_800_000_000_000;
const RADIUS_M = 5_000;
const MAX = 3;
const STEP_DEG = 80 / 111_195;
const ROUNDS = 7;
const QUERIES = 2_000;
const PINGS = 20_000;

type Contender = {
  readonly move: (courier: number, to: LngLat) => void;
  /** The distances of the nearest three, metres. */
  readonly nearest: (from: LngLat) => readonly number[];
};

const seed = Number(process.argv[2] ?? 1);

function measure(couriers: number): Record<string, unknown> {
  const random = seeded(seed);
  const somewhere = (): LngLat => ({
    lng: SF.west + random() * (SF.east - SF.west),
    lat: SF.south + random() * (SF.north - SF.south),
  });
  const points = Array.from({ length: couriers }, somewhere);
  const contenders: Readonly<Record<string, Contender>> = {
    cellIndex: cellIndex(couriers),
    plainScan: plainScan(couriers),
    stringMap: stringMap(couriers),
  };
  for (const contender of Object.values(contenders)) {
    points.forEach((point, courier) => contender.move(courier, point));
  }
  const queryNs: Record<string, number[]> = {};
  const updateNs: Record<string, number[]> = {};
  for (let round = 0; round < ROUNDS; round++) {
    const queries = Array.from({ length: QUERIES }, somewhere);
    const pings = Array.from({ length: PINGS }, () => step(points, random));
    const answers: number[] = [];
    for (const [name, contender] of Object.entries(contenders)) {
      (queryNs[name] ??= []).push(timeNs(queries.length, (i) => contender.nearest(queries[i]!)));
      (updateNs[name] ??= []).push(
        timeNs(pings.length, (i) => contender.move(pings[i]!.courier, pings[i]!.to)),
      );
      answers.push(checksum(contender, queries));
    }
    if (Math.max(...answers) - Math.min(...answers) > 1e-3)
      throw new Error(`answers: ${answers.join()}`);
  }
  return { queryNs: medians(queryNs), updateNs: medians(updateNs) };
}

/** A courier rides about 80 m, ten seconds on a bicycle or in a car. */
function step(points: LngLat[], random: () => number): { courier: number; to: LngLat } {
  const courier = Math.floor(random() * points.length);
  const from = points[courier]!;
  const to = {
    lng: from.lng + ((random() - 0.5) * 2 * STEP_DEG) / 0.79,
    lat: from.lat + (random() - 0.5) * 2 * STEP_DEG,
  };
  points[courier] = to;
  return { courier, to };
}

function timeNs(times: number, run: (i: number) => void): number {
  const startedAt = process.hrtime.bigint();
  for (let i = 0; i < times; i++) run(i);
  return Number(process.hrtime.bigint() - startedAt) / times;
}

const checksum = (contender: Contender, queries: readonly LngLat[]): number =>
  queries.reduce((sum, from) => sum + contender.nearest(from).reduce((a, b) => a + b, 0), 0);

const medians = (rounds: Readonly<Record<string, readonly number[]>>): Record<string, number> =>
  Object.fromEntries(Object.entries(rounds).map(([name, ns]) => [name, Math.round(median(ns))]));

function cellIndex(couriers: number): Contender {
  const index = new CellIndex({ resolution: 8, capacityCouriers: couriers });
  const out = new NearestResult(MAX);
  const admission = { staleMs: 60_000 };
  let no = 0;
  // One record for all pings, as a decoder that reuses its memory would hand them over.
  const record = {
    courier: "" as CourierId,
    no: 0,
    at: NOW,
    lng: 0,
    lat: 0,
    vehicle: "bike",
    slots: 1,
    doubt: 0,
    online: true,
    active: 0,
  } satisfies CourierRecord;
  const ids = Array.from({ length: couriers }, (_, n) => `cur_${n}` as CourierId);
  return {
    move: (courier, to) => {
      record.courier = ids[courier]!;
      record.no = ++no;
      record.lng = to.lng;
      record.lat = to.lat;
      index.upsert(record);
    },
    nearest: (from) => {
      index.nearest(from, RADIUS_M, MAX, NOW, admission, out);
      return Array.from(out.distancesM.subarray(0, out.count));
    },
  };
}

/** Equirectangular squares with the cosine of the query's latitude: the cheapest scan there is. */
function plainScan(couriers: number): Contender {
  const lng = new Float64Array(couriers);
  const lat = new Float64Array(couriers);
  return {
    move: (courier, to) => {
      lng[courier] = to.lng;
      lat[courier] = to.lat;
    },
    nearest: (from) => {
      const stretch = Math.cos((from.lat * Math.PI) / 180);
      // The shortlist is longer than the answer, so that near ties come out in the right order.
      const list = new Shortlist(MAX + 3);
      for (let i = 0; i < couriers; i++) {
        const x = (lng[i]! - from.lng) * stretch;
        const y = lat[i]! - from.lat;
        list.offer(i, x * x + y * y);
      }
      return list.distancesM(from, (i) => ({ lng: lng[i]!, lat: lat[i]! }));
    },
  };
}

/**
 * What one writes first: growing disks until the third nearest is nearer than the next ring can be.
 */
function stringMap(couriers: number): Contender {
  const cells = new Map<CellId, Set<number>>();
  const of: (CellId | undefined)[] = Array.from({ length: couriers });
  const points: LngLat[] = [];
  return {
    move: (courier, to) => {
      points[courier] = to;
      const cell = cellOf(to, 8);
      const before = of[courier];
      if (cell === before) return;
      if (before !== undefined) cells.get(before)?.delete(courier);
      of[courier] = cell;
      const there = cells.get(cell) ?? new Set<number>();
      cells.set(cell, there.add(courier));
    },
    nearest: (from) => {
      const centre = cellOf(from, 8);
      for (let k = 1; ; k++) {
        const list = new Shortlist(MAX);
        for (const cell of gridDiskCells(centre, k)) {
          for (const i of cells.get(cell) ?? []) list.offer(i, distanceM(from, points[i]!));
        }
        // k rings reach 1.5 k edges less one (an edge is 0.46 km at the least).
        const sureM = (1.5 * k - 0.7) * 460;
        if ((list.count === MAX && list.worst < sureM) || sureM > RADIUS_M) {
          return list.distancesM(from, (i) => points[i]!);
        }
      }
    },
  };
}

class Shortlist {
  count = 0;
  worst = Infinity;
  readonly #size: number;
  readonly #items: number[] = [];
  readonly #keys: number[] = [];

  constructor(size: number) {
    this.#size = size;
  }

  offer(item: number, key: number): void {
    if (key >= this.worst) return;
    let i = this.count < this.#size ? this.count++ : this.#size - 1;
    for (; i > 0 && this.#keys[i - 1]! > key; i--) {
      this.#keys[i] = this.#keys[i - 1]!;
      this.#items[i] = this.#items[i - 1]!;
    }
    this.#keys[i] = key;
    this.#items[i] = item;
    if (this.count === this.#size) this.worst = this.#keys[this.#size - 1]!;
  }

  distancesM(from: LngLat, pointAt: (item: number) => LngLat): number[] {
    return this.#items
      .map((item) => distanceM(from, pointAt(item)))
      .filter((d) => d <= RADIUS_M)
      .sort((a, b) => a - b)
      .slice(0, MAX);
  }
}

const figures: Record<string, unknown> = { seed };
for (const couriers of [2_000, 20_000]) figures[`${couriers}`] = measure(couriers);
report("cell-index", figures);
