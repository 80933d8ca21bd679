// Ending processes: only the right one, and only as hard as needed.

import { spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { expect, test } from "vitest";
import { endLeftovers, endProcess, exitText, isAlive, isRunning } from "./process.ts";

/** A process that says "up" and stays; `marker` is on its command line. */
async function startSleeper(marker: string, code = ""): Promise<ChildProcess & { pid: number }> {
  const script = `${code}; console.log("up"); setInterval(() => {}, 1000)`;
  const child = spawn(process.execPath, ["-e", script, marker], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  await once(child.stdout!, "data");
  return child as ChildProcess & { pid: number };
}

test("a process that ends when asked is not killed", async () => {
  const child = await startSleeper("a");
  expect(await endProcess(child.pid, "SIGTERM", 5_000)).toBe(false);
  expect(isAlive(child.pid)).toBe(false);
});

test("a process that does not listen is killed at the deadline", async () => {
  const child = await startSleeper("b", 'process.on("SIGTERM", () => {})');
  const exited = once(child, "exit");
  expect(await endProcess(child.pid, "SIGTERM", 200)).toBe(true);
  await exited;
  expect(exitText(child)).toBe("ended by SIGKILL");
});

test("a recorded process is ended only while its command line carries the marker", async () => {
  const child = await startSleeper("marker-c");
  const record = { name: "c", pid: child.pid, marker: "marker-c" };
  const foreign = { ...record, name: "foreign", marker: "something else" };
  expect(isRunning(foreign)).toBe(false);
  expect(await endLeftovers([foreign])).toEqual([]);
  expect(isRunning(record)).toBe(true);
  expect(await endLeftovers([record])).toEqual(["c"]);
  expect(isRunning(record)).toBe(false);
});

test("a recorded process is asked to end by the signal of its record", async () => {
  const child = await startSleeper("d", 'process.on("SIGTERM", () => {})');
  const exited = once(child, "exit");
  await endLeftovers([{ name: "d", pid: child.pid, marker: " d", endSignal: "SIGINT" }]);
  await exited;
  expect(exitText(child)).toBe("ended by SIGINT");
});
