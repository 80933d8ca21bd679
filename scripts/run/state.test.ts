// The state folder: one start at a time, and secrets that stay the same and stay private.

import { existsSync, mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { ProcessList, RememberedPorts, keptSecret, takeLock } from "./state.ts";

let folder = "";
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "hexdispatch-state-"));
});
afterEach(() => {
  rmSync(folder, { recursive: true });
});

test("a second start in the same folder is refused with the first one's process id", () => {
  const release = takeLock(folder);
  expect(() => takeLock(folder)).toThrow(`already runs from this folder (process ${process.pid})`);
  expect(existsSync(join(folder, "lock.json"))).toBe(true);
  release();
  takeLock(folder)();
});

test("the lock of a process that is gone, or is another one by now, does not hold", () => {
  const stale = { name: "npm start", pid: process.pid, marker: "another command line" };
  writeFileSync(join(folder, "lock.json"), JSON.stringify(stale));
  takeLock(folder)();
});

test("a secret is made once and readable by its owner alone", () => {
  const secret = keptSecret(folder, "key");
  expect(secret).toMatch(/^[\w-]{43}$/);
  expect(keptSecret(folder, "key")).toBe(secret);
  expect(statSync(join(folder, "key")).mode & 0o777).toBe(0o600);
});

test("processes are recorded last started first, the newest of a name only", () => {
  const list = new ProcessList(folder);
  const record = (name: string, pid: number) => ({ name, pid, marker: name });
  list.add(record("nats-server", 1));
  list.add(record("node", 2));
  list.add(record("gateway", 3));
  list.add(record("node", 4));
  list.remove("gateway");
  expect(new ProcessList(folder).recorded().map((r) => r.pid)).toEqual([4, 1]);
});

test("a server that was started again is still ended after those that lean on it", () => {
  const list = new ProcessList(folder);
  const record = (name: string, pid: number) => ({ name, pid, marker: name });
  list.add(record("postgres", 1));
  list.add(record("gateway", 2));
  list.add(record("postgres", 3));
  expect(list.recorded().map((r) => r.pid)).toEqual([2, 3]);
});

test("ports are remembered over starts", () => {
  new RememberedPorts(folder).set("nats", 4_333);
  expect(new RememberedPorts(folder).get("nats")).toBe(4_333);
  expect(new RememberedPorts(folder).get("postgres")).toBeUndefined();
});

test("two who come up side by side both remember their port", () => {
  const [nats, postgres] = [new RememberedPorts(folder), new RememberedPorts(folder)];
  nats.set("nats", 4_333);
  postgres.set("postgres", 5_433);
  expect(new RememberedPorts(folder).get("nats")).toBe(4_333);
  expect(new RememberedPorts(folder).get("postgres")).toBe(5_433);
});
