// The entry of `npm run cluster`: as start.mjs, for a cluster of many processes to play with.

import { checkNode, ensureBuilt, ensureDependencies, root, runMain } from "./bootstrap.mjs";
import path from "path";
import { pathToFileURL } from "url";

runMain(async () => {
  checkNode();
  await ensureDependencies();
  await ensureBuilt();
  const main = path.join(root, "dist", "scripts", "cluster", "main.js");
  await (await import(pathToFileURL(main).href)).main();
});
