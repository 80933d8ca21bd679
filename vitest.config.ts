// Three kinds of tests. Unit tests touch nothing outside the process; integration tests use real
// servers, one file at a time so that they do not disturb each other's timing; the simulation runs
// whole worlds from seeds. The groups run one after the other, the quick ones first.

import { defineConfig } from "vitest/config";
import { behindProjects } from "./vitest.behind.ts";

const exclude = ["**/node_modules/**", "**/dist/**"];

export default defineConfig({
  test: {
    projects: [
      {
        test: {
          name: "unit",
          include: ["**/*.test.ts"],
          exclude: [...exclude, "sim/**"],
          // A bound for what hangs. The properties take seconds on a machine that is busy with
          // other things.
          testTimeout: 60_000,
          sequence: { groupOrder: 1 },
        },
      },
      {
        test: {
          name: "integration",
          include: ["**/*.itest.ts"],
          exclude,
          fileParallelism: false,
          testTimeout: 60_000,
          hookTimeout: 60_000,
          globalSetup: "scripts/testing/global-setup.ts",
          sequence: { groupOrder: 2 },
        },
      },
      {
        test: {
          name: "sim",
          include: ["sim/**/*.test.ts"],
          exclude,
          testTimeout: 120_000,
          sequence: { groupOrder: 3 },
        },
      },
      ...behindProjects(),
    ],
  },
});
