/**
 * A shorter way to the same violation: fewer minutes, less noise, fewer faults, as long as the same
 * invariant falls. Bounded by the number of runs, because every one of them costs a second.
 */
import type { NoiseName, SeedOptions } from "./run-seed.ts";
import { NOISES, planOf, runWorld } from "./run-seed.ts";
import type { World } from "./world.ts";

const RUNS_MAX = 40;

export type Shrunk = {
  readonly options: SeedOptions;
  readonly world: World;
  readonly runs: number;
};

/** `options` fail. Gives the smallest way found, with its whole history. */
export async function shrink(options: SeedOptions): Promise<Shrunk> {
  let best = options;
  let runs = 0;
  const first = await runWorld(options);
  const invariant = first.history.violation?.invariant;
  const stillFails = async (candidate: SeedOptions): Promise<boolean> => {
    if (runs >= RUNS_MAX) return false;
    runs += 1;
    const { history } = await runWorld(candidate);
    if (history.violation?.invariant !== invariant) return false;
    best = candidate;
    return true;
  };

  const minutes = Math.ceil(first.elapsedMs() / 60_000);
  if (minutes < options.minutes) await stillFails({ ...best, minutes });
  for (const name of NOISES) {
    const without: readonly NoiseName[] = [...best.without, name];
    if (!best.without.includes(name)) await stillFails({ ...best, without });
  }
  const drawn = planOf({ ...best, only: null }).faults;
  let left = best.only ?? drawn.map((_, i) => i);
  for (let size = Math.ceil(left.length / 2); size >= 1 && left.length > 0;) {
    let isSmaller = false;
    for (let from = 0; from < left.length; from += size) {
      const only = [...left.slice(0, from), ...left.slice(from + size)];
      if (!(await stillFails({ ...best, only }))) continue;
      left = only;
      isSmaller = true;
      break;
    }
    if (runs >= RUNS_MAX) break;
    if (!isSmaller) size = size === 1 ? 0 : Math.ceil(size / 2);
    else size = Math.min(size, Math.max(1, left.length));
  }
  return { options: best, world: await runWorld(best, true), runs };
}

/**
 * The lines that are about the violation, and what went wrong around it; the last `max` of them.
 */
export function shortHistory({ history }: World, max: number): readonly string[] {
  const about = history.violation?.about.filter((id) => id !== "") ?? [];
  const isAbout = (line: string): boolean =>
    line.includes("FAULT:") ||
    line.includes("VIOLATION") ||
    line.includes("world:") ||
    / (crashes|starts as|drains|has drained|is up)/.test(line) ||
    about.some((id) => line.includes(id));
  return history.lines.filter(isAbout).slice(-max);
}
