// Ports that two starts side by side must not both settle on.

import { spawn } from "node:child_process";
import { rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, expect, test } from "vitest";
import { claimPort, firstFreePort, freePort } from "./ports.ts";

let port = 0;
afterEach(() => rmSync(join(tmpdir(), `hexdispatch-port-${port}`), { force: true }));

test("a port that another start has in mind is passed over while that start lives", async () => {
  port = await freePort();
  const other = spawn(process.execPath, ["-e", "setInterval(() => {}, 1000)"]);
  const gone = new Promise((resolve) => other.once("exit", resolve));
  expect(claimPort(port, other.pid)).toBe(true);
  expect(await firstFreePort([port])).not.toBe(port);
  other.kill("SIGKILL");
  await gone;
  expect(await firstFreePort([port])).toBe(port);
  expect(await firstFreePort([port])).toBe(port);
});
