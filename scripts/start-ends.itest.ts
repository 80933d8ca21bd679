// How `npm start` ends and what it outlives: a reader of its output that goes away, its own kill -9
// with notes that were damaged besides, the end of npm.

import { spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { cacheFolder, projectRoot, stateFolder } from "./run/state.ts";
import { freePort } from "./services/ports.ts";
import { endLeftovers, findChildren, isRunning } from "./services/process.ts";
import type { ProcessRecord } from "./services/process.ts";
import { until } from "./testing/until.ts";

/** A build of dist/ may be part of it. */
const UP_MS = 120_000;
const DOWN_MS = 60_000;
const START = join(projectRoot(), "scripts", "start.mjs");
let state: string;
let adminPort: number;
let ports: Record<string, string>;
const known: ProcessRecord[] = [];

beforeAll(async () => {
  state = mkdtempSync(join(tmpdir(), "hexdispatch-ends-"));
  symlinkSync(cacheFolder(stateFolder()), join(state, "cache"));
  adminPort = await freePort();
  ports = {
    HEXDISPATCH_PUBLIC_PORT: String(await freePort()),
    HEXDISPATCH_ADMIN_PORT: String(adminPort),
    HEXDISPATCH_NODE_ADMIN_PORT: String(await freePort()),
    HEXDISPATCH_STATE_DIR: state,
  };
});
afterAll(async () => {
  await endLeftovers(known);
  rmSync(state, { recursive: true, force: true });
});

function start(command: readonly string[], env: Readonly<Record<string, string>> = {}) {
  const [program = "", ...args] = command;
  const child = spawn(program, args, {
    cwd: projectRoot(),
    stdio: ["ignore", "pipe", "pipe"],
    env: { ...process.env, npm_lifecycle_event: "", ...ports, ...env },
  });
  let output = "";
  for (const stream of [child.stdout, child.stderr]) {
    stream?.setEncoding("utf8").on("data", (text: string) => (output += text));
  }
  return { child, output: () => output };
}

const notes = (): ProcessRecord[] =>
  JSON.parse(readFileSync(join(state, "processes.json"), "utf8")) as ProcessRecord[];

const isReady = (): Promise<boolean> =>
  fetch(`http://127.0.0.1:${adminPort}/readyz`, { signal: AbortSignal.timeout(5_000) }).then(
    (answer) => answer.ok,
    () => false,
  );

async function untilReady({ child, output }: { child: ChildProcess; output: () => string }) {
  await until(() => child.exitCode !== null || isReady(), "readiness", UP_MS);
  expect(child.exitCode, output()).toBeNull();
  known.push(...notes());
}

test(
  "its reader may go, its killer leaves nothing to the next start, and it goes with npm",
  { timeout: 3 * UP_MS },
  async () => {
    const first = start([process.execPath, START]);
    await untilReady(first);
    const before = notes();
    expect(before.map(({ name }) => name)).toEqual(["gateway", "node", "postgres", "nats-server"]);

    // `npm start | head`: nobody reads any more, and there is something to say.
    for (const stream of [first.child.stdout, first.child.stderr]) stream?.destroy();
    process.kill(before[0]!.pid, "SIGKILL");
    await until(() => notes().find(({ name }) => name === "gateway")?.pid !== before[0]!.pid);
    await untilReady(first);

    const left = notes();
    const gone = once(first.child, "exit");
    first.child.kill("SIGKILL");
    await gone;
    expect(left.filter(isRunning)).toHaveLength(4);
    writeFileSync(join(state, "processes.json"), "");
    writeFileSync(join(state, "lock.json"), '{"name":"npm st');

    // As npm runs it: a shell in between, which a SIGKILL takes without a word.
    const shell = ["/bin/sh", "-c", `"${process.execPath}" "${START}"; true`];
    const second = start(shell, { npm_lifecycle_event: "start" });
    await until(
      () => second.output().includes("ended what an earlier start left"),
      "a word",
      UP_MS,
    );
    expect(left.filter(isRunning)).toEqual([]);
    expect(second.output()).toMatch(/left behind: gateway, node, postgres, nats-server\n/);
    await untilReady(second);
    const supervisor = findChildren(second.child.pid ?? 0);
    const running = notes();
    expect(running.filter(isRunning)).toHaveLength(4);
    second.child.kill("SIGKILL");
    await until(() => !running.some(isRunning), "the end of all", DOWN_MS);
    await until(() => findChildrenAlive(supervisor).length === 0, "the supervisor's end", DOWN_MS);
  },
);

const findChildrenAlive = (pids: readonly number[]): number[] =>
  pids.filter((pid) => isRunning({ name: "npm start", pid, marker: "start.mjs" }));
