// Plants the bugs of `planted.ts` in a copy of the tree, one at a time, and runs the test that is
// named for each. A bug counts as found when that very test ran and failed; a file that cannot be
// loaded has found nothing. First all named tests must be green without any bug.

import { spawn } from "node:child_process";
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { readdirSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { startTestServices } from "../testing/services.ts";
import { isMeant, placesOf } from "./planted-bug.ts";
import { PLANTED } from "./planted.ts";
import type { NamedTest, Planted } from "./planted-bug.ts";

/** What is not needed for tests, or is linked. */
const LEFT_OUT = new Set(["node_modules", "dist", "reports"]);
/** A test that hangs with its bug has found it, if only by that. */
const RUN_DEADLINE_MS = 180_000;
const KILL_AFTER_MS = 5_000;

type Say = (line: string) => void;
type Ran = { readonly passed: number; readonly failed: number; readonly firstLine: string };

/** Resolves to 0 when every chosen bug was found, else to 1. Throws when one cannot be planted. */
export async function runPlanted(root: string, only: string, say: Say): Promise<number> {
  const chosen = PLANTED.filter((bug) => isMeant(bug, only));
  if (chosen.length === 0) throw new Error(`no planted bug is named "${only}"`);
  const tree = mkdtempSync(join(tmpdir(), "hexdispatch-planted-"));
  let stop = (): Promise<void> => Promise.resolve();
  try {
    copyTree(root, tree);
    for (const bug of chosen) placeOf(tree, bug);
    stop = await startTestServices(say);
    await checkGreen(tree, chosen, say);
    return await plantAll(tree, chosen, say);
  } finally {
    await stop();
    rmSync(tree, { recursive: true, force: true });
  }
}

function copyTree(root: string, tree: string): void {
  for (const name of readdirSync(root)) {
    if (name.startsWith(".") || LEFT_OUT.has(name)) continue;
    cpSync(join(root, name), join(tree, name), { recursive: true });
  }
  symlinkSync(join(root, "node_modules"), join(tree, "node_modules"));
}

/** The text of the bug's file. Throws when the bug cannot be planted in it. */
function placeOf(tree: string, bug: Planted): string {
  const text = readFileSync(join(tree, bug.file), "utf8");
  const places = placesOf(bug, text);
  if (places === 1) return text;
  throw new Error(
    `"${bug.name}" cannot be planted: its text stands ${places} times in ${bug.file}`,
  );
}

/** Each file once: a red test without a bug would find everything. */
async function checkGreen(tree: string, bugs: readonly Planted[], say: Say): Promise<void> {
  const files = [...new Set(bugs.map(({ test }) => test.file))];
  say(`${files.length} test files without a bug ...`);
  for (const file of files) {
    const names = bugs.filter(({ test }) => test.file === file).map(({ test }) => test.name);
    const name = [...new Set(names)];
    const { passed, failed, firstLine } = await runTests(tree, file, name);
    if (failed === 0 && passed >= name.length) continue;
    throw new Error(`${file}: ${passed} of ${name.length} named tests are green. ${firstLine}`);
  }
}

async function plantAll(tree: string, bugs: readonly Planted[], say: Say): Promise<number> {
  let missed = 0;
  say("| planted bug | kind | file | found by | time |");
  say("| --- | --- | --- | --- | --- |");
  for (const bug of bugs) {
    const startedAt = performance.now();
    const path = join(tree, bug.file);
    const text = placeOf(tree, bug);
    writeFileSync(
      path,
      text.replace(bug.find, () => bug.replace),
    );
    const { failed } = await runTests(tree, bug.test.file, [bug.test.name]);
    writeFileSync(path, text);
    if (failed === 0) missed += 1;
    const by = failed === 0 ? "**not found**" : `${bug.test.file}: ${bug.test.name}`;
    const s = ((performance.now() - startedAt) / 1_000).toFixed(0);
    say(`| ${bug.name} | ${bug.kind} | ${bug.file} | ${by} | ${s} s |`);
  }
  say(`${bugs.length - missed} of ${bugs.length} found`);
  return missed === 0 ? 0 : 1;
}

/** Runs these tests of one file and counts them; one that hangs is ended and has failed. */
async function runTests(
  tree: string,
  file: NamedTest["file"],
  names: readonly string[],
): Promise<Ran> {
  const report = join(tree, "planted.json");
  rmSync(report, { force: true });
  const pattern = `(${names.map((name) => name.replaceAll(/[.*+?^${}()|[\]\\]/g, "\\$&")).join("|")})`;
  const args = ["run", file, "-t", pattern, "--reporter=json", `--outputFile=${report}`];
  const vitest = join(tree, "node_modules", ".bin", "vitest");
  const isDone = await ends(tree, vitest, args);
  if (!isDone) return { passed: 0, failed: 1, firstLine: "it hung" };
  type Report = {
    testResults: {
      message: string;
      assertionResults: { status: string; failureMessages: string[] }[];
    }[];
  };
  const { testResults } = JSON.parse(readFileSync(report, "utf8")) as Report;
  const all = testResults.flatMap(({ assertionResults }) => assertionResults);
  const failed = all.filter(({ status }) => status === "failed");
  const why = failed[0]?.failureMessages[0] ?? testResults[0]?.message ?? "";
  return {
    passed: all.filter(({ status }) => status === "passed").length,
    failed: failed.length,
    firstLine: why.split("\n")[0] ?? "",
  };
}

/**
 * Whether it ended by itself in time. It leads a process group, so that its workers end with it.
 */
function ends(cwd: string, command: string, args: readonly string[]): Promise<boolean> {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { cwd, stdio: "ignore", detached: true });
    let isLate = false;
    const signal = (name: NodeJS.Signals): void => {
      isLate = true;
      if (child.pid !== undefined && child.exitCode === null) process.kill(-child.pid, name);
    };
    const timers = [
      setTimeout(() => signal("SIGTERM"), RUN_DEADLINE_MS),
      setTimeout(() => signal("SIGKILL"), RUN_DEADLINE_MS + KILL_AFTER_MS),
    ];
    const over = (): void => timers.forEach((timer) => clearTimeout(timer));
    child.once("error", (error) => {
      over();
      reject(error);
    });
    child.once("exit", () => {
      over();
      resolve(!isLate);
    });
  });
}
