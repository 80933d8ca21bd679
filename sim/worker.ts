/**
 * A process of its own that runs seeds for `many.ts`: a second core, and memory that ends with it.
 */
import { runSeed } from "./run-seed.ts";
import type { SeedOptions } from "./run-seed.ts";

process.on("message", (options: SeedOptions) => {
  runSeed(options).then(
    (result) => process.send?.(result),
    (error: unknown) => {
      process.stderr.write(`seed ${options.seed}: ${String((error as Error).stack ?? error)}\n`);
      process.exit(1);
    },
  );
});
process.on("disconnect", () => process.exit(0));
