/**
 * The H3 cells that a cell index has met, under small dense numbers, with the geometry that a
 * search needs: centres, circles around and inside them, and for a centre cell the cells around it
 * sorted by how near they can be. It knows no courier. Cells are never forgotten: their number is
 * bounded by `cellsMax`, and a full table refuses new cells.
 *
 * Geometry is done on unit vectors: the straight line (chord) through the earth between two points
 * grows with their great-circle distance, obeys the triangle inequality, and costs three
 * multiplications where the haversine costs five trigonometric functions. Lengths here are
 * therefore chords on a sphere of radius 1.
 */
import type { LngLat } from "../proto/geo.ts";
import type { CellId } from "../proto/ids.ts";
import { cellCentre, cellCorners, cellOf, DEGREE_RAD, EARTH_RADIUS_M, ringsAround } from "./geo.ts";

/** Centre cells whose surroundings are kept; the oldest goes first. A city has a few hundred. */
const DISKS_MAX = 4_096;
/** A search further than this many rings is a wrong resolution or a radius in the wrong unit. */
const DISK_RINGS_MAX = 128;
/** Rounding allowance on every bound: 1 m, far above the error of H3's own border arithmetic. */
const SLACK = 1 / EARTH_RADIUS_M;

/** The cells that can hold a point within `reach` of any point of the centre cell. */
export type Disk = {
  readonly reach: number;
  /** Dense cell numbers, by rising `bounds`. */
  readonly cells: Int32Array;
  /** No point of the cell is nearer than this to the centre of the centre cell. */
  readonly bounds: Float64Array;
};

/** The chord of a great-circle distance on the unit sphere. */
export const chordOfM = (distanceM: number): number =>
  2 * Math.sin(Math.min(distanceM / EARTH_RADIUS_M, Math.PI) / 2);

/** The great-circle distance in metres of a chord on the unit sphere. */
export const metresOfChord = (chord: number): number =>
  2 * EARTH_RADIUS_M * Math.asin(Math.min(1, chord / 2));

type Vector = readonly [number, number, number];

const vectorOf = (p: LngLat): Vector => {
  const cosLat = Math.cos(p.lat * DEGREE_RAD);
  const lng = p.lng * DEGREE_RAD;
  return [cosLat * Math.cos(lng), cosLat * Math.sin(lng), Math.sin(p.lat * DEGREE_RAD)];
};

/** Chord from `c` to the great circle through `a` and `b`; no point of the edge ab is nearer. */
function chordToEdge(c: Vector, a: Vector, b: Vector): number {
  const x = a[1] * b[2] - a[2] * b[1];
  const y = a[2] * b[0] - a[0] * b[2];
  const z = a[0] * b[1] - a[1] * b[0];
  const sine = Math.abs(x * c[0] + y * c[1] + z * c[2]) / Math.hypot(x, y, z);
  return 2 * Math.sin(Math.asin(Math.min(1, sine)) / 2);
}

const grown = (old: Float64Array<ArrayBuffer>): Float64Array<ArrayBuffer> => {
  const wider = new Float64Array(old.length * 2);
  wider.set(old);
  return wider;
};

export class CellTable {
  readonly resolution: number;
  readonly cellsMax: number;
  /** Number of cells met so far; their dense numbers are 0 to count - 1. */
  count = 0;
  centreX = new Float64Array(1_024);
  centreY = new Float64Array(1_024);
  centreZ = new Float64Array(1_024);
  /** Radius of the circle around the cell. */
  outer = new Float64Array(1_024);
  /** Squared radius of the circle inside the cell: who is within it is surely in the cell. */
  innerSquared = new Float64Array(1_024);
  readonly #names: CellId[] = [];
  readonly #numbers = new Map<CellId, number>();
  readonly #disks = new Map<number, Disk>();

  constructor(resolution: number, cellsMax: number) {
    this.resolution = resolution;
    this.cellsMax = cellsMax;
  }

  /** The dense number of the cell of a point, or -1 when it is new and the table is full. */
  numberAt(p: LngLat): number {
    return this.numberOf(cellOf(p, this.resolution));
  }

  numberOf(cell: CellId): number {
    const known = this.#numbers.get(cell);
    if (known !== undefined) return known;
    if (this.count >= this.cellsMax) return -1;
    return this.#add(cell);
  }

  nameOf(number: number): CellId {
    const name = this.#names[number];
    if (name === undefined) throw new RangeError(`no cell has the number ${number}`);
    return name;
  }

  /** The cells to search for anything within `reach` (a chord) of any point of cell `centre`. */
  diskOf(centre: number, reach: number): Disk {
    const kept = this.#disks.get(centre);
    if (kept !== undefined && kept.reach >= reach) return kept;
    const disk = this.#buildDisk(centre, reach);
    for (const oldest of this.#disks.keys()) {
      if (this.#disks.size < DISKS_MAX) break;
      this.#disks.delete(oldest);
    }
    this.#disks.set(centre, disk);
    return disk;
  }

  #add(cell: CellId): number {
    const number = this.count;
    if (number === this.centreX.length) this.#grow();
    const centre = vectorOf(cellCentre(cell));
    const corners = cellCorners(cell).map(vectorOf);
    let outer = 0;
    let inner = 2;
    let before = corners.at(-1) as Vector;
    for (const corner of corners) {
      const [x, y, z] = corner;
      outer = Math.max(outer, Math.hypot(x - centre[0], y - centre[1], z - centre[2]));
      inner = Math.min(inner, chordToEdge(centre, before, corner));
      before = corner;
    }
    [this.centreX[number], this.centreY[number], this.centreZ[number]] = centre;
    this.outer[number] = outer + SLACK;
    this.innerSquared[number] = Math.max(0, inner - SLACK) ** 2;
    this.#names.push(cell);
    this.#numbers.set(cell, number);
    this.count += 1;
    return number;
  }

  /**
   * A way from the centre to a cell of ring k + 1 passes through ring k, so once a whole ring is
   * out of reach, all further ones are. A new cell in a full table can never hold a courier and is
   * left out.
   */
  #buildDisk(centre: number, reach: number): Disk {
    const found: [bound: number, cell: number][] = [];
    const limit = reach + this.#outerOf(centre);
    const rings = this.#ringsUntil(centre, limit);
    for (const cell of rings.flat()) {
      const number = this.numberOf(cell);
      if (number === -1) continue;
      const bound = this.#boundOf(centre, number);
      if (bound <= limit) found.push([bound, number]);
    }
    found.sort((a, b) => a[0] - b[0] || a[1] - b[1]);
    return {
      reach,
      cells: Int32Array.from(found, ([, cell]) => cell),
      bounds: Float64Array.from(found, ([bound]) => bound),
    };
  }

  #ringsUntil(centre: number, limit: number): CellId[][] {
    // Rings of a hexagonal grid lie at least 1.5 edges apart, and the edge equals the outer radius.
    let k = Math.ceil(limit / (1.5 * this.#outerOf(centre))) + 1;
    for (; k <= DISK_RINGS_MAX; k++) {
      const rings = ringsAround(this.nameOf(centre), k);
      const last = (rings[k] ?? []).map((cell) => this.#boundOfCell(centre, cell));
      if (Math.min(...last) > limit) return rings;
    }
    throw new RangeError(`a search over more than ${DISK_RINGS_MAX} rings of cells`);
  }

  #boundOf(centre: number, cell: number): number {
    const x = this.centreX[cell]! - this.centreX[centre]!;
    const y = this.centreY[cell]! - this.centreY[centre]!;
    const z = this.centreZ[cell]! - this.centreZ[centre]!;
    return Math.hypot(x, y, z) - this.#outerOf(cell);
  }

  /**
   * The same for a cell that need not be in the table: its outer circle is taken twice as large.
   */
  #boundOfCell(centre: number, cell: CellId): number {
    const [x, y, z] = vectorOf(cellCentre(cell));
    const toCentre = Math.hypot(
      x - this.centreX[centre]!,
      y - this.centreY[centre]!,
      z - this.centreZ[centre]!,
    );
    return toCentre - 2 * this.#outerOf(centre);
  }

  #outerOf(cell: number): number {
    return this.outer[cell]!;
  }

  #grow(): void {
    this.centreX = grown(this.centreX);
    this.centreY = grown(this.centreY);
    this.centreZ = grown(this.centreZ);
    this.outer = grown(this.outer);
    this.innerSquared = grown(this.innerSquared);
  }
}
