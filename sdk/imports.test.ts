/**
 * The SDK has to run in a browser: nothing that it loads may be a module of Node, and msgpackr is
 * all it brings along.
 */
import { readFileSync } from "node:fs";
import { dirname, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";

const START = fileURLToPath(new URL("./index.ts", import.meta.url));
const IMPORT = /^(?:import|export|\}) ?(?!type)(?:[^"';]*from )?"([^"]+)";|import\("([^"]+)"\)/gm;

function walk(file: string, seen: Set<string>, external: Set<string>): void {
  if (seen.has(file)) return;
  seen.add(file);
  for (const match of readFileSync(file, "utf8").matchAll(IMPORT)) {
    const target = (match[1] ?? match[2]) as string;
    if (target.startsWith(".")) walk(resolve(dirname(file), target), seen, external);
    else external.add(target);
  }
}

test("everything that the SDK loads is its own, the contract's, or msgpackr", () => {
  const seen = new Set<string>();
  const external = new Set<string>();
  walk(START, seen, external);
  expect([...external]).toEqual(["msgpackr"]);
  const folders = new Set([...seen].map((file) => dirname(file).split("/").at(-1)));
  expect([...folders].toSorted()).toEqual(["proto", "sdk"]);
  expect(seen.size).toBeGreaterThan(15);
});

test("no global of Node is used", () => {
  const seen = new Set<string>();
  walk(START, seen, new Set());
  for (const file of seen) {
    expect(readFileSync(file, "utf8"), file).not.toMatch(/\b(?:process|Buffer|setImmediate)\./);
  }
});
