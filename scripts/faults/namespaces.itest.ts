// Hosts in network namespaces: what listens in one is reached from outside, until its cable is
// pulled. Where namespaces are not allowed the helper says so, and that is all there is to test.

import { spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { execFileSync } from "node:child_process";
import { connect } from "node:net";
import { afterAll, beforeAll, expect, test, vi } from "vitest";
import { makeHosts } from "./namespaces.ts";
import type { Hosts } from "./namespaces.ts";

const PORT = 7_421;
const LISTEN = `require("net").createServer((s) => s.end("hello")).listen(${PORT})`;

let hosts: Hosts;
let child: ChildProcess | null = null;

beforeAll(() => {
  hosts = makeHosts(2);
  const host = hosts.hosts[0]!;
  if (hosts.why !== null) return;
  const { command, args } = host.launch(process.execPath, ["-e", LISTEN]);
  child = spawn(command, [...args], { stdio: "ignore" });
});
afterAll(() => {
  child?.kill("SIGKILL");
  hosts.close();
});

/** What the server in the first host says; null when nothing comes within `ms`. */
function heard(ms: number): Promise<string | null> {
  return new Promise((resolve) => {
    const socket = connect({ host: hosts.hosts[0]!.ip, port: PORT });
    const timer = setTimeout(() => socket.destroy(), ms);
    let text: string | null = null;
    socket.on("data", (chunk) => (text = chunk.toString()));
    socket.on("error", () => undefined);
    socket.on("close", () => {
      clearTimeout(timer);
      resolve(text);
    });
  });
}

test("a host's server is heard, not while its cable is pulled, and again after that", async () => {
  if (hosts.why !== null) {
    expect(hosts.hosts).toHaveLength(1);
    expect(() => hosts.setCable(hosts.hosts[0]!, false)).toThrow("no cable");
    return;
  }
  await vi.waitFor(async () => expect(await heard(1_000)).toBe("hello"), { timeout: 10_000 });
  hosts.setCable(hosts.hosts[0]!, false);
  expect(await heard(300)).toBeNull();
  hosts.setCable(hosts.hosts[0]!, true);
  await vi.waitFor(async () => expect(await heard(1_000)).toBe("hello"), { timeout: 10_000 });
});

test("nothing is left of them when they are closed", () => {
  if (hosts.why !== null) return;
  const mine = `hd${process.pid}`;
  expect(execFileSync("ip", ["netns", "list"], { encoding: "utf8" })).toContain(mine);
  child?.kill("SIGKILL");
  hosts.close();
  expect(execFileSync("ip", ["netns", "list"], { encoding: "utf8" })).not.toContain(mine);
  expect(execFileSync("ip", ["link", "show"], { encoding: "utf8" })).not.toContain(mine);
});
