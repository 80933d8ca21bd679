// `npm run cluster` as its users see it: commands typed into its standard input, its table read.

import { spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test, vi } from "vitest";
import { cacheFolder, projectRoot, stateFolder } from "../run/state.ts";
import { freePort } from "../services/ports.ts";
import { isRunning } from "../services/process.ts";
import type { ProcessRecord } from "../services/process.ts";

/** It builds dist/ first where that is stale. */
const UP_MS = 180_000;
let child: ChildProcess;
let state: string;
let output = "";

beforeAll(async () => {
  state = mkdtempSync(join(tmpdir(), "hexdispatch-cluster-"));
  symlinkSync(cacheFolder(stateFolder()), join(state, "cache"));
  child = spawn(process.execPath, [join(projectRoot(), "scripts", "cluster.mjs")], {
    stdio: ["pipe", "pipe", "pipe"],
    env: {
      ...process.env,
      HEXDISPATCH_STATE_DIR: state,
      HEXDISPATCH_PUBLIC_PORT: String(await freePort()),
      HEXDISPATCH_SHARDS: "8",
      HEXDISPATCH_CLUSTER_NODES: "2",
      HEXDISPATCH_CLUSTER_GATEWAYS: "1",
    },
  });
  for (const stream of [child.stdout, child.stderr]) {
    stream?.setEncoding("utf8").on("data", (text: string) => (output += text));
  }
  await says(/8 shards, each with an owner\n> /, UP_MS);
}, UP_MS);
afterAll(() => {
  child.kill("SIGTERM");
  rmSync(state, { recursive: true, force: true });
});

function says(what: RegExp, timeout = 30_000): Promise<void> {
  return vi.waitFor(
    () => {
      expect(child.exitCode, output).toBeNull();
      expect(output).toMatch(what);
    },
    { timeout, interval: 50 },
  );
}

/** Types a line and waits for the answer. */
async function type(line: string, answer: RegExp): Promise<void> {
  output = "";
  child.stdin?.write(`${line}\n`);
  await says(answer);
}

/** Asks for the table until it says so. */
async function until(what: RegExp): Promise<void> {
  for (let i = 0; i < 200 && !what.test(output); i++) await type("table", /\d+ shards[^\n]*\n> /);
  expect(output).toMatch(what);
}

test(
  "a node is killed, the other takes its shards; it comes back, is cut off and healed",
  { timeout: UP_MS },
  async () => {
    await until(/node1 .* owns [1-7].*\nnode2 .* owns [1-7]/s);
    await type("kill node1", /node1 was killed/);
    await until(/node1 +down .*ended by SIGKILL\nnode2 .* owns 8,.*8 shards, each with an owner/s);
    await type("start node1", /node1 is up \(pid \d+/);
    await until(/node1 .* owns [1-7].*\nnode2 .* owns [1-7]/s);
    await type("partition node2 nats", /node2 is cut off from nats/);
    await until(/node1 .* owns 8,/);
    await type("heal node2", /node2 has its links back/);
    await until(/node1 .* owns [1-7].*\nnode2 .* owns [1-7]/s);
    await type("drain node2", /node2 has ended \(ended with exit code 0/);
    await until(/node1 .* owns 8,/);
    await type("kill mars", /there is no mars/);
  },
);

test("quit ends every process", { timeout: UP_MS }, async () => {
  const list = join(state, "cluster", "processes.json");
  const records = JSON.parse(readFileSync(list, "utf8")) as ProcessRecord[];
  expect(records.filter(isRunning).map(({ name }) => name)).toContain("node1");
  const ended = new Promise((resolve) => child.once("exit", resolve));
  child.stdin?.write("quit\n");
  expect(await ended).toBe(0);
  expect(records.filter(isRunning)).toEqual([]);
});
