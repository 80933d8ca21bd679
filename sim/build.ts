/**
 * A tree built to plain JavaScript: it starts at once and runs faster than what a loader makes of
 * it on the fly.
 */
import { execFile } from "node:child_process";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

export const PROJECT = fileURLToPath(new URL("..", import.meta.url));
/** What the simulator is made of. */
export const FOLDERS = ["actors", "bench", "engine", "gateway", "proto", "scripts", "sdk", "sim"];

const run = promisify(execFile);

/**
 * Builds the tree at `root` into `outDir` and gives the path of its worker. Types are not checked
 * here.
 */
export async function buildTree(root: string, outDir: string): Promise<string> {
  return build(join(root, "tsconfig.build.json"), outDir);
}

async function build(config: string, outDir: string): Promise<string> {
  const tsc = join(PROJECT, "node_modules", ".bin", "tsc");
  const more = ["--noCheck", "--incremental", "false", "--sourceMap", "false"];
  await run(tsc, ["-p", config, "--outDir", outDir, ...more]);
  return join(outDir, "sim", "worker.js");
}

/**
 * Builds one file of the tree at `root` into an `outDir` that has all the others, and gives the
 * path of its worker.
 */
export async function buildFile(root: string, file: string, outDir: string): Promise<string> {
  const config = join(root, "tsconfig.one.json");
  const compilerOptions = { noResolve: true, rootDir: "." };
  const one = { extends: "./tsconfig.build.json", compilerOptions, files: [file], include: [] };
  await writeFile(config, JSON.stringify(one));
  return build(config, outDir);
}

/** Ours to fill and to throw away; inside the project, so that its packages are found. */
export const scratch = (...names: readonly string[]): string =>
  join(PROJECT, ".hexdispatch", "sim", ...names);
