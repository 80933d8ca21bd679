/**
 * The dispatch node: composition root and process. The only file of the engine that knows the
 * actors; it gives them to the runtime as values. Signals and exit codes are those of every process
 * of ours (`engine/service.ts`).
 */
import { jetstreamManager } from "@nats-io/jetstream";
import type { NatsConnection } from "@nats-io/transport-node";
import { realpathSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { CellIndex } from "../actors/cell-index.ts";
import { cellActor, emptyCell } from "../actors/cell.ts";
import type { Cell } from "../actors/cell.ts";
import { courierActor, emptyCourier } from "../actors/courier.ts";
import { emptyDelivery } from "../actors/delivery-state.ts";
import { deliveryActor } from "../actors/delivery.ts";
import { createSearch } from "../actors/matching.ts";
import { robotDeeds } from "../actors/robot.ts";
import type { CourierId, DeliveryId, Epoch } from "../proto/ids.ts";
import { IDEMPOTENCY_KEPT_H, REVOCATIONS_KEPT_H, TESTS_KEPT_H } from "../proto/limits.ts";
import { NODE_STOP_MAX_MS, ROBOT_STEP_MS } from "../proto/limits.ts";
import type { DispatchSettings } from "../proto/limits.ts";
import { streamName } from "../proto/subjects.ts";
import { streamCellsLog } from "./cells/reader.ts";
import { ConsumerLag, READERS, listConsumers } from "./streams/consumer-lag.ts";
import { printable } from "./config.ts";
import type { Config } from "./config.ts";
import { createGreatCircleTravel } from "./geo/travel-time.ts";
import type { AnyActor } from "./host/ports.ts";
import { newNodeId } from "./ids.ts";
import { BuriedCreates } from "./streams/intake-buried.ts";
import { streamIntake } from "./streams/intake-stream.ts";
import { listenAdmin } from "./io/admin.ts";
import type { Admin } from "./io/admin.ts";
import { repeat, systemClock } from "./io/clock.ts";
import { createLog, errorFields } from "./io/log.ts";
import type { Log } from "./io/log.ts";
import { Metrics, watchEventLoop } from "./io/metrics.ts";
import { endWithoutNats, openNats } from "./io/nats/link.ts";
import { openFilesMax } from "./io/open-files.ts";
import { catchSignals } from "./io/signals.ts";
import { SINGLETON_SHARD, start } from "./lifecycle.ts";
import { Robots } from "./upkeep/robots.ts";
import { Runtime } from "./runtime.ts";
import type { Domain } from "./runtime.ts";
import { runtimeMetrics } from "./runtime-metrics.ts";
import { readConfigOrExit, runService } from "./service.ts";
import type { Opening } from "./service.ts";
import { shardOfCourier } from "./cluster/shards.ts";
import { checkSessions } from "./io/postgres/pooling.ts";
import { migrate } from "./store/migrate.ts";
import { openPostgresStore } from "./store/postgres-store.ts";
import type { PostgresStore } from "./store/postgres-store.ts";
import { keepStreams } from "./streams/look.ts";
import type { StreamKeeper } from "./streams/keeper.ts";
import { ensureStreams, isTransient } from "./streams/streams.ts";
import { readVersion } from "./version.ts";

/** Couriers in the index, present ones and those who left: about 150 bytes each. */
const INDEX_CAPACITY_COURIERS = 200_000;
/** How long streams may take to have a leader at a start: an election lasts up to 9 s. */
const STREAMS_DEADLINE_MS = 20_000;
const STREAMS_RETRY_MS = 500;
/** How often the readers of the events are looked at. */
const CONSUMERS_LOOK_MS = 5_000;

/** The actors, the index and the search, wired for one node. */
export function makeDomain(
  settings: DispatchSettings,
  capacityCouriers: number = INDEX_CAPACITY_COURIERS,
): Domain {
  const index = new CellIndex({
    resolution: settings.CELL_RESOLUTION,
    capacityCouriers,
  });
  const travel = createGreatCircleTravel();
  const search = createSearch(index, {
    staleMs: settings.STALE_MS,
    candidatesMax: settings.CANDIDATES_MAX,
    travelS: (vehicle, from, to) => travel.estimateS(from, to, vehicle),
  });
  const delivery = deliveryActor(settings);
  const cell = cellActor();
  const couriers = new Map<Epoch, AnyActor>();
  const courierUnder = (epoch: Epoch): AnyActor => {
    const known = couriers.get(epoch) ?? courierActor(settings, epoch);
    couriers.set(epoch, known);
    return known;
  };
  return {
    index,
    search,
    actors: {
      delivery: { actorFor: () => delivery, initial: (id) => emptyDelivery(id as DeliveryId) },
      courier: { actorFor: courierUnder, initial: (id) => emptyCourier(id as CourierId) },
      cell: { actorFor: () => cell, initial: (id) => emptyCell(id) },
    },
    oldestWaiting: (state) => {
      const backlog = state as Cell;
      return backlog.at === "empty" ? null : (backlog.waiting[0]?.since ?? null);
    },
  };
}

export type Node = {
  readonly runtime: Runtime;
  readonly admin: Admin | null;
  /** What the start found, for the log. */
  readonly found: Readonly<Record<string, unknown>>;
  /** Ends it in order. */
  readonly stop: () => Promise<void>;
};

/** A start that nobody cuts off. */
const UNHURRIED: Opening = { ending: new AbortController().signal, opened: () => undefined };

/**
 * Starts a node in this process. Rejects when it cannot: nothing is left open then. `onLost` is
 * called when its connection to NATS closed for good and nobody asked for that. A start that is
 * told to end leaves off at its next step and rejects.
 */
export async function startNode(
  config: Config,
  log: Log,
  onLost: (why: string) => void = () => undefined,
  { ending, opened }: Opening = UNHURRIED,
): Promise<Node> {
  const node = newNodeId("node");
  const metrics = new Metrics("node");
  const closes: (() => Promise<void> | void)[] = [watchEventLoop(metrics)];
  const closeAll = async (): Promise<void> => {
    for (const close of closes.splice(0).toReversed()) await close();
  };
  opened(closeAll);
  try {
    await checkSessions(config.postgresUrl);
    await migrate(config.postgresUrl);
    ending.throwIfAborted();
    const { nc, watch, bus, close } = await openNats({ config, name: node, log, metrics, onLost });
    closes.push(close);
    ending.throwIfAborted();
    await openStreams(nc, config, log);
    ending.throwIfAborted();
    const store = openPostgresStore({
      url: config.postgresUrl,
      applicationName: node,
      connections: config.postgresConnections,
    });
    closes.push(() => store.close());
    const meters = runtimeMetrics(metrics);
    const domain = makeDomain(config.settings);
    const clock = systemClock;
    const keeper = keepStreams(clock, log, { nc, ...config, makes: true });
    const cells = streamCellsLog(nc, streamName(config.natsPrefix, "CELLS"));
    const intake = streamIntake(nc, config.natsPrefix);
    const io = { clock, log, meters, bus, cells, intake, store, keeper };
    const runtime = new Runtime({ config, node, ...io, domain });
    showGauges(metrics, runtime);
    closes.push(watchConsumers(metrics, runtime, nc), watchBuried(metrics, runtime, nc));
    const state = { isReady: false, isUp: false };
    // Others need not wait for silence where a start is cut off.
    closes.push(() => (state.isUp ? undefined : runtime.failureDetector.stop()));
    showStreams(metrics, keeper);
    const problems = (): string[] => [...watch.problems(), ...keeper.problems()];
    const admin = await openAdmin(config, metrics, runtime, state, problems);
    if (admin !== null) closes.push(() => admin.close());
    const { stop, ...started } = await start(runtime, () => keepHouse(store, config.settings, log));
    state.isUp = true;
    if (ending.aborted) await stop();
    ending.throwIfAborted();
    const stopRobots = runRobots(runtime, store);
    state.isReady = true;
    const found = { node, ...started, admin: admin?.port ?? null, openFilesMax: openFilesMax() };
    const stopNode = async (): Promise<void> => {
      state.isReady = false;
      await stopRobots();
      await stop();
      await closeAll();
    };
    return { runtime, admin, found, stop: stopNode };
  } catch (error) {
    await closeAll();
    throw error;
  }
}

/** The robots of the tests in this node's shards; the function ends them. */
function runRobots(runtime: Runtime, store: PostgresStore): () => Promise<void> {
  const { clock, config, node } = runtime.options;
  const robots = new Robots({
    clock,
    node,
    store,
    owned: () => runtime.ownership.owned(),
    shardOf: (courier) => shardOfCourier(courier, config.shards),
    send: (post) => runtime.router.send(post, null),
    nudge: () => runtime.relay.nudge(),
    deeds: (test, now) => robotDeeds(test, now, config.settings),
    onFailed: runtime.failing("running the robots of tests"),
  });
  return repeat(clock, ROBOT_STEP_MS, () => robots.once());
}

/** While JetStream elects a leader it refuses everything; anything else is final. */
async function openStreams(nc: NatsConnection, config: Config, log: Log): Promise<void> {
  const until = performance.now() + STREAMS_DEADLINE_MS;
  for (;;) {
    try {
      const manager = await jetstreamManager(nc, { checkAPI: false });
      return await ensureStreams(
        manager,
        config.natsPrefix,
        config.natsReplicas,
        config.streamBytes,
      );
    } catch (error) {
      if (!isTransient(error) || performance.now() > until) throw error;
      log.warn(errorFields(error), "the streams are not there yet");
      await sleep(STREAMS_RETRY_MS);
    }
  }
}

function openAdmin(
  { adminHost, nodeAdminPort }: Config,
  metrics: Metrics,
  runtime: Runtime,
  state: { readonly isReady: boolean },
  problems: () => readonly string[],
): Promise<Admin | null> {
  if (nodeAdminPort === 0) return Promise.resolve(null);
  return listenAdmin({
    host: adminHost,
    port: nodeAdminPort,
    version: readVersion(),
    notReady: () => [...(state.isReady ? [] : ["start"]), ...problems()],
    notAlive: () => (runtime.bus.status() === "closed" ? ["nats"] : []),
    metrics: () => metrics.text(),
  });
}

function showStreams(metrics: Metrics, keeper: StreamKeeper): void {
  const help =
    "Streams that are missing, not as asked, or take no messages; the owner of shard 0 looks.";
  metrics.gauge("hexdispatch_streams_broken", help, () => keeper.problems().length);
}

function showGauges(metrics: Metrics, runtime: Runtime): void {
  const { host, ownership, relay, intake, ledger, tracks, backlogWaker, positions } = runtime;
  const show = (name: string, help: string, read: () => number): void =>
    void metrics.gauge(`hexdispatch_${name}`, help, read);
  show("deliveries_in_memory", "Delivery actors.", () => host.count("delivery"));
  show("couriers_in_memory", "Courier actors.", () => host.count("courier"));
  show("cells_in_memory", "Cell actors.", () => host.count("cell"));
  show("actors_parked", "Actors that a throwing step has stopped.", () => host.parked().length);
  show("actors_to_run", "Actors with a message to handle.", () => host.backlog());
  show("shards_owned", "Shards that this node owns.", () => ownership.owned().length);
  show("shards_orphaned", "Shards that no live node claims.", () =>
    runtime.failureDetector.orphans(),
  );
  show("node_peers_ready", "Other live nodes.", () => runtime.failureDetector.readyPeers().length);
  show("intake_lag_seconds", "How long the oldest create in the intake waits.", () =>
    intake.lagS(),
  );
  show("intake_waiting", "Creates in the intake that are not committed.", () => intake.waiting());
  show("intake_set_aside", "Those of them that failed while the database takes writes.", () =>
    intake.setAside(),
  );
  show("cells_shards_behind", "Shards whose cells differ here from their owner's.", () =>
    runtime.digests.behind(),
  );
  show("outbox_lag_seconds", "Age of the oldest unpublished event.", () => relay.lagS());
  show("ledger_acks_outstanding", "Messages to the ledger that its stream has not taken yet.", () =>
    ledger.outstanding(),
  );
  show("history_rows_waiting", "Positions that are not in the track history yet.", () =>
    tracks.waiting(),
  );
  show("cells_waiting", "Cells with deliveries that wait for a courier.", () => backlogWaker.size);
  show("couriers_watched", "Couriers watched, once per gateway.", () => positions.watched());
}

/** Looks now and then how far the readers of the events are behind; returns its end. */
function watchConsumers(
  metrics: Metrics,
  runtime: Runtime,
  nc: NatsConnection,
): () => Promise<void> {
  const { config, clock, log } = runtime.options;
  const lag = new ConsumerLag(
    () => listConsumers(nc, config.natsPrefix),
    (error) => log.debug(errorFields(error), "the readers of the events could not be asked for"),
  );
  for (const reader of READERS) {
    const help = `Events that ${reader} have not done; of the partners the one furthest behind.`;
    metrics.gauge(`hexdispatch_${reader}_events_waiting`, help, () => lag.waiting(reader));
  }
  return repeat(clock, CONSUMERS_LOOK_MS, async () => {
    if (runtime.ownership.owns(SINGLETON_SHARD)) await lag.look();
    else lag.forget();
  });
}

/** Counts now and then what lies buried of the intake; where shard 0 is owned. Returns its end. */
function watchBuried(metrics: Metrics, runtime: Runtime, nc: NatsConnection): () => Promise<void> {
  const { config, clock, log } = runtime.options;
  const buried = new BuriedCreates(nc, config.natsPrefix);
  let count = 0;
  const help =
    "Acknowledged creates that the database refused for good; `npm run intake` has them.";
  metrics.gauge("hexdispatch_intake_buried", help, () => count);
  return repeat(clock, CONSUMERS_LOOK_MS, async () => {
    if (!runtime.ownership.owns(SINGLETON_SHARD)) return void (count = 0);
    try {
      count = await buried.count();
    } catch (error) {
      log.debug(errorFields(error), "the buried creates could not be counted");
    }
  });
}

/** Forgets what is old, a bite at a time. Never rejects. */
export async function keepHouse(
  store: PostgresStore,
  { TRACKS_KEPT_H, PERSONAL_KEPT_H }: Pick<DispatchSettings, "TRACKS_KEPT_H" | "PERSONAL_KEPT_H">,
  log: Log,
): Promise<void> {
  try {
    while ((await store.purgeIdempotency(IDEMPOTENCY_KEPT_H)) > 0);
    while ((await store.purgeHistory(TRACKS_KEPT_H)) > 0);
    while ((await store.purgeRevocations(REVOCATIONS_KEPT_H)) > 0);
    while ((await store.forgetPeople(PERSONAL_KEPT_H)) > 0);
    while ((await store.purgeTests(TESTS_KEPT_H)) > 0);
  } catch (error) {
    log.warn(errorFields(error), "housekeeping failed; it is repeated");
  }
}

/** The process: runs until it is told to end or fails. */
export async function main(): Promise<void> {
  const requests = catchSignals();
  const config = readConfigOrExit(process.env, "node");
  const log = createLog(config.logLevel, { role: "node" });
  log.debug({ config: printable(config) }, "settings");
  await runService({
    name: "the node",
    log,
    requests,
    stopDeadlineMs: NODE_STOP_MAX_MS,
    start: async (opening) => {
      const { found, stop } = await startNode(config, log, endWithoutNats(log), opening);
      return { found, stop };
    },
  });
}

const startedFile = process.argv[1];
if (startedFile !== undefined && realpathSync(startedFile) === fileURLToPath(import.meta.url)) {
  await main();
}
