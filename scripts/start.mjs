// The entry of `npm start`: sets up a bare clone and hands over to scripts/up.ts, compiled, in this
// same process, so that Ctrl-C and signals have one receiver. Everything that can only be said
// before TypeScript runs is in bootstrap.mjs; nothing else belongs here.

import { checkNode, endOnSignals, ensureBuilt, ensureDependencies } from "./bootstrap.mjs";
import { root, runMain } from "./bootstrap.mjs";
import path from "path";
import { pathToFileURL } from "url";

runMain(async () => {
  const handOver = endOnSignals();
  checkNode();
  await ensureDependencies();
  await ensureBuilt();
  const up = await import(pathToFileURL(path.join(root, "dist", "scripts", "up.js")).href);
  const ended = up.main();
  // It listens by now: at no moment would a signal have met nobody.
  handOver();
  await ended;
});
