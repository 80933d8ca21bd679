// The entry of `npm start`: sets up a bare clone and hands over to scripts/up.ts, compiled, in this
// same process, so that Ctrl-C and signals have one receiver. Everything that can only be said
// before TypeScript runs is in bootstrap.mjs; nothing else belongs here.

import { checkNode, ensureBuilt, ensureDependencies, root, runMain } from "./bootstrap.mjs";
import path from "path";
import { pathToFileURL } from "url";

runMain(async () => {
  checkNode();
  await ensureDependencies();
  await ensureBuilt();
  const up = await import(pathToFileURL(path.join(root, "dist", "scripts", "up.js")).href);
  await up.main();
});
