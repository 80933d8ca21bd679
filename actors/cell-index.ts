/**
 * The data plane under the cells: which courier is where, and who is nearest. Couriers have dense
 * ordinals and lie in flat arrays; each cell keeps the ordinals of its couriers in one contiguous
 * bucket. One owner, mutable, exempt from the immutability of the actors; `now` is an argument. A
 * ping allocates nothing, except when an array doubles. It refuses records that are not newer than
 * what it has, so that a fold of the cell streams gives the same index whatever was repeated or
 * came late, and it refuses couriers beyond its capacity.
 */
import { VEHICLES } from "../proto/geo.ts";
import type { LngLat, Vehicle } from "../proto/geo.ts";
import type { CellId, CourierId, Millis } from "../proto/ids.ts";
import type { CourierRecord } from "../proto/messages.ts";
import { isRobot } from "../proto/test-mode.ts";
import { CellTable } from "./cell-table.ts";
import { DEGREE_RAD } from "./geo.ts";
import type { NearestResult } from "./nearest-result.ts";

export type CellIndexOptions = {
  /** H3 resolution of the cells, 0 to 15. */
  readonly resolution: number;
  /** Couriers remembered at most, present ones and removed ones. */
  readonly capacityCouriers: number;
  /** Cells remembered at most; a city with its surroundings has a few thousand at resolution 8. */
  readonly capacityCells?: number;
};

export const CELLS_MAX = 65_536;

/** Which couriers a search may return. */
export type Admission = {
  /** A position older than this makes no candidate. */
  readonly staleMs: number;
  /** The caller's own gates, asked last. The ordinal is valid only during the call. */
  readonly accept?: (ordinal: number) => boolean;
};

const ABSENT = -1;
const BUCKET_MIN = 4;
const VEHICLE_CODES: ReadonlyMap<Vehicle, number> = new Map(VEHICLES.map((v, code) => [v, code]));

/** All columns of the couriers, indexed by ordinal. */
const columns = (size: number) => ({
  x: new Float64Array(size),
  y: new Float64Array(size),
  z: new Float64Array(size),
  lng: new Float64Array(size),
  lat: new Float64Array(size),
  at: new Float64Array(size),
  no: new Float64Array(size),
  slots: new Uint8Array(size),
  doubt: new Uint8Array(size),
  active: new Uint8Array(size),
  vehicle: new Uint8Array(size),
  online: new Uint8Array(size),
  present: new Uint8Array(size),
  /** Dense number of the cell, ABSENT without a position. */
  cell: new Int32Array(size).fill(ABSENT),
  /** Place in the cell's bucket. */
  place: new Int32Array(size),
});
type Columns = ReturnType<typeof columns>;

export class CellIndex {
  readonly #capacity: number;
  readonly #cells: CellTable;
  readonly #ids: CourierId[] = [];
  readonly #ordinals = new Map<CourierId, number>();
  readonly #buckets: Int32Array[] = [];
  readonly #sizes: number[] = [];
  #of: Columns;
  #present = 0;
  #recycled = 0;
  #refused = 0;
  // The search in progress: fields, because a closure per query would be garbage.
  #x = 0;
  #y = 0;
  #z = 0;
  #freshFrom = 0;

  constructor(options: CellIndexOptions) {
    this.#capacity = options.capacityCouriers;
    this.#cells = new CellTable(options.resolution, options.capacityCells ?? CELLS_MAX);
    this.#of = columns(Math.min(1_024, this.#capacity));
  }

  /** Couriers present, with or without a position. */
  count(): number {
    return this.#present;
  }

  /**
   * Records refused because the index was full of couriers or cells. Anything but 0 deserves an
   * alert.
   */
  refusedFull(): number {
    return this.#refused;
  }

  /**
   * Takes a courier's record. False, and nothing changes, when its number is not above the one
   * known (also of a removed courier) or when the index is full. A record with `at` 0 has no
   * position yet.
   */
  upsert(record: CourierRecord): boolean {
    let ordinal = this.#ordinals.get(record.courier) ?? ABSENT;
    if (ordinal !== ABSENT && record.no <= this.#of.no[ordinal]!) return false;
    const known = ordinal;
    if (ordinal === ABSENT) ordinal = this.#room();
    if (ordinal === ABSENT || !this.#locate(record, ordinal, known !== ABSENT)) {
      this.#refused += 1;
      return false;
    }
    if (known === ABSENT) this.#intern(record.courier, ordinal);
    const of = this.#of;
    this.#present += 1 - of.present[ordinal]!;
    of.present[ordinal] = 1;
    of.no[ordinal] = record.no;
    of.at[ordinal] = record.at;
    of.lng[ordinal] = record.lng;
    of.lat[ordinal] = record.lat;
    of.slots[ordinal] = record.slots;
    of.doubt[ordinal] = record.doubt;
    of.active[ordinal] = record.active;
    of.online[ordinal] = record.online ? 1 : 0;
    of.vehicle[ordinal] = VEHICLE_CODES.get(record.vehicle)!;
    return true;
  }

  /**
   * Forgets where a courier is; false when it was not there. With `no`, only if its record is not
   * newer than that (a leave that was overtaken). Its last number is kept, so that a late record
   * does not bring it back.
   */
  remove(courier: CourierId, no = Number.MAX_SAFE_INTEGER): boolean {
    const ordinal = this.#ordinals.get(courier);
    if (ordinal === undefined || this.#of.present[ordinal] === 0) return false;
    if (this.#of.no[ordinal]! > no) return false;
    this.#leaveBucket(ordinal);
    this.#of.present[ordinal] = 0;
    this.#present -= 1;
    return true;
  }

  /** The courier's last record, or null when it is not present. */
  get(courier: CourierId): CourierRecord | null {
    const ordinal = this.#ordinals.get(courier);
    if (ordinal === undefined || this.#of.present[ordinal] === 0) return null;
    return this.recordAt(ordinal);
  }

  /**
   * Calls `fn` with the record of every courier present, in no promised order. Allocates; not for
   * hot paths.
   */
  forEach(fn: (record: CourierRecord) => void): void {
    for (let ordinal = 0; ordinal < this.#ids.length; ordinal++) {
      if (this.#of.present[ordinal] === 1) fn(this.recordAt(ordinal));
    }
  }

  /** Couriers by cell who could take a delivery now: on shift, fresh, with a free slot. */
  supplyByCell(now: Millis, staleMs: number): Map<CellId, number> {
    const supply = new Map<CellId, number>();
    this.#freshFrom = now - staleMs;
    for (let ordinal = 0; ordinal < this.#ids.length; ordinal++) {
      const cell = this.#of.cell[ordinal]!;
      if (cell === ABSENT || !this.#isFree(ordinal) || isRobot(this.idAt(ordinal))) continue;
      const name = this.#cells.nameOf(cell);
      supply.set(name, (supply.get(name) ?? 0) + 1);
    }
    return supply;
  }

  /** The cell a courier is in, or null without a position. */
  cellOfCourier(courier: CourierId): CellId | null {
    const cell = this.#of.cell[this.#ordinals.get(courier) ?? this.#of.cell.length] ?? ABSENT;
    return cell === ABSENT ? null : this.#cells.nameOf(cell);
  }

  /** For `accept` and the reader of a result: who, with what, where. */
  idAt(ordinal: number): CourierId {
    return this.#ids[ordinal]!;
  }

  vehicleAt(ordinal: number): Vehicle {
    return VEHICLES[this.#of.vehicle[ordinal]!]!;
  }

  pointAt(ordinal: number): LngLat {
    return { lng: this.#of.lng[ordinal]!, lat: this.#of.lat[ordinal]! };
  }

  recordAt(ordinal: number): CourierRecord {
    const of = this.#of;
    return {
      courier: this.idAt(ordinal),
      no: of.no[ordinal]!,
      at: of.at[ordinal]!,
      lng: of.lng[ordinal]!,
      lat: of.lat[ordinal]!,
      vehicle: this.vehicleAt(ordinal),
      slots: of.slots[ordinal]!,
      doubt: of.doubt[ordinal]!,
      online: of.online[ordinal] === 1,
      active: of.active[ordinal]!,
    };
  }

  /**
   * Fills `out` with the nearest `max` couriers within `radiusM` of `from` who are on shift, fresh,
   * have a free slot and pass `accept`: exactly those that a scan of all couriers by great-circle
   * distance would give (among equally far ones at the cut, any). `max` is cut to the capacity of
   * `out`.
   *
   * Cells are walked by how near they can be; the walk ends where no further cell can hold anything
   * nearer than the last one found. Returns the number found.
   */
  nearest(
    from: LngLat,
    radiusM: number,
    max: number,
    now: Millis,
    admission: Admission,
    out: NearestResult,
  ): number {
    const cosLat = Math.cos(from.lat * DEGREE_RAD);
    this.#x = cosLat * Math.cos(from.lng * DEGREE_RAD);
    this.#y = cosLat * Math.sin(from.lng * DEGREE_RAD);
    this.#z = Math.sin(from.lat * DEGREE_RAD);
    this.#freshFrom = now - admission.staleMs;
    out.begin(radiusM, max);
    if (out.worst < 0) return 0;
    const centre = this.#cells.numberAt(from);
    if (centre === ABSENT) this.#walkAll(admission, out);
    else this.#walk(centre, admission, out);
    return out.finish();
  }

  #walk(centre: number, admission: Admission, out: NearestResult): void {
    const offset = this.#chordToCell(centre);
    const { cells, bounds } = this.#cells.diskOf(centre, out.worst);
    for (let i = 0; i < cells.length; i++) {
      if (bounds[i]! - offset > out.worst) return;
      const cell = cells[i]!;
      if (this.#chordToCell(cell) - this.#cells.outer[cell]! > out.worst) continue;
      this.#scan(cell, admission, out);
    }
  }

  /** The table is full and does not know the cell of the search: the slow way, still exact. */
  #walkAll(admission: Admission, out: NearestResult): void {
    for (let cell = 0; cell < this.#sizes.length; cell++) this.#scan(cell, admission, out);
  }

  #chordToCell(cell: number): number {
    const x = this.#cells.centreX[cell]! - this.#x;
    const y = this.#cells.centreY[cell]! - this.#y;
    const z = this.#cells.centreZ[cell]! - this.#z;
    return Math.sqrt(x * x + y * y + z * z);
  }

  #scan(cell: number, admission: Admission, out: NearestResult): void {
    const size = this.#sizes[cell] ?? 0;
    const bucket = this.#buckets[cell];
    if (bucket === undefined) return;
    const of = this.#of;
    let limit = out.worst * out.worst;
    for (let i = 0; i < size; i++) {
      const ordinal = bucket[i]!;
      const x = of.x[ordinal]! - this.#x;
      const y = of.y[ordinal]! - this.#y;
      const z = of.z[ordinal]! - this.#z;
      const squared = x * x + y * y + z * z;
      if (squared > limit) continue;
      if (!this.#isFree(ordinal)) {
        this.#countGate(ordinal, out);
        continue;
      }
      if (admission.accept !== undefined && !admission.accept(ordinal)) continue;
      out.insert(ordinal, Math.sqrt(squared));
      limit = out.worst * out.worst;
    }
  }

  #isFree(ordinal: number): boolean {
    const of = this.#of;
    return of.online[ordinal] === 1 && of.slots[ordinal]! > 0 && of.at[ordinal]! >= this.#freshFrom;
  }

  /** In the order of the gate table of `matching.ts`. */
  #countGate(ordinal: number, out: NearestResult): void {
    if (this.#of.online[ordinal] === 0) out.offShift += 1;
    else if (this.#of.at[ordinal]! < this.#freshFrom) out.stale += 1;
    else out.noSlots += 1;
  }

  /**
   * Puts the courier in the bucket of its cell. False when the cell is new and the table is full.
   */
  #locate(record: CourierRecord, ordinal: number, known: boolean): boolean {
    if (record.at <= 0) {
      if (known) this.#leaveBucket(ordinal);
      return true;
    }
    const cosLat = Math.cos(record.lat * DEGREE_RAD);
    const x = cosLat * Math.cos(record.lng * DEGREE_RAD);
    const y = cosLat * Math.sin(record.lng * DEGREE_RAD);
    const z = Math.sin(record.lat * DEGREE_RAD);
    const of = this.#of;
    const before = of.cell[ordinal]!;
    if (before === ABSENT || !this.#surelyIn(before, x, y, z)) {
      const cell = this.#cells.numberAt(record);
      if (cell === -1) return false;
      if (cell !== before) {
        this.#leaveBucket(ordinal);
        this.#enterBucket(ordinal, cell);
      }
    }
    of.x[ordinal] = x;
    of.y[ordinal] = y;
    of.z[ordinal] = z;
    return true;
  }

  /**
   * Inside the cell's inscribed circle: spares most calls of latLngToCell, the dearest part of a
   * ping.
   */
  #surelyIn(cell: number, x: number, y: number, z: number): boolean {
    const dx = this.#cells.centreX[cell]! - x;
    const dy = this.#cells.centreY[cell]! - y;
    const dz = this.#cells.centreZ[cell]! - z;
    return dx * dx + dy * dy + dz * dz < this.#cells.innerSquared[cell]!;
  }

  #enterBucket(ordinal: number, cell: number): void {
    while (this.#buckets.length <= cell) {
      this.#buckets.push(new Int32Array(BUCKET_MIN));
      this.#sizes.push(0);
    }
    const size = this.#sizes[cell]!;
    let bucket = this.#buckets[cell]!;
    if (size === bucket.length) {
      bucket = new Int32Array(size * 2);
      bucket.set(this.#buckets[cell]!);
      this.#buckets[cell] = bucket;
    }
    bucket[size] = ordinal;
    this.#sizes[cell] = size + 1;
    this.#of.cell[ordinal] = cell;
    this.#of.place[ordinal] = size;
  }

  /** The last of the bucket takes the free place. */
  #leaveBucket(ordinal: number): void {
    const of = this.#of;
    const cell = of.cell[ordinal]!;
    if (cell === ABSENT) return;
    const bucket = this.#buckets[cell]!;
    const last = this.#sizes[cell]! - 1;
    const moved = bucket[last]!;
    bucket[of.place[ordinal]!] = moved;
    of.place[moved] = of.place[ordinal]!;
    this.#sizes[cell] = last;
    of.cell[ordinal] = ABSENT;
  }

  /** An ordinal for a new courier: a fresh one, else that of a removed courier, else ABSENT. */
  #room(): number {
    if (this.#ids.length < this.#capacity) {
      if (this.#ids.length === this.#of.x.length) this.#grow();
      return this.#ids.length;
    }
    if (this.#present >= this.#capacity) return ABSENT;
    do this.#recycled = (this.#recycled + 1) % this.#capacity;
    while (this.#of.present[this.#recycled] === 1);
    return this.#recycled;
  }

  #intern(courier: CourierId, ordinal: number): void {
    const before = this.#ids[ordinal];
    if (before !== undefined) this.#ordinals.delete(before);
    this.#ids[ordinal] = courier;
    this.#ordinals.set(courier, ordinal);
  }

  #grow(): void {
    const wider = columns(Math.min(this.#capacity, this.#of.x.length * 2));
    for (const [name, column] of Object.entries(this.#of)) {
      wider[name as keyof Columns].set(column);
    }
    this.#of = wider;
  }
}
