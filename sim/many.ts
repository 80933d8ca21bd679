/** Many seeds, one after the other in a few processes. */
import { fork } from "node:child_process";
import type { SeedOptions, SeedResult } from "./run-seed.ts";

/**
 * Room for what lives as short as a message: without it a tenth of the time goes into collecting
 * it.
 */
const EXEC_ARGV = ["--max-semi-space-size=64"];

export type ManyOptions = {
  readonly seeds: readonly SeedOptions[];
  readonly jobs: number;
  /** The built `worker.ts` of the tree that is run. */
  readonly worker: string;
  /** Told of each result; true: no more seeds are begun. */
  readonly onResult: (result: SeedResult) => boolean;
};

/**
 * Resolves when all have run, or `onResult` has had enough. Rejects when a worker ends by itself.
 */
export async function runMany({ seeds, jobs, worker, onResult }: ManyOptions): Promise<void> {
  let next = 0;
  let isEnough = false;
  const one = (): Promise<void> =>
    new Promise((resolve, reject) => {
      const child = fork(worker, [], { execArgv: EXEC_ARGV });
      const giveNext = (): void => {
        const seed = isEnough ? undefined : seeds[next++];
        if (seed !== undefined) child.send(seed);
        else child.disconnect();
      };
      child.on("message", (result) => {
        if (!isEnough && onResult(result as SeedResult)) isEnough = true;
        giveNext();
      });
      child.on("exit", (code) => {
        if (code === 0) resolve();
        else reject(new Error(`a worker ended with ${code}`));
      });
      giveNext();
    });
  await Promise.all(Array.from({ length: Math.min(jobs, seeds.length) }, one));
}
