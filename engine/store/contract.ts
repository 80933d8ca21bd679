/**
 * The contract of the store, as tests over its port: every outcome, what a repeat does, and what
 * may not happen whatever races (D1, D2, D4, D5, D8). Postgres and the simulator's fake pass the
 * same suite, which is why it knows neither SQL nor how long anything takes.
 */
import { afterAll, beforeAll, describe } from "vitest";
import { acceptContract, acceptRaceContract, replacementContract } from "./contract/accepts.ts";
import { clockContract } from "./contract/clocks.ts";
import { cancelContract, statusContract } from "./contract/changes.ts";
import { createContract, keyContract } from "./contract/creates.ts";
import { factContract, listContract } from "./contract/lists.ts";
import { endContract, epochContract, resumeContract, roundContract } from "./contract/owners.ts";
import { fixtures } from "./contract/world.ts";
import type { StorePair } from "./contract/world.ts";

/** Declares the suite. `makePair` gives two stores over the same, empty data; it is called once. */
export function storeContract(name: string, makePair: () => Promise<StorePair>): void {
  describe(name, () => {
    let pair: StorePair | undefined;
    beforeAll(async () => {
      pair = await makePair();
    });
    afterAll(async () => {
      await pair?.close();
    });
    const f = fixtures(() => {
      if (pair === undefined) throw new Error("a test ran before the stores were made");
      return pair;
    });
    createContract(f);
    keyContract(f);
    acceptContract(f);
    replacementContract(f);
    acceptRaceContract(f);
    statusContract(f);
    cancelContract(f);
    epochContract(f);
    roundContract(f);
    endContract(f);
    resumeContract(f);
    listContract(f);
    factContract(f);
    clockContract(f);
  });
}
