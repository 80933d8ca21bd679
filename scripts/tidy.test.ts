// What the linter cannot see, checked over the text of all sources of this checkout: subjects are
// written in one place, every file says what it is, nothing is left behind, and the lock file
// installs everywhere.

import { readFileSync, readdirSync } from "node:fs";
import { dirname, extname, join, relative } from "node:path";
import { expect, test } from "vitest";
import { projectRoot } from "./run/state.ts";

const root = projectRoot();
const SKIPPED_FOLDERS = new Set(["node_modules", "dist", "reports"]);
const SOURCE_ENDINGS = new Set([".ts", ".mts", ".mjs", ".sql", ".css"]);
/** This file names what it looks for. */
const SELF = "scripts/tidy.test.ts";

interface Source {
  readonly name: string;
  readonly text: string;
}

function sourcesBelow(folder: string): Source[] {
  return readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    const full = join(folder, entry.name);
    if (entry.isDirectory()) {
      const isSkipped = entry.name.startsWith(".") || SKIPPED_FOLDERS.has(entry.name);
      return isSkipped ? [] : sourcesBelow(full);
    }
    if (!SOURCE_ENDINGS.has(extname(entry.name))) return [];
    return [{ name: relative(root, full), text: readFileSync(full, "utf8") }];
  });
}

const isTest = ({ name }: Source): boolean => /\.i?test\.ts$/.test(name);
const sources = sourcesBelow(root).filter((source) => source.name !== SELF);
const shipped = sources.filter((source) => !isTest(source));

/** `file:line` of every line that matches. */
function linesWith(pattern: RegExp, among: readonly Source[] = sources): string[] {
  return among.flatMap(({ name, text }) =>
    text.split("\n").flatMap((line, index) => (pattern.test(line) ? [`${name}:${index + 1}`] : [])),
  );
}

test("the sources are found", () => {
  expect(sources.map((source) => source.name)).toContain("scripts/bootstrap.mjs");
});

test("NATS subjects are written in proto/subjects.ts alone", () => {
  const others = shipped.filter(({ name }) => name !== "proto/subjects.ts");
  expect(linesWith(/["'`](hd|\$\{\w*[pP]refix\})\.[a-z]/, others)).toEqual([]);
});

// Tests are exempt: their names are sentences already.
test("every file opens with a comment that says what it owns", () => {
  const silent = shipped.filter(({ text }) => !/^(#!.*\n)?(\/\/ |\/\*\*?\s|-- )/.test(text));
  expect(silent.map((source) => source.name)).toEqual([]);
});

test("no test is singled out or skipped", () => {
  const tests = sources.filter(isTest);
  expect(linesWith(/\b(test|it|describe)\.(only|skip|todo)\b/, tests)).toEqual([]);
});

test("nothing is left to do in a comment", () => {
  expect(linesWith(/\b(TODO|FIXME|XXX|HACK)\b/)).toEqual([]);
});

/**
 * Titles of tests are sentences, and addresses, patterns and SQL are not broken: strings may be
 * wider.
 */
const isProse = (line: string): boolean =>
  /^\s*(\*|\/\*|\/\/) /.test(line) && / /.test(line.trim());

test("no comment is wider than 100 columns", () => {
  const wide = sources.flatMap(({ name, text }) =>
    text
      .split("\n")
      .flatMap((line, index) =>
        isProse(line) && line.length > 100 && !/https?:/.test(line) ? [`${name}:${index + 1}`] : [],
      ),
  );
  expect(wide).toEqual([]);
});

/** More than this, and nobody finds a noun by looking at the folder. */
const SOURCES_MAX = 25;

test("no folder of the product holds more sources than can be looked through", () => {
  const counts = new Map<string, number>();
  for (const { name } of shipped) {
    if (!/^(actors|engine|gateway|proto|sdk)\//.test(name)) continue;
    counts.set(dirname(name), (counts.get(dirname(name)) ?? 0) + 1);
  }
  const crowded = [...counts].filter(([, count]) => count > SOURCES_MAX);
  expect(crowded).toEqual([]);
});

interface Locked {
  readonly integrity?: string;
  readonly optionalDependencies?: Readonly<Record<string, string>>;
}

const lockFile = () =>
  JSON.parse(readFileSync(join(root, "package-lock.json"), "utf8")) as {
    packages: Record<string, Locked>;
  };

test("the lock file has a hash for every package", () => {
  const { "": _, ...packages } = lockFile().packages;
  const bare = Object.entries(packages).filter(([, { integrity }]) => integrity === undefined);
  expect(bare.map(([name]) => name)).toEqual([]);
});

// A registry that lacks a binary for some other platform makes npm leave it out of the lock file,
// and `npm ci` then refuses the whole file.
test("the lock file has an entry for every optional package", () => {
  const lock = lockFile();
  const missing = Object.entries(lock.packages).flatMap(([owner, entry]) =>
    Object.keys(entry.optionalDependencies ?? {}).filter(
      (name) =>
        lock.packages[`node_modules/${name}`] === undefined &&
        lock.packages[`${owner}/node_modules/${name}`] === undefined,
    ),
  );
  expect(missing).toEqual([]);
});
