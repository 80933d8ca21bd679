// The tests that the mutation tester runs (`npm run mutants`): units, without a server.

import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    include: ["{actors,engine,gateway,proto,sdk}/**/*.test.ts"],
    exclude: ["**/node_modules/**", "**/dist/**"],
    testTimeout: 20_000,
  },
});
