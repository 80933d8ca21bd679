// The entry of `npm run faults`: as start.mjs, for the faults that are done to a cluster.

import { checkNode, ensureBuilt, ensureDependencies, root, runMain } from "./bootstrap.mjs";
import path from "path";
import { pathToFileURL } from "url";

runMain(async () => {
  checkNode();
  await ensureDependencies();
  await ensureBuilt();
  const main = path.join(root, "dist", "scripts", "faults", "main.js");
  await (await import(pathToFileURL(main).href)).main();
});
