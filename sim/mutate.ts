/**
 * `npm run sim:mutants`: applies the planted bugs of `mutants.ts` one at a time to a copy of the tree, runs seeds until one
 * fails, and prints which check found what. Exits with 1 when a bug was not found within its seeds, or could no
 * longer be planted. A seed that fails by the same invariant in the unchanged tree has found nothing.
 */
import { cp, mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { cpus } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { FOLDERS, PROJECT, buildTree, scratch } from "./build.ts";
import { runMany } from "./many.ts";
import { MUTANTS } from "./mutants.ts";
import type { Mutant } from "./mutants.ts";
import type { SeedResult } from "./run-seed.ts";

const { values } = parseArgs({
  options: {
    seeds: { type: "string", default: "200" },
    minutes: { type: "string", default: "3" },
    couriers: { type: "string", default: "25" },
    jobs: { type: "string", default: String(Math.max(1, Math.min(2, cpus().length))) },
    /** Only mutants whose name contains this. */
    only: { type: "string", default: "" },
  },
});

type Found = { readonly seed: number; readonly invariant: string; readonly text: string };

const folder = scratch(`mutants-${process.pid}`);
const say = (line: string): void => void process.stdout.write(`${line}\n`);

/** The tree with one bug in it, built. Throws when its text is not found exactly once. */
async function plant(mutant: Mutant | null, name: string): Promise<string> {
  const root = join(folder, name);
  await mkdir(root, { recursive: true });
  for (const part of [...FOLDERS, "tsconfig.json", "tsconfig.build.json", "package.json"]) {
    // Tests stay behind: a test run meanwhile must not find them twice.
    const filter = (path: string): boolean => !/\.i?test\.ts$/.test(path);
    await cp(join(PROJECT, part), join(root, part), { recursive: true, filter });
  }
  if (mutant !== null) {
    const path = join(root, mutant.file);
    const text = await readFile(path, "utf8");
    const places = text.split(mutant.find).length - 1;
    if (places !== 1) {
      throw new Error(
        `"${mutant.name}" cannot be planted: its text stands ${places} times in ${mutant.file}`,
      );
    }
    await writeFile(
      path,
      text.replace(mutant.find, () => mutant.replace),
    );
  }
  return buildTree(root, join(root, "built"));
}

/** The first seed that fails by what it does not fail by without the bug; null when there is none. */
async function huntFor(worker: string, unchanged: string): Promise<Found | null> {
  const seedsMax = Number(values.seeds);
  for (let from = 1; from <= seedsMax;) {
    const found = await hunt(worker, from, seedsMax);
    if (found === null) return null;
    const without = await hunt(unchanged, found.seed, found.seed);
    if (without?.invariant !== found.invariant) return found;
    from = found.seed + 1;
  }
  return null;
}

/** The first of these seeds that fails, null when none does. */
async function hunt(worker: string, from: number, to: number): Promise<Found | null> {
  const [minutes, couriers] = [Number(values.minutes), Number(values.couriers)];
  const seeds = Array.from({ length: to - from + 1 }, (_, i) => ({
    seed: from + i,
    minutes,
    // Plenty of couriers, or too few: some bugs need one, some the other.
    couriers: (from + i) % 2 === 1 ? couriers : Math.ceil(couriers / 2),
    only: null,
    without: [],
  }));
  let found: Found | null = null;
  const onResult = ({ seed, violation }: SeedResult): boolean => {
    if (violation === null) return false;
    found = { seed, invariant: violation.invariant, text: violation.text.split("\n")[0] ?? "" };
    return true;
  };
  await runMany({ seeds, jobs: Number(values.jobs), worker, onResult });
  return found;
}

async function main(): Promise<void> {
  const chosen = MUTANTS.filter(({ name }) => name.includes(values.only));
  let missed = 0;
  const unchanged = await plant(null, "unchanged");
  say("| planted bug | file | found at seed | by |");
  say("| --- | --- | --- | --- |");
  for (const [i, mutant] of chosen.entries()) {
    const worker = await plant(mutant, `m${i}`);
    const found = await huntFor(worker, unchanged);
    if (found === null) missed += 1;
    const what =
      found === null ? "**not found** | " : `${found.seed} | ${found.invariant}: ${found.text}`;
    say(`| ${mutant.name} | ${mutant.file} | ${what} |`);
    await rm(join(folder, `m${i}`), { recursive: true, force: true });
  }
  say(`${chosen.length - missed} of ${chosen.length} found`);
  if (missed > 0) process.exitCode = 1;
}

try {
  await main();
} finally {
  await rm(folder, { recursive: true, force: true });
}
