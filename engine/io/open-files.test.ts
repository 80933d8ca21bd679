// The limit of open files, and what may be open at the public door under it.

import { expect, test } from "vitest";
import { DOOR_DEFAULTS } from "../door-limits.ts";
import { openFilesMax, parseLimits, socketCapacity } from "./open-files.ts";

const HEAD = "Limit                     Soft Limit           Hard Limit           Units\n";
const settings = (socketsMax: number) => ({
  doors: { ...DOOR_DEFAULTS, socketsMax },
  postgresConnections: 4,
});

test.each([
  ["Max open files            200                  4096                 files", 200],
  ["Max open files            unlimited            unlimited            files", null],
  ["Max processes             200                  200                  processes", null],
])("%s", (line, expected) => {
  expect(parseLimits(`${HEAD}${line}\n`)).toBe(expected);
});

test("this process has a limit, or is told that there is none", () => {
  const limit = openFilesMax();
  expect(limit === null || limit > 50).toBe(true);
});

test("sockets leave room for requests, and both for the admin door and the servers behind", () => {
  const { connectionsMax, socketsMax } = socketCapacity(200, settings(0));
  expect(connectionsMax).toBeLessThan(200 - 60);
  expect(socketsMax).toBeLessThan(connectionsMax - 15);
  expect(socketsMax).toBeGreaterThan(80);
});

test("the setting holds where it is lower, the limit where that is", () => {
  expect(socketCapacity(20_000, settings(500)).socketsMax).toBe(500);
  expect(socketCapacity(1_000, settings(5_000)).socketsMax).toBeLessThan(1_000);
});

test("an unknown limit caps nothing, a tiny one leaves a few connections", () => {
  expect(socketCapacity(null, settings(7))).toEqual({ connectionsMax: 0, socketsMax: 7 });
  expect(socketCapacity(40, settings(0)).connectionsMax).toBe(8);
  expect(socketCapacity(40, settings(0)).socketsMax).toBe(1);
});
