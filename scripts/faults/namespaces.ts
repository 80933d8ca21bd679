// "Hosts" on one machine: a network namespace for each, joined by a bridge, so that a cable can be
// pulled. Names carry this process's id, so that two suites do not meet and what a killed one left
// behind is told from what is in use; everything is removed when the process exits, and leftovers
// at the next start. Needs root and the `ip` program; without them there is one host and no cable.

import { execFileSync } from "node:child_process";
import type { Host } from "../cluster/host.ts";
import { thisHost } from "../cluster/host.ts";
import { isAlive, sendSignal } from "../services/process.ts";

export interface Hosts {
  readonly hosts: readonly Host[];
  /** Why there are no separate hosts; null when there are. */
  readonly why: string | null;
  /** Pulls or plugs in the cable of a host. Throws where hosts have none. */
  setCable(host: Host, isPlugged: boolean): void;
  /** Removes all of it; twice is as good as once. */
  close(): void;
}

const NAMESPACE = /^hd(\d+)h\d+$/;
const BRIDGE = /^hd(\d+)br$/;
/** From the private range, third byte from the process id. */
const NETWORK = "10.213";

/** Runs `ip`; throws with what it says. */
function ip(...args: string[]): string {
  return execFileSync("ip", args, { encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] });
}

/** `count` hosts, in namespaces of their own where that is possible; 0 is one without. */
export function makeHosts(count: number): Hosts {
  if (count === 0) return withoutCables("not asked for");
  try {
    sweepLeftovers();
    return inNamespaces(count);
  } catch (error) {
    const said = (error as { stderr?: string }).stderr || (error as Error).message;
    const why = said.trim().split("\n").at(-1) ?? "";
    return withoutCables(`network namespaces are not to be had here: ${why}`);
  }
}

const withoutCables = (why: string): Hosts => ({
  hosts: [thisHost],
  why,
  setCable: () => {
    throw new Error("this host has no cable to pull");
  },
  close: () => undefined,
});

function inNamespaces(count: number): Hosts {
  const tag = `hd${process.pid}`;
  const subnet = `${NETWORK}.${process.pid % 256}`;
  const bridge = `${tag}br`;
  const names = Array.from({ length: count }, (_, i) => `${tag}h${i + 1}`);
  const cableOf = (index: number): string => `${tag}v${index + 1}`;
  let isClosed = false;
  const close = (): void => {
    if (isClosed) return;
    isClosed = true;
    process.off("exit", close);
    for (const name of names) quietly(() => ip("netns", "del", name));
    // A cable outlives its namespace while a process is still in there.
    names.forEach((_, i) => quietly(() => ip("link", "del", cableOf(i))));
    quietly(() => ip("link", "del", bridge));
  };
  process.once("exit", close);
  try {
    ip("link", "add", bridge, "type", "bridge");
    ip("addr", "add", `${subnet}.1/24`, "dev", bridge);
    ip("link", "set", bridge, "up");
    names.forEach((name, i) => {
      ip("netns", "add", name);
      ip("link", "add", cableOf(i), "type", "veth", "peer", "name", "eth0", "netns", name);
      ip("link", "set", cableOf(i), "master", bridge, "up");
      ip("-n", name, "addr", "add", `${subnet}.${10 + i}/24`, "dev", "eth0");
      ip("-n", name, "link", "set", "eth0", "up");
      ip("-n", name, "link", "set", "lo", "up");
    });
  } catch (error) {
    close();
    throw error;
  }
  const hosts = names.map((name, i): Host => ({
    name: `h${i + 1}`,
    ip: `${subnet}.${10 + i}`,
    gatewayIp: `${subnet}.1`,
    launch: (command, args) => ({ command: "ip", args: ["netns", "exec", name, command, ...args] }),
  }));
  const setCable = (host: Host, isPlugged: boolean): void => {
    ip("link", "set", cableOf(hosts.indexOf(host)), isPlugged ? "up" : "down");
  };
  return { hosts, why: null, setCable, close };
}

/** What a suite that was killed has left: its processes, namespaces and bridge. */
export function sweepLeftovers(): void {
  for (const line of ip("netns", "list").split("\n")) {
    const name = line.split(" ")[0] ?? "";
    if (!isLeftOver(NAMESPACE, name)) continue;
    for (const pid of ip("netns", "pids", name).split("\n").filter(Boolean)) {
      sendSignal(Number(pid), "SIGKILL");
    }
    ip("netns", "del", name);
  }
  for (const link of JSON.parse(ip("-json", "link", "show")) as { ifname: string }[]) {
    if (isLeftOver(BRIDGE, link.ifname)) ip("link", "del", link.ifname);
  }
}

function isLeftOver(pattern: RegExp, name: string): boolean {
  const pid = pattern.exec(name)?.[1];
  return pid !== undefined && !isAlive(Number(pid));
}

function quietly(work: () => unknown): void {
  try {
    work();
  } catch {
    // Gone already.
  }
}
