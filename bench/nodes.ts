/**
 * Create -> offered -> accepted -> delivered with one, two and three nodes: the same open load on the system that `npm
 * start` runs, with nodes of the bench's own beside its node. Tells deliveries a second, the delay of the third offer
 * and what a delivery costs each process. On few cores more nodes cannot carry more: what is to be seen is what
 * sharing the work costs.
 *
 * Run, beside `npm start`: npx tsx bench/nodes.ts [creates a second] [seconds] [couriers]
 */
import { execFile, spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { createServer } from "node:net";
import type { AddressInfo } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { SHARDS_DEFAULT } from "../proto/limits.ts";
import { findSystem, scrape } from "../scripts/replay/system.ts";
import type { System } from "../scripts/replay/system.ts";
import { authKey, stateFolder } from "../scripts/run/state.ts";
import { report } from "./report.ts";

const [perS = "100", seconds = "15", couriers = "2000"] = process.argv.slice(2);
const NODES_MAX = 3;
const OUTPUT_MAX_BYTES = 16_777_216;
const here = (file: string): string => fileURLToPath(new URL(file, import.meta.url));

type Own = { readonly name: string; readonly child: ChildProcess; readonly admin: string };

async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, "close");
  return port;
}

async function startNode(system: System, name: string): Promise<Own> {
  const port = await freePort();
  const child = spawn(process.execPath, [here("../dist/engine/node.js")], {
    env: {
      ...process.env,
      HEXDISPATCH_NATS_URL: system.natsUrl,
      HEXDISPATCH_NATS_CREDENTIALS: system.natsCredentials ?? "",
      HEXDISPATCH_POSTGRES_URL: system.postgresUrl ?? "",
      HEXDISPATCH_AUTH_KEY: authKey(stateFolder()),
      HEXDISPATCH_NODE_ADMIN_PORT: String(port),
      HEXDISPATCH_LOG_LEVEL: "warn",
    },
    stdio: ["ignore", "inherit", "inherit", "ipc"],
  });
  await once(child, "message");
  return { name, child, admin: `http://127.0.0.1:${port}` };
}

/** All shards are owned, and by as many nodes as there are. */
async function untilShared(admins: readonly string[]): Promise<void> {
  for (;;) {
    const metrics = await Promise.all(admins.map((admin) => scrape(admin)));
    const owned = metrics.map((of) => of?.get("hexdispatch_shards_owned") ?? 0);
    const sum = owned.reduce((a, b) => a + b, 0);
    if (sum === SHARDS_DEFAULT && owned.every((count) => count > 0)) return;
    await sleep(100);
  }
}

type Dispatch = { readonly figures: Readonly<Record<string, unknown>> };

async function dispatch(own: readonly Own[]): Promise<Dispatch> {
  const load = ["--creates-per-s", perS, "--seconds", seconds, "--couriers", couriers];
  const pids = own.flatMap(({ name, child }) => ["--pid", `${name}=${child.pid ?? 0}`]);
  const args = ["--import", "tsx", here("./dispatch.ts"), ...load, ...pids];
  const run = promisify(execFile);
  const { stdout } = await run(process.execPath, args, { maxBuffer: OUTPUT_MAX_BYTES });
  return JSON.parse(stdout.trim().split("\n").at(-1) ?? "") as Dispatch;
}

const system = findSystem();
if (system.nodeAdminUrl === null) throw new Error("run `npm start` first");
const own: Own[] = [];
const results: Record<string, unknown>[] = [];
try {
  await dispatch([]); // Warms it up.
  for (let nodes = 1; nodes <= NODES_MAX; nodes++) {
    if (nodes > 1) own.push(await startNode(system, `node ${nodes}`));
    await untilShared([system.nodeAdminUrl, ...own.map(({ admin }) => admin)]);
    const { figures } = await dispatch(own);
    const { thirdOfferFromOutsideMs, couriersSaw, cpuMsPerDelivery, creates } = figures;
    results.push({ nodes, thirdOfferFromOutsideMs, couriersSaw, cpuMsPerDelivery, creates });
  }
} finally {
  for (const { child } of own) {
    const exited = once(child, "exit");
    child.kill("SIGTERM");
    await exited;
  }
}
report("nodes", { createsPerS: Number(perS), seconds: Number(seconds), results });
