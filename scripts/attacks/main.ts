// `npm run attacks`: runs the tests of all numbered attacks (list.ts) against gateways and nodes that they start, and
// prints one line for each attack: how it was tried, what became of it, and how late the event loop of the attacked
// gateway was meanwhile. The exit code is 1 when an attack succeeded, a process exited, or an attack was not tried.

import { spawn } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { projectRoot } from "../run/state.ts";
import { sweepTestFolders } from "../testing/folder.ts";
import { startTestServices } from "../testing/services.ts";
import { ATTACKS } from "./list.ts";
import { judge, tableOf } from "./table.ts";
import type { Lag, TestResult } from "./table.ts";

type Report = {
  readonly testResults: readonly {
    readonly name: string;
    readonly status: string;
    readonly assertionResults: readonly { readonly fullName: string; readonly status: string }[];
  }[];
};

const say = (line: string): void => void process.stdout.write(`${line}\n`);

export async function main(): Promise<void> {
  const root = projectRoot();
  const folder = join(root, "reports");
  mkdirSync(folder, { recursive: true });
  const [reportFile, lagFile] = [join(folder, "attacks.json"), join(folder, "attacks-lag.jsonl")];
  for (const file of [reportFile, lagFile]) rmSync(file, { force: true });
  const stop = await startTestServices(say);
  const files = [...new Set(ATTACKS.flatMap(({ tests }) => tests.map(([file]) => file)))];
  const present = files.filter((file) => existsSync(join(root, file)));
  const code = await runVitest(root, present, reportFile, lagFile);
  await stop();
  await sweepTestFolders(root);

  const results = existsSync(reportFile) ? resultsOf(root, reportFile) : [];
  const verdicts = ATTACKS.map((attack) =>
    judge(attack, results, lagsOf(lagFile), (file) => existsSync(join(root, file))),
  );
  say(`\n${tableOf(verdicts)}`);
  const bad = verdicts.filter(
    ({ outcome }) => outcome !== "blocked" && outcome !== "not applicable",
  );
  say(`\n${ATTACKS.length} attacks, ${bad.length} that were not blocked; tests ended with ${code}`);
  process.exit(bad.length === 0 && code === 0 ? 0 : 1);
}

function runVitest(
  root: string,
  files: readonly string[],
  reportFile: string,
  lagFile: string,
): Promise<number> {
  const vitest = join(root, "node_modules", ".bin", "vitest");
  const reporters = ["--reporter=default", "--reporter=json", `--outputFile.json=${reportFile}`];
  const env = { ...process.env, HEXDISPATCH_ATTACK_LAG_FILE: lagFile };
  return new Promise((resolve) => {
    const child = spawn(vitest, ["run", ...reporters, ...files], {
      cwd: root,
      env,
      stdio: "inherit",
    });
    for (const signal of ["SIGINT", "SIGTERM"] as const)
      process.on(signal, () => child.kill(signal));
    child.once("error", () => resolve(1));
    child.once("exit", (code) => resolve(code ?? 1));
  });
}

function resultsOf(root: string, file: string): readonly TestResult[] {
  const report = JSON.parse(readFileSync(file, "utf8")) as Report;
  return report.testResults.flatMap(({ name, status, assertionResults }) => {
    const path = name.startsWith(root) ? name.slice(root.length + 1) : name;
    // A file that could not begin has no tests to say so.
    if (assertionResults.length === 0) return [{ file: path, name: "", status }];
    return assertionResults.map((one) => ({ file: path, name: one.fullName, status: one.status }));
  });
}

const lagsOf = (file: string): readonly Lag[] =>
  existsSync(file)
    ? readFileSync(file, "utf8")
        .trim()
        .split("\n")
        .filter((line) => line !== "")
        .map((line) => JSON.parse(line) as Lag)
    : [];
