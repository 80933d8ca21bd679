/**
 * The wires between processes and the NATS server, one for each direction of each process: delays,
 * and what a seed makes go wrong with single messages or with whole wires. A cut wire either loses
 * what is sent meanwhile, or keeps it and hands it over late and all at once, as TCP does after a
 * short break. One-way cuts are cuts of one direction.
 */
import type { SimClock } from "./clock.ts";
import type { SeededRandom } from "./random.ts";

/** How often single messages suffer, each 0 to 1. */
export type Noise = {
  readonly lostRate: number;
  readonly twiceRate: number;
  /** Held up for 20 ms to 2 s, and so overtaken by others. */
  readonly slowRate: number;
};

export const QUIET: Noise = { lostRate: 0, twiceRate: 0, slowRate: 0 };

export type Direction = "in" | "out";
type Wire = {
  /** When the message before arrives: the next one is not earlier. */
  lastAt: number;
  /** How many cuts are on at the moment. */
  cuts: number;
  keeps: boolean;
  kept: (() => void)[];
};

const LATENCY_MIN_MS = 0.1;
const LATENCY_MAX_MS = 0.6;
const SLOW_MIN_MS = 20;
const SLOW_MAX_MS = 2_000;
const KEPT_MAX = 5_000;
const APART_MS = 1e-4;

export class Network {
  readonly random: SeededRandom;
  readonly counts = { messages: 0, lost: 0, twice: 0, slow: 0, cutOff: 0 };
  readonly #clock: SimClock;
  readonly #wires = new Map<string, Wire>();
  readonly #blocked = new Set<string>();
  noise: Noise = QUIET;

  constructor(clock: SimClock, random: SeededRandom) {
    this.#clock = clock;
    this.random = random;
  }

  /**
   * One message on one wire: from a process to the server (`to` null) or back. `run` is called when
   * it arrives, once, twice or never. `isSure`: nothing happens to it but delay, by a cut, too.
   */
  send(from: string | null, to: string | null, run: () => void, isSure = false): void {
    const { noise, random, counts } = this;
    const wire = from === null ? this.#wire(to ?? "", "in") : this.#wire(from, "out");
    counts.messages += 1;
    const chance = random.unit();
    const { lostRate, twiceRate, slowRate } = noise;
    // A message has two wires on its way.
    if (isSure || chance > (lostRate + twiceRate + slowRate) / 2) {
      // All of the delay is on the way back: the server only passes on, so the order is the same.
      if (from !== null && wire.cuts === 0) return run();
      return this.#arrive(wire, run, 0, isSure);
    }
    if (chance < lostRate / 2) {
      counts.lost += 1;
    } else if (chance < (lostRate + twiceRate) / 2) {
      counts.twice += 1;
      this.#arrive(wire, run, 0);
      this.#arrive(wire, run, random.between(0, SLOW_MAX_MS));
    } else {
      counts.slow += 1;
      this.#arrive(wire, run, random.between(SLOW_MIN_MS, SLOW_MAX_MS));
    }
  }

  #arrive(wire: Wire, run: () => void, heldMs: number, isSure = false): void {
    const latencyMs = this.random.between(LATENCY_MIN_MS, LATENCY_MAX_MS);
    let at = this.#clock.now() + latencyMs + heldMs;
    if (heldMs === 0) {
      at = Math.max(at, wire.lastAt + APART_MS);
      wire.lastAt = at;
    }
    this.#clock.at(at, () => {
      if (wire.cuts === 0) return run();
      this.counts.cutOff += 1;
      if ((wire.keeps || isSure) && wire.kept.length < KEPT_MAX) wire.kept.push(run);
    });
  }

  cut(name: string, direction: Direction, keeps: boolean): void {
    const wire = this.#wire(name, direction);
    wire.cuts += 1;
    wire.keeps = keeps;
  }

  heal(name: string, direction: Direction): void {
    const wire = this.#wire(name, direction);
    wire.cuts = Math.max(0, wire.cuts - 1);
    if (wire.cuts > 0) return;
    const kept = wire.kept;
    wire.kept = [];
    for (const run of kept) this.#arrive(wire, run, 0);
  }

  isCut(name: string): boolean {
    return this.#wire(name, "in").cuts > 0 || this.#wire(name, "out").cuts > 0;
  }

  /** Two processes on servers that do not reach each other, in one direction. */
  block(from: string, to: string): void {
    this.#blocked.add(`${from}>${to}`);
  }

  unblock(from: string, to: string): void {
    this.#blocked.delete(`${from}>${to}`);
  }

  isBlocked(from: string, to: string): boolean {
    return this.#blocked.size > 0 && this.#blocked.has(`${from}>${to}`);
  }

  #wire(name: string, direction: Direction): Wire {
    const key = direction === "in" ? `${name}<` : `${name}>`;
    let wire = this.#wires.get(key);
    if (wire === undefined) {
      wire = { lastAt: 0, cuts: 0, keeps: false, kept: [] };
      this.#wires.set(key, wire);
    }
    return wire;
  }
}
