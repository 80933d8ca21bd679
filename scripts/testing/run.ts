// The whole of `npm test`: servers, types, lint, format, generated docs, build, tests. Every step
// runs even when one before it failed, every step counts, and the last line says how many passed
// and failed. Words after `npm test --` go to vitest, e.g. a file name or `--project unit`.

import { spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { performance } from "node:perf_hooks";
import { projectRoot } from "../run/state.ts";
import { countVitest, summary, total } from "./report.ts";
import type { Counts, Step, VitestReport } from "./report.ts";
import { sweepTestFolders } from "./folder.ts";
import { startTestServices } from "./services.ts";

const PASSED: Counts = { passed: 1, failed: 0, skipped: 0 };
const FAILED: Counts = { passed: 0, failed: 1, skipped: 0 };
const EXIT_INTERRUPTED = 130;

const root = projectRoot();
const say = (line: string): void => {
  process.stdout.write(`${line}\n`);
};

let present: ChildProcess | null = null;
let isInterrupted = false;
let stopServices: () => Promise<void> = () => Promise.resolve();

/** Runs all steps and ends the process; the exit code is 0 when nothing failed. */
export async function main(): Promise<void> {
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, interrupt);
  const steps: Step[] = [];
  steps.push(await timed("servers", startServers));
  const checks: readonly (readonly [string, string, ...string[]])[] = [
    ["types", "tsc", "--noEmit"],
    ["lint", "oxlint", "--type-aware", "--deny-warnings"],
    ["format", "oxfmt", "--check", "."],
  ];
  for (const [name, tool, ...args] of checks) {
    steps.push(await timed(name, () => check(bin(tool), args)));
  }
  const docs = ["--import", "tsx", "scripts/gen-docs.ts", "--check"];
  steps.push(await timed("docs", () => check(process.execPath, docs)));
  // Once, for all tests that start the system as people do: two builds at a time would be in each
  // other's way.
  steps.push(await timed("build", () => check("npm", ["run", "--silent", "build"])));
  steps.push(await timed("tests", () => runVitest(process.argv.slice(2))));
  await stopServices();
  await sweepTestFolders(root);
  say(`\n${summary(steps)}`);
  process.exit(total(steps).failed === 0 ? 0 : 1);
}

const bin = (tool: string): string => join(root, "node_modules", ".bin", tool);

async function timed(name: string, step: () => Promise<Counts>): Promise<Step> {
  say(`== ${name}`);
  const startedAt = performance.now();
  const counts = await step();
  return { name, seconds: (performance.now() - startedAt) / 1000, counts };
}

/** Without servers the integration tests fail, each with the reason; the others still run. */
async function startServers(): Promise<Counts> {
  try {
    stopServices = await startTestServices(say);
    return PASSED;
  } catch (error) {
    say((error as Error).message);
    return FAILED;
  }
}

async function check(command: string, args: readonly string[]): Promise<Counts> {
  return (await run(command, args)) === 0 ? PASSED : FAILED;
}

async function runVitest(args: readonly string[]): Promise<Counts> {
  // The whole run goes through the proxies as well; one file alone runs once.
  if (args.length === 0) process.env["HEXDISPATCH_TEST_BEHIND"] ??= "yes";
  const file = join(root, "reports", "vitest.json");
  mkdirSync(join(root, "reports"), { recursive: true });
  rmSync(file, { force: true });
  const reporters = ["--reporter=default", "--reporter=json", `--outputFile.json=${file}`];
  const exitCode = await run(bin("vitest"), ["run", ...reporters, ...args]);
  const report = existsSync(file) ? (JSON.parse(readFileSync(file, "utf8")) as VitestReport) : null;
  return countVitest(report, exitCode);
}

/**
 * Runs a program with our terminal; resolves to its exit code, 1 when it could not end by itself.
 */
function run(command: string, args: readonly string[]): Promise<number> {
  return new Promise((resolve) => {
    const child = spawn(command, args, { cwd: root, stdio: "inherit" });
    present = child;
    child.once("error", (error) => {
      say(`${command}: ${error.message}`);
      resolve(1);
    });
    // Interrupted, the steps stand still: the process ends as soon as the servers have.
    child.once("exit", (code) => {
      if (!isInterrupted) resolve(code ?? 1);
    });
  });
}

function interrupt(): void {
  if (isInterrupted) return;
  isInterrupted = true;
  present?.kill("SIGTERM");
  void stopServices().finally(() => process.exit(EXIT_INTERRUPTED));
}
