/** Many seeds, one after the other in a few processes. */
import { fork } from "node:child_process";
import { fileURLToPath } from "node:url";
import type { SeedOptions, SeedResult } from "./run-seed.ts";

const WORKER = fileURLToPath(new URL("./worker.ts", import.meta.url));

export type ManyOptions = {
  readonly seeds: readonly SeedOptions[];
  readonly jobs: number;
  /** Where the worker's code is: another tree, for the mutants. */
  readonly worker?: string;
  readonly cwd?: string;
  /** Told of each result; true: no more seeds are begun. */
  readonly onResult: (result: SeedResult) => boolean;
};

/** Resolves when all have run, or `onResult` has had enough. Rejects when a worker ends by itself. */
export async function runMany({ seeds, jobs, worker, cwd, onResult }: ManyOptions): Promise<void> {
  let next = 0;
  let isEnough = false;
  const one = (): Promise<void> =>
    new Promise((resolve, reject) => {
      const options = { execArgv: ["--import", "tsx"], ...(cwd === undefined ? {} : { cwd }) };
      const child = fork(worker ?? WORKER, [], options);
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
