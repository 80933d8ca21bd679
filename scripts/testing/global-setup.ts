// What vitest calls once around the integration tests: servers for a run that nobody has started
// any for, so that `npx vitest run some.itest.ts` works by itself.

import { startTestServices } from "./services.ts";

export default function setup(): Promise<() => Promise<void>> {
  return startTestServices((line) => process.stdout.write(`${line}\n`));
}
