// What a killed start left running: found by its notes, and, where those are damaged or gone, by
// the command lines that only processes of this folder have. Nothing else is ever ended: two
// checkouts, two users and a process that got a recorded id later are told apart by folder, owner
// and start time.

import { basename, join } from "node:path";
import { pathHash, reachablePath } from "../services/postgres-binary.ts";
import { commandLine, endLeftovers, findProcesses, isRunning } from "../services/process.ts";
import { parentOf } from "../services/process.ts";
import type { ProcessRecord } from "../services/process.ts";
import { alreadyRuns } from "./state.ts";

/** An argument of our own processes that they do not read: it says to which folder they belong. */
export const stateArgument = (folder: string): string => `--state=${folder}`;

type Kind = {
  readonly name: string;
  /** What the command line must contain. */
  readonly marker: string;
  readonly endSignal: NodeJS.Signals;
  readonly isOne: (args: readonly string[]) => boolean;
};

/** Last started, first ended. */
function kindsOf(root: string, folder: string): readonly Kind[] {
  const argument = stateArgument(folder);
  const ours = (name: string, script: string): Kind => ({
    name,
    marker: argument,
    endSignal: "SIGTERM",
    isOne: (args) =>
      args.includes(argument) && args.some((word) => word.endsWith(join("dist", script))),
  });
  const postgres = (data: string): Kind => ({
    name: "postgres",
    marker: `-D ${data}`,
    endSignal: "SIGINT",
    isOne: ([program = "", flag, path]) =>
      basename(program) === "postgres" && flag === "-D" && path === data,
  });
  const config = join(folder, "nats", "nats.conf");
  return [
    ours("gateway", "gateway/main.js"),
    ours("node", "engine/node.js"),
    postgres(join(folder, "postgres", "data")),
    postgres(join(reachablePath(root), `data-${pathHash(folder)}`, "data")),
    {
      name: "nats-server",
      marker: config,
      endSignal: "SIGTERM",
      isOne: ([program = "", flag, path]) =>
        basename(program).startsWith("nats-server") && flag === "-c" && path === config,
    },
  ];
}

/** Those that run from this folder though no note names them. */
function unrecorded(
  root: string,
  folder: string,
  recorded: readonly ProcessRecord[],
): ProcessRecord[] {
  const known = new Set(recorded.map(({ pid }) => pid));
  return kindsOf(root, folder).flatMap(({ name, marker, endSignal, isOne }) =>
    findProcesses(isOne)
      .filter((pid) => !known.has(pid))
      .map((pid) => ({ name, pid, marker, endSignal })),
  );
}

/**
 * Ends what an earlier start of this folder left running, and names it. Throws a SetupError when
 * its supervisor still lives (its lock was removed or damaged), or when it belongs to another user.
 * Call it with the lock.
 */
export async function endWhatIsLeft(
  root: string,
  folder: string,
  recorded: readonly ProcessRecord[],
): Promise<string[]> {
  const running = recorded.filter(isRunning);
  const all = [...running, ...unrecorded(root, folder, running)];
  for (const { pid } of all) {
    const parent = parentOf(pid);
    if (parent !== undefined && isSupervisor(parent)) throw alreadyRuns(parent);
  }
  return endLeftovers(all);
}

const isSupervisor = (pid: number): boolean => /\bscripts\/start\.mjs\b/.test(commandLine(pid));
