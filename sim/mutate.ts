/**
 * `npm run sim:mutants`: applies the planted bugs of `mutants.ts` one at a time to a copy of the
 * tree, runs seeds until one fails, and prints which check found what. Exits with 1 when a bug was
 * not found within its seeds, or could no longer be planted. A seed that fails by the same
 * invariant in the unchanged tree has found nothing.
 */
import { cp, mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { cpus } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { FOLDERS, PROJECT, buildFile, buildTree, scratch } from "./build.ts";
import { runMany } from "./many.ts";
import { HUNT, MUTANTS, placesOf } from "./mutants.ts";
import type { Hunt, Mutant } from "./mutants.ts";
import { NOISES } from "./run-seed.ts";
import type { SeedResult } from "./run-seed.ts";

const { values } = parseArgs({
  options: {
    seeds: { type: "string", default: "200" },
    jobs: { type: "string", default: String(Math.max(1, Math.min(2, cpus().length))) },
    /** Only mutants whose name contains this, or one of these with "|" between. */
    only: { type: "string", default: "" },
  },
});

type Found = { readonly seed: number; readonly invariant: string; readonly text: string };

const folder = scratch(`mutants-${process.pid}`);
const tree = join(folder, "tree");
const built = join(folder, "unchanged");
const say = (line: string): void => void process.stdout.write(`${line}\n`);

/** A copy of the tree without its tests: a test run meanwhile must not find them twice. */
async function copyTree(): Promise<void> {
  await mkdir(tree, { recursive: true });
  for (const part of [...FOLDERS, "tsconfig.json", "tsconfig.build.json"]) {
    const filter = (path: string): boolean => !/\.i?test\.ts$/.test(path);
    await cp(join(PROJECT, part), join(tree, part), { recursive: true, filter });
  }
}

/**
 * Throws, before anything is run, when the text of a bug does not stand in its file exactly once.
 */
async function checkPlaces(mutants: readonly Mutant[]): Promise<void> {
  const bad: string[] = [];
  for (const mutant of mutants) {
    const places = placesOf(mutant, await readFile(join(tree, mutant.file), "utf8"));
    if (places !== 1) bad.push(`"${mutant.name}": ${places} times in ${mutant.file}`);
  }
  if (bad.length > 0) throw new Error(`cannot be planted, their text stands\n${bad.join("\n")}`);
}

/** What was built, with one file of it built again with the bug. */
async function plant(mutant: Mutant, outDir: string): Promise<string> {
  const path = join(tree, mutant.file);
  const text = await readFile(path, "utf8");
  await cp(built, outDir, { recursive: true });
  const withBug = text.replace(mutant.find, () => mutant.replace);
  await writeFile(path, withBug);
  const worker = await buildFile(tree, mutant.file, outDir);
  await writeFile(path, text);
  return worker;
}

/**
 * The first seed that fails by what it does not fail by without the bug; null when there is none.
 */
async function huntFor(worker: string, unchanged: string, where: Hunt): Promise<Found | null> {
  const seedsMax = Number(values.seeds);
  for (let from = 1; from <= seedsMax;) {
    const found = await hunt(worker, where, from, seedsMax);
    if (found === null) return null;
    const without = await hunt(unchanged, where, found.seed, found.seed);
    if (without?.invariant !== found.invariant) return found;
    from = found.seed + 1;
  }
  return null;
}

/** The first of these seeds that fails, null when none does. */
async function hunt(
  worker: string,
  { minutes, couriers, isCalm, draw }: Hunt,
  from: number,
  to: number,
): Promise<Found | null> {
  const seeds = Array.from({ length: to - from + 1 }, (_, i) => ({
    seed: from + i,
    minutes,
    // Plenty of couriers, or too few: some bugs need one, some the other.
    couriers: (from + i) % 2 === 1 ? couriers : Math.ceil(couriers / 2),
    draw,
    only: isCalm ? [] : null,
    without: isCalm ? NOISES : [],
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
  const chosen = MUTANTS.filter(({ name }) =>
    values.only.split("|").some((part) => name.includes(part)),
  );
  let missed = 0;
  if (chosen.length === 0) throw new Error(`no planted bug is named "${values.only}"`);
  await copyTree();
  await checkPlaces(chosen);
  const unchanged = await buildTree(tree, built);
  say("| planted bug | file | found at seed | by | time |");
  say("| --- | --- | --- | --- | --- |");
  for (const [i, mutant] of chosen.entries()) {
    const startedAt = performance.now();
    const worker = await plant(mutant, join(folder, `m${i}`));
    const found = await huntFor(worker, unchanged, { ...HUNT, ...mutant.hunt });
    if (found === null) missed += 1;
    const what =
      found === null ? "**not found** | " : `${found.seed} | ${found.invariant}: ${found.text}`;
    const s = ((performance.now() - startedAt) / 1_000).toFixed(0);
    say(`| ${mutant.name} | ${mutant.file} | ${what} | ${s} s |`);
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
