/** Randomness as a port: names from the operating system's generator. The simulator passes its own, seeded one. */
import { randomBytes } from "node:crypto";

/** `count` random bytes. */
export type Random = (count: number) => Uint8Array;

export const systemRandom: Random = (count) => randomBytes(count);
