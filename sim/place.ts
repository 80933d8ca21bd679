/**
 * Where a process runs, again and again: its name on the network stays, each run of it is a new
 * machine.
 */
import type { Random } from "../engine/io/random.ts";
import type { Checks } from "./checks.ts";
import type { SimClock } from "./clock.ts";
import type { FakeNats } from "./fake-nats.ts";
import type { FakePostgres } from "./fake-postgres.ts";
import type { History } from "./history.ts";
import type { Machine } from "./machine.ts";
import type { SeededRandom } from "./random.ts";

/** What all processes of a world share. */
export type PlaceParts = {
  readonly clock: SimClock;
  readonly nats: FakeNats;
  readonly postgres: FakePostgres;
  readonly history: History;
  readonly checks: Checks;
  readonly random: Random;
};

export type Place = {
  readonly name: string;
  /** The present run, null between two. */
  readonly machine: Machine | null;
  /** It serves, with everything that it needs. */
  readonly isReady: boolean;
  start(): void;
  startAfter(ms: number): void;
  /** `kill -9`. */
  crash(): void;
  /** An orderly end, and the next start so long after it. */
  drain(downMs: number): void;
};

/** Bytes from the seed, for ids and secrets. */
export const randomFrom =
  (random: SeededRandom): Random =>
  (count) =>
    Uint8Array.from({ length: count }, () => random.whole(0, 255));
