// The entry of `npm run attacks`: sets up a bare clone like start.mjs does and hands over to
// scripts/attacks/main.ts.

import { checkNode, ensureDependencies, root, runMain } from "./bootstrap.mjs";
import path from "path";
import { pathToFileURL } from "url";

runMain(async () => {
  checkNode();
  await ensureDependencies();
  const tsx = await import("tsx/esm/api");
  tsx.register();
  const main = await import(pathToFileURL(path.join(root, "scripts", "attacks", "main.ts")).href);
  await main.main();
});
