// The entry of `npm test`: sets up a bare clone like start.mjs does and hands over to
// scripts/testing/run.ts, which needs no build because tsx loads it as it is.

import { checkNode, ensureDependencies, root, runMain } from "./bootstrap.mjs";
import path from "path";
import { pathToFileURL } from "url";

runMain(async () => {
  checkNode();
  await ensureDependencies();
  const tsx = await import("tsx/esm/api");
  tsx.register();
  const run = await import(pathToFileURL(path.join(root, "scripts", "testing", "run.ts")).href);
  await run.main();
});
