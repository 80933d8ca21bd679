/**
 * Chance from a seed: the same seed gives the same numbers on every machine. The generator is
 * xoshiro128** 1.1 by David Blackman and Sebastiano Vigna (public domain, prng.di.unimi.it), its
 * state filled by SplitMix32 (the 32-bit finalizer of MurmurHash3 over a Weyl sequence), so that
 * neighbouring seeds have nothing in common.
 */
export class SeededRandom {
  readonly #state = new Uint32Array(4);

  /** `seed`: any whole number. */
  constructor(seed: number) {
    let weyl = seed >>> 0;
    for (let i = 0; i < 4; i++) {
      weyl = (weyl + 0x9e3779b9) >>> 0;
      let z = weyl;
      z = Math.imul(z ^ (z >>> 16), 0x85ebca6b);
      z = Math.imul(z ^ (z >>> 13), 0xc2b2ae35);
      this.#state[i] = (z ^ (z >>> 16)) >>> 0;
    }
  }

  #next(): number {
    const s = this.#state;
    const [a, b, c, d] = [s[0]!, s[1]!, s[2]!, s[3]!];
    const result = Math.imul(rotated(Math.imul(b, 5), 7), 9) >>> 0;
    const c1 = c ^ a;
    const d1 = d ^ b;
    s[1] = b ^ c1;
    s[0] = a ^ d1;
    s[2] = c1 ^ (b << 9);
    s[3] = rotated(d1, 11);
    return result;
  }

  /** At least 0, below 1. */
  unit(): number {
    return this.#next() / 2 ** 32;
  }

  /** True this often, 0 to 1. */
  chance(rate: number): boolean {
    return this.unit() < rate;
  }

  /** At least `min`, below `max`. */
  between(min: number, max: number): number {
    return min + this.unit() * (max - min);
  }

  /** A whole number, both ends included. */
  whole(min: number, max: number): number {
    return min + Math.floor(this.unit() * (max - min + 1));
  }

  pick<T>(items: readonly T[]): T {
    return items[this.whole(0, items.length - 1)]!;
  }
}

const rotated = (x: number, k: number): number => (x << k) | (x >>> (32 - k));
