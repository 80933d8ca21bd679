/** The planted bugs follow the code, and so do the tests that are named for them. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { projectRoot } from "../run/state.ts";
import { isMeant, placesOf } from "./planted-bug.ts";
import { PLANTED } from "./planted.ts";

const textOf = (file: string): string => readFileSync(join(projectRoot(), file), "utf8");

describe("a planted bug", () => {
  it.each(PLANTED)("can be planted, and its test is there: $name", (bug) => {
    expect(placesOf(bug, textOf(bug.file))).toBe(1);
    expect(bug.replace).not.toBe(bug.find);
    expect(textOf(bug.test.writtenIn ?? bug.test.file)).toContain(bug.test.name);
  });

  it("has a name of its own", () => {
    expect(new Set(PLANTED.map(({ name }) => name)).size).toBe(PLANTED.length);
  });

  it("is chosen by a part of its name, its file or its kind", () => {
    const chosen = PLANTED.filter((bug) => isMeant(bug, "two of something"));
    expect(chosen.length).toBeGreaterThan(0);
    expect(chosen.length).toBeLessThan(PLANTED.length);
  });
});
