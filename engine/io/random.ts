/**
 * Randomness as a port: names and secrets from the operating system's generator. The simulator
 * passes its own, seeded one. Asking the system costs some 20 microseconds whatever the count, so
 * it is asked for a few kilobytes at a time; what was given out is overwritten in the pool.
 */
import { randomFillSync } from "node:crypto";

/** `count` random bytes. */
export type Random = (count: number) => Uint8Array;

const POOL_BYTES = 4_096;
const pool = new Uint8Array(POOL_BYTES);
let usedBytes = POOL_BYTES;

export const systemRandom: Random = (count) => {
  if (count > POOL_BYTES) return randomFillSync(new Uint8Array(count));
  if (usedBytes + count > POOL_BYTES) {
    randomFillSync(pool);
    usedBytes = 0;
  }
  const bytes = pool.slice(usedBytes, usedBytes + count);
  pool.fill(0, usedBytes, usedBytes + count);
  usedBytes += count;
  return bytes;
};
