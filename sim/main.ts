/**
 * Runs worlds from seeds and says what happened.
 *
 *   npm run sim -- --seed 7 --minutes 10 [--all] [--couriers 25] [--log] [--only 3,8]
 *     [--without network,store]
 *   npm run sim -- --seeds 1-1000 --minutes 10 [--all] [--jobs 2] [--digests]
 *
 * `--all`: every kind of fault in every run; otherwise each run has some kinds and not others.
 * `--days`: hours and days pass at once between parts of the run.
 *
 * Exits with 1 when a check failed: then it prints the invariant, the shortest command that replays
 * it, and the lines of the history that are about it.
 */
import { rm } from "node:fs/promises";
import { cpus } from "node:os";
import { parseArgs } from "node:util";
import { PROJECT, buildTree, scratch } from "./build.ts";
import { faultText } from "./faults.ts";
import { runMany } from "./many.ts";
import { NOISES, planOf, replayCommand, resultOf, runWorld } from "./run-seed.ts";
import type { NoiseName, SeedOptions, SeedResult } from "./run-seed.ts";
import { shortHistory, shrink } from "./shrink.ts";
import { Summary } from "./summary.ts";

const HISTORY_LINES = 80;
/** Of failing seeds so many are shortened; the others are named. */
const SHRUNK_MAX = 3;

const { values } = parseArgs({
  options: {
    seed: { type: "string", default: "1" },
    seeds: { type: "string" },
    minutes: { type: "string", default: "10" },
    couriers: { type: "string", default: "25" },
    jobs: { type: "string", default: String(Math.max(1, Math.min(2, cpus().length))) },
    only: { type: "string" },
    without: { type: "string" },
    all: { type: "boolean", default: false },
    days: { type: "boolean", default: false },
    log: { type: "boolean", default: false },
    /** One line for each seed: its number and the hash of its history. */
    digests: { type: "boolean", default: false },
  },
});

function numberOf(name: "seed" | "minutes" | "couriers" | "jobs"): number {
  const number = Number(values[name]);
  if (!Number.isFinite(number) || number < 0) throw new Error(`--${name} is a number`);
  return number;
}

function optionsOf(seed: number): SeedOptions {
  const { only, without } = values;
  const names = (without ?? "").split(",").filter((name) => name !== "") as NoiseName[];
  for (const name of names) {
    if (!NOISES.includes(name)) throw new Error(`--without: one or more of ${NOISES.join(", ")}`);
  }
  const numbers = only?.split(",").filter((text) => text !== "none");
  return {
    seed,
    minutes: numberOf("minutes"),
    couriers: numberOf("couriers"),
    draw: values.all ? "all" : "some",
    days: values.days,
    only: numbers?.map(Number) ?? null,
    without: names,
  };
}

const say = (line: string): void => void process.stdout.write(`${line}\n`);

async function explain(options: SeedOptions): Promise<void> {
  const { options: shortest, world, runs } = await shrink(options);
  const { violation } = world.history;
  say(`\nseed ${options.seed}: ${violation?.invariant} is violated: ${violation?.text}`);
  say(`replay: ${replayCommand(shortest)}   (shortened in ${runs} runs)`);
  for (const fault of planOf(shortest).faults) say(`  fault at ${faultText(fault)}`);
  for (const line of shortHistory(world, HISTORY_LINES)) say(`  ${line.trimEnd()}`);
}

async function runOne(): Promise<void> {
  const options = optionsOf(numberOf("seed"));
  const world = await runWorld(options, values.log);
  if (values.log) for (const line of world.history.lines) process.stdout.write(line);
  const { digest, endedMin, counts, deliveries } = resultOf(world, options.seed);
  say(JSON.stringify({ ...options, deliveries, endedMin: Number(endedMin.toFixed(1)), ...counts }));
  say(`log ${digest}`);
  if (world.history.violation === null) return;
  process.exitCode = 1;
  await explain(options);
}

async function runAll(range: string): Promise<void> {
  const [from, to] = range.split("-").map(Number);
  if (from === undefined || !Number.isInteger(from)) throw new Error("--seeds is FROM-TO");
  const count = (to ?? from) - from + 1;
  const seeds = Array.from({ length: count }, (_, i) => optionsOf(from + i));
  const outDir = scratch(`run-${process.pid}`);
  const worker = await buildTree(PROJECT, outDir);
  const summary = new Summary(count);
  const failed: SeedResult[] = [];
  const digests = new Map<number, string>();
  await runMany({
    seeds,
    worker,
    jobs: numberOf("jobs"),
    onResult: (result) => {
      summary.add(result);
      digests.set(result.seed, result.digest);
      if (process.stdout.isTTY) process.stdout.write(`\r${summary.progress()}`);
      if (result.violation === null) return false;
      failed.push(result);
      const { invariant, text } = result.violation;
      say(`${process.stdout.isTTY ? "\r" : ""}seed ${result.seed}: ${invariant} ${text}`);
      return false;
    },
  });
  await rm(outDir, { recursive: true, force: true });
  if (process.stdout.isTTY) say("");
  const bySeed = [...digests].toSorted(([one], [other]) => one - other);
  if (values.digests) for (const [seed, digest] of bySeed) say(`${seed} ${digest}`);
  for (const line of summary.lines()) say(line);
  if (failed.length === 0) return;
  process.exitCode = 1;
  for (const { seed } of failed.slice(0, SHRUNK_MAX)) await explain(optionsOf(seed));
}

if (values.seeds === undefined) await runOne();
else await runAll(values.seeds);
