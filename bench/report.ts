/**
 * The one line that a bench prints: what was measured, where, on which commit, and the figures.
 * Figures of this machine are comparable only within one run; a bench therefore measures its peer
 * in the same run.
 */
import { execFileSync } from "node:child_process";
import { cpus } from "node:os";

export type Figures = Readonly<Record<string, unknown>>;

/** Prints one JSON line on stdout. */
export function report(name: string, figures: Figures): void {
  const [cpu] = cpus();
  const machine = `${cpus().length} x ${cpu?.model.trim() ?? "unknown"}`;
  const at = new Date().toISOString();
  const line = { name, machine, node: process.version, commit: commitOf(), at, figures };
  process.stdout.write(`${JSON.stringify(line)}\n`);
}

/**
 * The short commit, with a plus when the work tree differs from it; "none" outside a repository.
 */
function commitOf(): string {
  const git = (...args: string[]): string =>
    execFileSync("git", args, { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] }).trim();
  try {
    const commit = git("rev-parse", "--short", "HEAD");
    return git("status", "--porcelain") === "" ? commit : `${commit}+`;
  } catch {
    return "none"; // No git, or nothing committed yet: the figures stand all the same.
  }
}

/**
 * Numbers in [0, 1) from a seed, the same on every machine (mulberry32, T. Ettinger, public
 * domain).
 */
export function seeded(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296;
  };
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[sorted.length >> 1] ?? Number.NaN;
}
