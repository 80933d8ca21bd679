/**
 * The planted bugs follow the code: a row whose text has moved is told by the tests, not months
 * later.
 */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { PROJECT } from "./build.ts";
import { MUTANTS, placesOf } from "./mutants.ts";

describe("a planted bug", () => {
  it.each(MUTANTS)("can be planted: $name", async (mutant) => {
    const text = await readFile(join(PROJECT, mutant.file), "utf8");
    expect(placesOf(mutant, text)).toBe(1);
    expect(mutant.replace).not.toBe(mutant.find);
  });

  it("has a name of its own", () => {
    expect(new Set(MUTANTS.map(({ name }) => name)).size).toBe(MUTANTS.length);
  });
});
