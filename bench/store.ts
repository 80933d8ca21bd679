/**
 * Creates and accepts a second, in batches and with one row for each statement, in the same run and
 * alternated, over a Postgres of its own with fsync on. Beside the rates: microseconds of CPU for
 * each command, ours and the server's, and how long a create takes at 600 a second, the load that
 * we build for.
 *
 * Run: npx tsx bench/store.ts [commands a round]
 */
import { readFileSync } from "node:fs";
import { newDeliveryId } from "../engine/ids.ts";
import { createOf, takeOver } from "../engine/store/contract/world.ts";
import { migrate } from "../engine/store/migrate.ts";
import { openPostgresStore } from "../engine/store/postgres-store.ts";
import type { PostgresStore } from "../engine/store/postgres-store.ts";
import type { CourierId, DeliveryId, ShardId } from "../proto/ids.ts";
import { connectOnce } from "../scripts/services/postgres.ts";
import { privatePostgres } from "../scripts/testing/services.ts";
import { median, report } from "./report.ts";

const COMMANDS = Number(process.argv[2] ?? 6_000);
const ROUNDS = 5;
/** Requests that are under way at the same time, as on a busy gateway. */
const CLIENTS = 200;
const COURIERS = 2_000;
const CONNECTIONS = 16;
const PACED_PER_S = 600;
const PACED_S = 5;
/** Kernel ticks of /proc/pid/stat. */
const TICK_US = 10_000;

type Figure = { perS: number; clientCpuUs: number; serverCpuUs: number | null };

/** Runs `command` for 0 to `count` - 1 with `CLIENTS` of them under way. */
async function inParallel(count: number, command: (i: number) => Promise<unknown>): Promise<void> {
  let next = 0;
  const client = async (): Promise<void> => {
    while (next < count) await command(next++);
  };
  await Promise.all(Array.from({ length: CLIENTS }, client));
}

async function measure(
  pids: () => Promise<readonly number[]>,
  command: (i: number) => Promise<unknown>,
): Promise<Figure> {
  const serverBefore = cpuUsOf(await pids());
  const clientBefore = process.cpuUsage();
  const startedAt = performance.now();
  await inParallel(COMMANDS, command);
  const ms = performance.now() - startedAt;
  const client = process.cpuUsage(clientBefore);
  const serverAfter = cpuUsOf(await pids());
  return {
    perS: Math.round((COMMANDS / ms) * 1_000),
    clientCpuUs: Math.round((client.user + client.system) / COMMANDS),
    serverCpuUs:
      serverBefore === null || serverAfter === null
        ? null
        : Math.round((serverAfter - serverBefore) / COMMANDS),
  };
}

/** CPU time of processes so far, microseconds; null where the system does not tell. */
function cpuUsOf(pids: readonly number[]): number | null {
  if (process.platform !== "linux") return null;
  const ticks = pids.map((pid) => {
    const fields = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ")[1]?.split(" ") ?? [];
    return Number(fields[11]) + Number(fields[12]);
  });
  return ticks.reduce((sum, n) => sum + n, 0) * TICK_US;
}

const medians = (figures: readonly Figure[]): Figure => ({
  perS: median(figures.map((figure) => figure.perS)),
  clientCpuUs: median(figures.map((figure) => figure.clientCpuUs)),
  serverCpuUs: median(figures.map((figure) => figure.serverCpuUs ?? Number.NaN)),
});

/** Couriers on shift who can carry all that one round gives them. */
async function hire(store: PostgresStore, round: number): Promise<CourierId[]> {
  const shard = 1 as ShardId;
  const epoch = await takeOver(store, "bench", shard);
  const ids = Array.from({ length: COURIERS }, (_, i) => `cur_${round}_${i}` as CourierId);
  await inParallel(COURIERS, async (i) => {
    const courier = ids[i] as CourierId;
    const profile = { name: "A", phone: "1", vehicle: "bike", capacity: 20 } as const;
    await store.putCourier({ id: courier, shard, ...profile });
    await store.write({ kind: "shift", courier, online: true }, shard, epoch);
  });
  return ids;
}

async function round(
  store: PostgresStore,
  couriers: readonly CourierId[],
  pids: () => Promise<readonly number[]>,
): Promise<{ create: Figure; accept: Figure }> {
  const key = Math.random().toString(36);
  const commands = Array.from({ length: COMMANDS }, (_, i) =>
    createOf(
      { id: newId() },
      { idempotency: { principal: "customer_1", key: `${key} ${i}`, fingerprint: "f" } },
    ),
  );
  const create = await measure(pids, (i) => store.create(commands[i]!));
  const accept = await measure(pids, async (i) => {
    const courier = couriers[i % COURIERS]!;
    const { outcome } = await store.accept({ delivery: commands[i]!.job.id, courier });
    if (outcome !== "accepted") throw new Error("an accept was refused: the bench is wrong");
  });
  return { create, accept };
}

const newId = (): DeliveryId =>
  newDeliveryId(Math.floor(Math.random() * 64) as ShardId, Date.now());

/** Creates at a steady pace; milliseconds until the answer. */
async function paced(store: PostgresStore): Promise<{ p50Ms: number; p99Ms: number }> {
  const took: number[] = [];
  const running: Promise<void>[] = [];
  const startedAt = performance.now();
  for (let i = 0; i < PACED_PER_S * PACED_S; i++) {
    const dueInMs = startedAt + (i / PACED_PER_S) * 1_000 - performance.now();
    if (dueInMs > 0) await new Promise((resolve) => setTimeout(resolve, dueInMs));
    const sentAt = performance.now();
    const command = createOf({ id: newId() });
    running.push(store.create(command).then(() => void took.push(performance.now() - sentAt)));
  }
  await Promise.all(running);
  const sorted = took.sort((a, b) => a - b);
  const at = (share: number): number =>
    Number((sorted[Math.floor(sorted.length * share)] ?? Number.NaN).toFixed(2));
  return { p50Ms: at(0.5), p99Ms: at(0.99) };
}

async function main(): Promise<void> {
  const server = await privatePostgres();
  await migrate(server.url);
  const admin = connectOnce(server.url);
  const rows: number[] = [];
  const observe = (name: string, count: number): void => {
    if (name === "create" || name === "accept") rows.push(count);
  };
  const open = (name: string, limits = {}): PostgresStore =>
    openPostgresStore({
      ...{ url: server.url, applicationName: name, connections: CONNECTIONS, limits },
      ...(name === "batched" ? { observe } : {}),
    });
  const stores = {
    batched: open("batched"),
    oneRow: open("oneRow", { rowsMax: 1, inFlightMax: CONNECTIONS, windowMs: 0 }),
  };
  const figures = { batched: [] as Rounds, oneRow: [] as Rounds };
  for (let n = 0; n <= ROUNDS; n++) {
    for (const name of ["batched", "oneRow"] as const) {
      const couriers = await hire(stores.batched, n * 2 + (name === "batched" ? 0 : 1));
      const pids = async (): Promise<number[]> =>
        (
          await admin<{ pid: number }[]>`
            select pid from pg_stat_activity where application_name = ${name}`
        ).map((row) => row.pid);
      const measured = await round(stores[name], couriers, pids);
      // The first round warms up: connections, plans, the compiler.
      if (n > 0) figures[name].push(measured);
    }
  }
  const summary = (rounds: Rounds) => ({
    create: medians(rounds.map((one) => one.create)),
    accept: medians(rounds.map((one) => one.accept)),
  });
  report("store", {
    ...{ commands: COMMANDS, rounds: ROUNDS, clients: CLIENTS, connections: CONNECTIONS },
    batched: { ...summary(figures.batched), rowsPerStatement: median(rows) },
    oneRow: summary(figures.oneRow),
    pacedCreates: { perS: PACED_PER_S, ...(await paced(stores.batched)) },
  });
  await Promise.all(Object.values(stores).map((store) => store.close()));
  await admin.end();
  await server.remove();
}

type Rounds = { create: Figure; accept: Figure }[];

await main();
