/**
 * Create -> offered -> accepted -> delivered with one, two and three nodes: the same open loads on
 * the system that `npm start` runs, with nodes of the bench's own beside its node. Tells deliveries
 * a second, the delay of the third offer and what a delivery costs each process. On few cores more
 * nodes cannot carry more: what is to be seen is what sharing the work costs. A rate is carried
 * where as many are delivered as created.
 *
 * Run, beside `npm start`: npx tsx bench/nodes.ts [creates a second, several by commas] [seconds]
 * [couriers]
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

const [rates = "100", seconds = "15", couriers = "2000"] = process.argv.slice(2);
const NODES_MAX = 3;
const SHARED_DEADLINE_MS = 60_000;
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

/** All shards are owned, and by as many nodes as there are. Rejects when that does not come. */
async function untilShared(admins: readonly string[]): Promise<void> {
  for (const until = Date.now() + SHARED_DEADLINE_MS; ;) {
    const metrics = await Promise.all(admins.map((admin) => scrape(admin)));
    const owned = metrics.map((of) => of?.get('hexdispatch_shards_owned{role="node"}') ?? 0);
    const sum = owned.reduce((a, b) => a + b, 0);
    if (sum === SHARDS_DEFAULT && owned.every((count) => count > 0)) return;
    if (Date.now() > until) throw new Error(`the nodes own ${owned.join(", ")} shards`);
    await sleep(100);
  }
}

type Delay = { readonly p50: number | null; readonly p99: number | null };
type Figures = {
  readonly thirdOfferFromOutsideMs: Delay;
  readonly createAnswerMs: Delay;
  readonly couriersSaw: { readonly delivered: number } & Readonly<Record<string, unknown>>;
  readonly cpuMsPerDelivery: Readonly<Record<string, number>>;
  readonly creates: Readonly<Record<string, number>>;
};

async function dispatch(own: readonly Own[], perS: string): Promise<Figures> {
  const load = ["--creates-per-s", perS, "--seconds", seconds, "--couriers", couriers];
  const pids = own.flatMap(({ name, child }) => ["--pid", `${name}=${child.pid ?? 0}`]);
  const args = ["--import", "tsx", here("./dispatch.ts"), ...load, ...pids];
  const run = promisify(execFile);
  const { stdout } = await run(process.execPath, args, { maxBuffer: OUTPUT_MAX_BYTES });
  return (JSON.parse(stdout.trim().split("\n").at(-1) ?? "") as { figures: Figures }).figures;
}

/** A line for people; the JSON at the end has the rest. */
function say(nodes: number, perS: string, figures: Figures, deliveredPerS: number): void {
  const { thirdOfferFromOutsideMs: third, cpuMsPerDelivery } = figures;
  const cpu = Object.entries(cpuMsPerDelivery).map(([name, ms]) => `${name} ${ms}`);
  process.stderr.write(
    `${nodes} nodes, ${perS} creates/s: ${deliveredPerS} delivered/s; third offer p50 ${third.p50}, ` +
      `p99 ${third.p99} ms; CPU ms a delivery: ${cpu.join(", ")}\n`,
  );
}

const system = findSystem();
if (system.nodeAdminUrl === null) throw new Error("run `npm start` first");
const own: Own[] = [];
const results: Record<string, unknown>[] = [];
try {
  const perSecond = rates.split(",");
  await dispatch([], perSecond[0] ?? ""); // Warms it up.
  for (let nodes = 1; nodes <= NODES_MAX; nodes++) {
    if (nodes > 1) own.push(await startNode(system, `node ${nodes}`));
    await untilShared([system.nodeAdminUrl, ...own.map(({ admin }) => admin)]);
    for (const perS of perSecond) {
      const figures = await dispatch(own, perS);
      const { thirdOfferFromOutsideMs, createAnswerMs, couriersSaw, cpuMsPerDelivery, creates } =
        figures;
      const deliveredPerS = Math.round((couriersSaw.delivered / Number(seconds)) * 10) / 10;
      say(nodes, perS, figures, deliveredPerS);
      const delays = { thirdOfferFromOutsideMs, createAnswerMs };
      const counts = { couriersSaw, creates };
      results.push({
        nodes,
        createsPerS: Number(perS),
        deliveredPerS,
        ...delays,
        ...counts,
        cpuMsPerDelivery,
      });
    }
  }
} finally {
  for (const { child } of own) {
    const exited = once(child, "exit");
    child.kill("SIGTERM");
    await exited;
  }
}
report("nodes", { seconds: Number(seconds), couriers: Number(couriers), results });
