// `npm start` as a newcomer meets it: servers of its own, the doors and tokens, the printed curl
// line, the end by Ctrl-C that leaves no process, and a second start that finds the data again.

import { spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test, vi } from "vitest";
import { cacheFolder, projectRoot, stateFolder } from "./run/state.ts";
import { freePort } from "./services/ports.ts";
import { isRunning } from "./services/process.ts";
import type { ProcessRecord } from "./services/process.ts";

/** A build of dist/ may be part of it. */
const UP_MS = 120_000;
const DOWN_MS = 30_000;
let state: string;
let ports: Record<string, string>;
let child: ChildProcess;
let output = "";

beforeAll(async () => {
  state = mkdtempSync(join(tmpdir(), "hexdispatch-start-"));
  symlinkSync(cacheFolder(stateFolder()), join(state, "cache"));
  ports = {
    HEXDISPATCH_PUBLIC_PORT: String(await freePort()),
    HEXDISPATCH_ADMIN_PORT: String(await freePort()),
    HEXDISPATCH_NODE_ADMIN_PORT: String(await freePort()),
  };
});
afterAll(async () => {
  if (child?.exitCode === null) await interrupt();
  rmSync(state, { recursive: true, force: true });
});

async function start(): Promise<void> {
  output = "";
  child = spawn(process.execPath, [join(projectRoot(), "scripts", "start.mjs")], {
    stdio: ["ignore", "pipe", "pipe"],
    env: { ...process.env, ...ports, HEXDISPATCH_STATE_DIR: state },
  });
  for (const stream of [child.stdout, child.stderr]) {
    stream?.setEncoding("utf8").on("data", (text: string) => (output += text));
  }
  await vi.waitFor(
    () => {
      expect(child.exitCode, output).toBeNull();
      expect(output).toMatch(/^A courier to carry it:/m);
    },
    { timeout: UP_MS, interval: 50 },
  );
}

async function interrupt(): Promise<void> {
  child.kill("SIGINT");
  const options = { timeout: DOWN_MS, interval: 50 };
  await vi.waitFor(() => expect(child.exitCode, output).not.toBeNull(), options);
}

const started = (): ProcessRecord[] =>
  JSON.parse(readFileSync(join(state, "processes.json"), "utf8")) as ProcessRecord[];

/** What a shell would make of the printed line. */
function curlLine(): { readonly url: string; readonly init: RequestInit } {
  const line = /^curl -s (\S+) (.*)$/m.exec(output);
  const [, url = "", rest = ""] = line ?? [];
  const headers = [...rest.matchAll(/-H "([^:]+): ([^"]*)"/g)].map(([, name, value]) => [
    name,
    value,
  ]);
  const body = /-d '([^']*)'/.exec(rest)?.[1] ?? "";
  return {
    url,
    init: { method: "POST", headers: Object.fromEntries(headers) as Record<string, string>, body },
  };
}

test(
  "the curl line is answered 201 with an estimate; the delivery is still there after Ctrl-C and a second start",
  { timeout: 2 * UP_MS },
  async () => {
    await start();
    const { url, init } = curlLine();
    const made = await fetch(url, init);
    const body = (await made.json()) as Record<string, string>;
    expect(made.status, JSON.stringify(body)).toBe(201);
    expect(Date.parse(body["estimated_arrival"] ?? "")).toBeGreaterThan(Date.now());
    for (const role of ["CUSTOMER", "COURIER", "OPERATOR"]) expect(output).toContain(`${role}=ey`);

    const processes = started();
    expect(processes.filter(isRunning).length).toBeGreaterThanOrEqual(4);
    await interrupt();
    expect(child.exitCode, output).toBe(0);
    expect(processes.filter(isRunning)).toEqual([]);

    await start();
    const again = await fetch(`${url}/${body["delivery_id"]}`, { headers: init.headers ?? {} });
    expect(again.status).toBe(200);
    expect(await again.json()).toMatchObject({ id: body["delivery_id"], status: "pending" });
    await interrupt();
    expect(child.exitCode, output).toBe(0);
  },
);
