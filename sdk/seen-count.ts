/**
 * Counts the frames of positions of one connection and knows when the server wants to hear of it
 * (the `seen` frame): it sends no more to whoever does not say what was seen. Pure bookkeeping.
 */
import { SEEN_EVERY_FRAMES, SEEN_EVERY_MS } from "../proto/limits.ts";

export class SeenCount {
  #every: number = SEEN_EVERY_FRAMES;
  #frames = 0;
  #told = 0;
  #toldAt = 0;
  /** So much sooner comes the second one. */
  #lead = 0;

  /**
   * A connection begins. `every`: what its server asked for. `random`, in [0, 1): where in its turn
   * this one is, so that thousands whose frames began at one moment do not all tell at one moment.
   */
  start(every: number | null, now: number, random: number): void {
    this.#every = every ?? SEEN_EVERY_FRAMES;
    this.#lead = Math.floor(random * this.#every);
    this.#frames = 0;
    this.#told = 0;
    // The server counts from never: the first frame is told at once.
    this.#toldAt = now - SEEN_EVERY_MS;
  }

  get frames(): number {
    return this.#frames;
  }

  /** One more has come: whether to tell now. True counts as told. */
  isDue(now: number): boolean {
    this.#frames++;
    const isLate = now - this.#toldAt >= SEEN_EVERY_MS || now < this.#toldAt;
    if (this.#frames - this.#told < this.#every && !isLate) return false;
    this.#told = this.#frames - this.#lead;
    this.#lead = 0;
    this.#toldAt = now;
    return true;
  }
}
