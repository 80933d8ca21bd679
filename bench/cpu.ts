/**
 * CPU time of processes from /proc (Linux): what a delivery costs where. A service's children count
 * with it.
 */
import { readFileSync, readdirSync } from "node:fs";

/** Ticks a second in /proc on every Linux that Node runs on (USER_HZ). */
const TICKS_PER_S = 100;

type Stat = { readonly parent: number; readonly own: number; readonly ended: number };

/** Parent, own seconds, and seconds of children that have ended; null when the process is gone. */
function statOf(pid: number | string): Stat | null {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, "utf8");
    // The command stands in parentheses and may hold anything; fields are counted from behind it.
    const fields = text
      .slice(text.lastIndexOf(")") + 2)
      .split(" ")
      .map(Number);
    const [utime = 0, stime = 0, cutime = 0, cstime = 0] = fields.slice(11, 15);
    const [own, ended] = [(utime + stime) / TICKS_PER_S, (cutime + cstime) / TICKS_PER_S];
    return { parent: fields[1] ?? 0, own, ended };
  } catch {
    return null; // Gone, or no Linux.
  }
}

/** Seconds of CPU by name so far, 0 where a process cannot be read. */
export function cpuSecondsOf(
  processes: readonly { readonly name: string; readonly pid: number }[],
): Record<string, number> {
  const seconds: Record<string, number> = {};
  for (const { name, pid } of processes) {
    const stat = statOf(pid);
    seconds[name] = stat === null ? 0 : stat.own + stat.ended;
    for (const child of readdirSync("/proc").filter((entry) => /^\d+$/.test(entry))) {
      const below = statOf(child);
      if (below?.parent === pid) seconds[name] += below.own + below.ended;
    }
  }
  return seconds;
}
