/**
 * How long a node that starts cold needs to know where 5,000 couriers are: from the CELLS stream as
 * half a minute of pings leaves it (what a start reads), and, in the same run, from the last-known
 * positions in Postgres that stand in when the stream is lost. Beside them: the whole stream, five
 * minutes deep, and the index filled from memory, which no store could beat.
 *
 * Run: npx tsx bench/rebuild.ts
 */
import { jetstreamManager } from "@nats-io/jetstream";
import { CellIndex } from "../actors/cell-index.ts";
import { streamCellsLog } from "../engine/cells/reader.ts";
import { connectNats, natsBus } from "../engine/io/nats/nats.ts";
import { shardOfCourier } from "../engine/cluster/shards.ts";
import { openPostgresStore } from "../engine/store/postgres-store.ts";
import { migrate } from "../engine/store/migrate.ts";
import { ensureStreams } from "../engine/streams/streams.ts";
import type { CourierId, Epoch, NodeId, ShardId } from "../proto/ids.ts";
import { DISPATCH_DEFAULTS } from "../proto/limits.ts";
import { streamMessages } from "../proto/messages.ts";
import type { CourierRecord } from "../proto/messages.ts";
import { streamName, subjectsFor } from "../proto/subjects.ts";
import { privateNats, privatePostgres } from "../scripts/testing/services.ts";
import { median, report, seeded } from "./report.ts";

const COURIERS = 5_000;
const SHARDS = 64;
/** Pings of each courier in half a minute, and in five. */
const RECENT_PINGS = 3;
const ALL_PINGS = 30;
const ROUNDS = 7;
const PAGE_ROWS = 500;
const ALL = Array.from({ length: SHARDS }, (_, shard) => shard as ShardId);

const random = seeded(1);
const couriers = Array.from({ length: COURIERS }, (_, n) => ({
  id: `cur_${n}` as CourierId,
  lng: -122.5 + random() * 0.12,
  lat: 37.7 + random() * 0.1,
}));
const recordOf = (n: number, no: number, at: number): CourierRecord => {
  const { id, lng, lat } = couriers[n]!;
  return {
    courier: id,
    no,
    at,
    lng,
    lat,
    vehicle: "bike",
    slots: 1,
    online: true,
    active: 0,
    doubt: 0,
  };
};
const newIndex = (): CellIndex =>
  new CellIndex({ resolution: DISPATCH_DEFAULTS.CELL_RESOLUTION, capacityCouriers: 10_000 });

type Run = { readonly ms: number; readonly cpuMs: number };

/** Fills an index, which must know everybody then. */
async function timed(fill: () => Promise<CellIndex> | CellIndex): Promise<Run> {
  const cpu = process.cpuUsage();
  const at = performance.now();
  const index = await fill();
  const ms = performance.now() - at;
  const { user, system } = process.cpuUsage(cpu);
  let known = 0;
  index.forEach(() => void known++);
  if (known !== COURIERS) throw new Error(`${known} couriers of ${COURIERS} are known`);
  return { ms, cpuMs: (user + system) / 1_000 };
}

const middle = (runs: readonly Run[]) => ({
  ms: Math.round(median(runs.map((run) => run.ms))),
  maxMs: Math.round(Math.max(...runs.map((run) => run.ms))),
  cpuMs: Math.round(median(runs.map((run) => run.cpuMs))),
});

const prefix = "bench";
const server = await privateNats();
const nc = await connectNats({ url: server.url, name: "bench" });
const bus = natsBus(nc);
const subjects = subjectsFor(prefix);
await ensureStreams(await jetstreamManager(nc), prefix, 1);
const database = await privatePostgres();
await migrate(database.url);
const store = openPostgresStore({ url: database.url, applicationName: "bench" });

/** As nodes publish them at this rate: most batches hold a single record. */
const numbers = new Map<number, number>();
async function ping(no: number): Promise<void> {
  for (let n = 0; n < COURIERS; n++) {
    const shard = shardOfCourier(couriers[n]!.id, SHARDS);
    const number = (numbers.get(shard) ?? 0) + 1;
    numbers.set(shard, number);
    const head = { shard, epoch: 1 as Epoch, number, node: "node_bench" as NodeId };
    const records = [recordOf(n, no, Date.now())];
    bus.publish(
      subjects.cells(shard),
      streamMessages.encode({ type: "records", ...head, records }),
    );
  }
  await bus.flush();
}
for (let no = 1; no <= RECENT_PINGS; no++) await ping(no);
for (const { id } of couriers) {
  const shard = shardOfCourier(id, SHARDS);
  await store.putCourier({ id, name: "C", phone: "+1", vehicle: "bike", capacity: 1, shard });
}
const epochs = await store.takeShards("bench", new Map(ALL.map((shard) => [shard, 0])));
await Promise.all(
  couriers.map(({ id }) => {
    const shard = shardOfCourier(id, SHARDS);
    return store.write({ kind: "shift", courier: id, online: true }, shard, epochs.get(shard)!);
  }),
);
await store.saveLastKnown(
  couriers.map(({ id, lng, lat }) => ({ courier: id, lng, lat, at: Date.now() })),
);

const log = streamCellsLog(nc, streamName(prefix, "CELLS"));
async function fromStream(): Promise<CellIndex> {
  const index = newIndex();
  await log.read(subjects.cellsAll, 60_000, (data) => {
    const batch = streamMessages.decode(data);
    if (batch?.type === "records") for (const record of batch.records) index.upsert(record);
  });
  return index;
}

async function fromPostgres(): Promise<CellIndex> {
  const index = newIndex();
  for (let after = "", isMore = true; isMore;) {
    const page = await store.courierSnapshots(ALL, after, PAGE_ROWS);
    for (const { courier, lastKnown } of page) {
      if (lastKnown !== null) index.upsert({ ...recordOf(0, 1, 0), courier, ...lastKnown });
    }
    after = page.at(-1)?.courier ?? after;
    isMore = page.length === PAGE_ROWS;
  }
  return index;
}

function fromMemory(): CellIndex {
  const index = newIndex();
  couriers.forEach((_, n) => void index.upsert(recordOf(n, 1, 1)));
  return index;
}

const runs = { stream: [], postgres: [], memory: [] } as Record<string, Run[]>;
for (let round = 0; round < ROUNDS; round++) {
  runs["stream"]!.push(await timed(fromStream));
  runs["postgres"]!.push(await timed(fromPostgres));
  runs["memory"]!.push(await timed(fromMemory));
}
for (let no = RECENT_PINGS + 1; no <= ALL_PINGS; no++) await ping(no);
const whole = [await timed(fromStream), await timed(fromStream), await timed(fromStream)];
report("rebuild", {
  couriers: COURIERS,
  stream: { messages: COURIERS * RECENT_PINGS, ...middle(runs["stream"]!) },
  postgres: middle(runs["postgres"]!),
  memory: middle(runs["memory"]!),
  wholeStream: { messages: COURIERS * ALL_PINGS, ...middle(whole) },
});
await store.close();
await nc.close();
await database.remove();
await server.remove();
