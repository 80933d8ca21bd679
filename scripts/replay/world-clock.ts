/**
 * World time: seconds since midnight of the world's day, passing `compression` times faster than
 * the clock on the wall.
 */

export class WorldClock {
  readonly compression: number;
  readonly #startS: number;
  readonly #startedAt: number;

  constructor(startS: number, compression: number, startedAt = Date.now()) {
    this.#startS = startS;
    this.compression = compression;
    this.#startedAt = startedAt;
  }

  /** World seconds at a moment of the wall clock, default now. */
  at(wallMs = Date.now()): number {
    return this.#startS + ((wallMs - this.#startedAt) * this.compression) / 1_000;
  }
  /** How long on the wall `worldS` seconds take, milliseconds. */
  wallMs(worldS: number): number {
    return (worldS * 1_000) / this.compression;
  }
}
