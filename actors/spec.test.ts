/** SPEC.md and the tests name the same sentences, both ways, and every invariant has one. */
import { readFileSync, readdirSync } from "node:fs";
import { expect, it } from "vitest";

const here = new URL("./", import.meta.url);
const read = (name: string): string => readFileSync(new URL(name, here), "utf8");

/**
 * Tests of actors; those of the data plane and of geometry have no sentence in the specification.
 */
const FILES = readdirSync(here).filter((name) =>
  /^(delivery|courier|cell|stories)(\.table|\.property)?\.test\.ts$/.test(name),
);
const checklist = read("SPEC.md").split("## Checklist")[1] ?? "";
const listed = [...checklist.matchAll(/^- (.+)$/gm)].map((match) => match[1]);
const tested = FILES.flatMap((name) =>
  [...read(name).matchAll(/\bit\(\s*"([^"]+)"/g)].map((match) => match[1]),
).filter((title) => !title?.startsWith("the states of the table"));

it("every sentence of the checklist is a test, and every test is in the checklist", () => {
  expect([...listed].sort()).toEqual([...tested].sort());
});

it("D1 to D8 each have a row that says by what it is enforced and tested", () => {
  for (let n = 1; n <= 8; n++)
    expect(read("SPEC.md")).toMatch(new RegExp(`^\\| D${n} \\| .+ \\|`, "m"));
});
