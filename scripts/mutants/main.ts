// `npm run mutants`: what would nobody notice? Two ways to ask. With files, or with the lines
// changed since a base, a mutation tester (StrykerJS) changes the code in many small ways and runs
// the unit tests that touch it. With --planted, the bugs of `planted.ts` are put into a copy of the
// tree one at a time, and the test that is named for each must go red. Exit code 0: everything was
// noticed that was asked for; 1: something was not; 2: it could not run.

import { execFileSync, spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { projectRoot } from "../run/state.ts";
import { changedRanges, isMutable } from "./changed.ts";
import { runPlanted } from "./run-planted.ts";

const USAGE = `npm run mutants -- [options] [FILE or FILE:FROM-TO ...]
  FILE ...        mutates these; without any: nothing is guessed, say what
  --changed BASE  mutates the lines that differ from this commit or branch
  --planted       plants the bugs of scripts/mutants/planted.ts instead
  --only TEXT     planted: only those whose name or file contains this
  --at-once N     mutants tried at the same time, default 1`;

const say = (line: string): void => void process.stdout.write(`${line}\n`);

async function main(): Promise<number> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      changed: { type: "string" },
      planted: { type: "boolean", default: false },
      only: { type: "string", default: "" },
      "at-once": { type: "string", default: "1" },
      help: { type: "boolean", default: false },
    },
  });
  const root = projectRoot();
  if (values.planted) return runPlanted(root, values.only, say);
  const files =
    values.changed === undefined
      ? positionals
      : changedIn(root, values.changed).concat(positionals);
  if (values.help || (files.length === 0 && values.changed === undefined)) {
    say(USAGE);
    return values.help ? 0 : 2;
  }
  if (files.length === 0) say(`nothing that is mutated differs from ${values.changed}`);
  return files.length === 0 ? 0 : mutate(root, files, values["at-once"]);
}

/** The changed lines of what is mutated, as the tester takes them. */
function changedIn(root: string, base: string): string[] {
  const args = ["diff", "--unified=0", "--no-color", "--no-ext-diff", base, "--", "*.ts"];
  const diff = execFileSync("git", args, { cwd: root, encoding: "utf8", maxBuffer: 1e9 });
  return changedRanges(diff).filter((range) => isMutable(range.split(":")[0] ?? ""));
}

/** Outside of the project: a test run meanwhile must not find the copy's tests. */
function mutate(root: string, files: readonly string[], atOnce: string): number {
  const scratch = mkdtempSync(join(tmpdir(), "hexdispatch-mutants-"));
  try {
    const stryker = join(root, "node_modules", ".bin", "stryker");
    const args = ["run", "--tempDirName", scratch, "--concurrency", atOnce];
    const options = { cwd: root, stdio: "inherit" } as const;
    const { status } = spawnSync(stryker, [...args, "--mutate", files.join(",")], options);
    return status ?? 2;
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}

try {
  process.exitCode = await main();
} catch (error) {
  process.stderr.write(`${(error as Error).message}\n`);
  process.exitCode = 2;
}
