import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { projectRoot } from "../../scripts/run/state.ts";
import { BEHIND_FILES } from "../../vitest.behind.ts";
import { STRAIGHT_ONLY } from "./straight-only.ts";

test("every test that is left out behind a proxy exists, and says why", () => {
  const text = BEHIND_FILES.map((file) => readFileSync(join(projectRoot(), file), "utf8")).join("");
  for (const [name, { via, reason }] of Object.entries(STRAIGHT_ONLY)) {
    expect(text, name).toContain(name);
    expect(via.length, name).toBeGreaterThan(0);
    expect(reason.length, name).toBeGreaterThan(10);
  }
});
