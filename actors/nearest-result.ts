/**
 * The answer of a search for the nearest couriers: a short sorted list in flat arrays, made once by
 * the caller and filled again and again. It also says how far a courier may be to still matter,
 * which is what ends a search.
 */
import { chordOfM, metresOfChord } from "./cell-table.ts";

export class NearestResult {
  readonly capacity: number;
  count = 0;
  /** Ordinals, nearest first; entries 0 to count - 1 are valid until the index changes. */
  readonly ordinals: Int32Array;
  /** Great-circle distances, metres (chords while the search runs). */
  readonly distancesM: Float64Array;
  /**
   * Couriers that were near enough but turned away, by gate. Those further than the answer's last
   * one were not looked at and are not counted.
   */
  offShift = 0;
  stale = 0;
  noSlots = 0;
  /** A courier further than this chord cannot enter the list any more. */
  worst = 0;
  #max = 0;

  constructor(capacity: number) {
    this.capacity = capacity;
    this.ordinals = new Int32Array(capacity);
    this.distancesM = new Float64Array(capacity);
  }

  begin(radiusM: number, max: number): void {
    this.count = 0;
    this.offShift = 0;
    this.stale = 0;
    this.noSlots = 0;
    this.#max = Math.min(max, this.capacity);
    this.worst = this.#max > 0 ? chordOfM(radiusM) : -1;
  }

  /** Takes a courier who is not further than `worst`; a full list drops its last one. */
  insert(ordinal: number, chord: number): void {
    const { ordinals, distancesM } = this;
    let i = this.count < this.#max ? this.count++ : this.#max - 1;
    for (; i > 0 && distancesM[i - 1]! > chord; i--) {
      distancesM[i] = distancesM[i - 1]!;
      ordinals[i] = ordinals[i - 1]!;
    }
    distancesM[i] = chord;
    ordinals[i] = ordinal;
    if (this.count === this.#max) this.worst = distancesM[this.#max - 1]!;
  }

  finish(): number {
    for (let i = 0; i < this.count; i++) this.distancesM[i] = metresOfChord(this.distancesM[i]!);
    return this.count;
  }
}
