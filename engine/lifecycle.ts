/**
 * Brings a node up and takes it down, in order.
 *
 * Up: take the shards; read the cells; load couriers, then open deliveries; listen; tell the gateways. Down: stop
 * listening; finish what is under way; save positions; flush. A message for a node that does not listen meets
 * "no responders", and its sender tries again; what was sent before is in Postgres.
 */
import type { CourierId, ShardId } from "../proto/ids.ts";
import { streamMessages } from "../proto/messages.ts";
import { repeat } from "./io/clock.ts";
import { errorFields } from "./io/log.ts";
import type { Unsubscribe } from "./io/nats.ts";
import type { Runtime } from "./runtime.ts";
import { shardOfCourier } from "./shards.ts";

const CELLS_DEADLINE_MS = 10_000;
const GAP_DEADLINE_MS = 5_000;
const PAGE_ROWS = 500;
const PASSIVATE_MS = 1_000;
const HOUSEKEEPING_MS = 600_000;
const DRAIN_DEADLINE_MS = 5_000;
const DRAIN_LOOK_MS = 5;

/** What a start found, for the log. */
export type Started = {
  readonly shards: number;
  readonly batches: number;
  readonly couriers: number;
  readonly deliveries: number;
  /** Ends the node in order; never rejects. */
  readonly stop: () => Promise<void>;
};

/** Starts a node. Rejects when the store or the streams cannot be asked; then nothing was announced. */
export async function start(
  runtime: Runtime,
  housekeeping: () => Promise<void> = () => Promise.resolve(),
): Promise<Started> {
  const { config } = runtime.options;
  const shards = Array.from({ length: config.shards }, (_, shard) => shard as ShardId);
  await runtime.ownership.take(shards);
  const batches = await rebuildIndex(runtime);
  runtime.onGap = closingGaps(runtime);
  const couriers = await loadCouriers(runtime);
  const deliveries = await resumeDeliveries(runtime);
  const stops = startLoops(runtime, housekeeping);
  runtime.ownership.listen();
  const unsubscribes = listenEverywhere(runtime, shards);
  await runtime.bus.flush();
  announce(runtime);
  runtime.bus.onStatus((status) => {
    if (status === "closed") return; // Ours, at the end of a stop.
    runtime.options.log.warn({ status }, "the connection to NATS changed");
    // Gateways may have missed the announcement of a start, and we their sessions.
    if (status === "connected") announce(runtime);
  });
  const stop = (): Promise<void> => stopAll(runtime, unsubscribes, stops);
  return { shards: shards.length, batches, couriers, deliveries, stop };
}

/** The stream's positions over nothing; last-known ones from Postgres come with the couriers. */
async function rebuildIndex(runtime: Runtime): Promise<number> {
  const { log, cells } = runtime.options;
  try {
    const onMessage = (data: Uint8Array): void => runtime.replica.receive(data);
    const read = await cells.read(runtime.subjects.cellsAll, CELLS_DEADLINE_MS, onMessage);
    if (!read.isComplete) log.warn(read, "the cell stream was not read to its end");
    return read.messages;
  } catch (error) {
    // Old positions are worth little: last-known ones and the next pings make up for it.
    log.warn(errorFields(error), "the cell stream could not be read");
    return 0;
  }
}

/** Reads a shard's batches again after a gap, one read at a time for each shard. */
function closingGaps(runtime: Runtime): (shard: ShardId) => void {
  const reading = new Set<ShardId>();
  const close = async (shard: ShardId): Promise<void> => {
    try {
      const onMessage = (data: Uint8Array): void => runtime.replica.receiveAgain(data);
      await runtime.options.cells.read(runtime.subjects.cells(shard), GAP_DEADLINE_MS, onMessage);
    } catch (error) {
      runtime.options.log.warn({ shard, ...errorFields(error) }, "a gap could not be closed");
    } finally {
      reading.delete(shard);
    }
  };
  return (shard) => {
    if (runtime.ownership.owns(shard) || reading.has(shard)) return;
    reading.add(shard);
    void close(shard);
  };
}

/** Couriers who are on shift or carry something; the others are loaded when they are spoken to. */
async function loadCouriers(runtime: Runtime): Promise<number> {
  const { store, config, domain } = runtime.options;
  let count = 0;
  for (let after = "", isMore = true; isMore;) {
    const page = await store.courierSnapshots(runtime.ownership.owned(), after, PAGE_ROWS);
    for (const snapshot of page) {
      const id: CourierId = snapshot.courier;
      const shard = shardOfCourier(id, config.shards);
      if (!runtime.ownership.owns(shard)) continue;
      const loaded = { type: "loaded", snapshot, record: domain.index.get(id) };
      runtime.host.deliver({ kind: "courier", id }, shard, loaded);
      count += 1;
    }
    after = page.at(-1)?.courier ?? after;
    isMore = page.length === PAGE_ROWS;
  }
  return count;
}

async function resumeDeliveries(runtime: Runtime): Promise<number> {
  const { store } = runtime.options;
  const owned = runtime.ownership.owned();
  let count = 0;
  for (let after = "", isMore = true; isMore;) {
    const page = await store.openDeliveries(owned, after, PAGE_ROWS);
    for (const snapshot of page) {
      runtime.tell({ kind: "delivery", id: snapshot.job.id }, { type: "resumed", snapshot });
      count += 1;
    }
    after = page.at(-1)?.job.id ?? after;
    isMore = page.length === PAGE_ROWS;
  }
  return count;
}

/** Everything that is done again and again; each function ends its loop. */
function startLoops(
  runtime: Runtime,
  housekeeping: () => Promise<void>,
): readonly (() => Promise<void>)[] {
  const { clock, config } = runtime.options;
  const { settings } = config;
  runtime.relay.start();
  return [
    repeat(clock, settings.SWEEP_MS, () => runtime.sweep.once()),
    repeat(clock, settings.POSITIONS_MS, () => runtime.positions.publish()),
    repeat(clock, settings.LAST_KNOWN_MS, () => runtime.tracks.saveLastKnown()),
    repeat(clock, settings.HISTORY_MS, () => runtime.tracks.appendHistory()),
    repeat(clock, PASSIVATE_MS, () => runtime.host.passivate()),
    repeat(clock, HOUSEKEEPING_MS, housekeeping),
  ];
}

/** Subjects that do not follow ownership: nudges, the fleet, and the cells of other nodes' shards. */
function listenEverywhere(runtime: Runtime, shards: readonly ShardId[]): readonly Unsubscribe[] {
  const { bus, subjects } = runtime;
  return [
    bus.subscribe(subjects.outbox, () => runtime.relay.nudge()),
    bus.subscribe(subjects.fleet, (incoming) => runtime.positions.onFleet(incoming)),
    ...shards
      .filter((shard) => !runtime.ownership.owns(shard))
      .map((shard) =>
        bus.subscribe(subjects.cells(shard), ({ data }) => runtime.replica.receive(data)),
      ),
  ];
}

/** Gateways tell us their sessions and watches again. */
function announce(runtime: Runtime): void {
  const shards = runtime.ownership.owned();
  const { node } = runtime.options;
  runtime.bus.publish(
    runtime.subjects.nodeUp,
    streamMessages.encode({ type: "node_up", node, shards }),
  );
}

async function stopAll(
  runtime: Runtime,
  unsubscribes: readonly Unsubscribe[],
  stops: readonly (() => Promise<void>)[],
): Promise<void> {
  const { log } = runtime.options;
  runtime.ownership.yieldAll();
  for (const unsubscribe of unsubscribes) unsubscribe();
  if (!(await becomeQuiet(runtime))) log.warn("not everything under way was finished in time");
  runtime.host.close();
  const ends = Promise.all([...stops.map((stop) => stop()), runtime.relay.stop()]);
  await withinMs(runtime, DRAIN_DEADLINE_MS, ends);
  runtime.replica.flush();
  runtime.ledger.flush();
  runtime.sessions.flush();
  runtime.router.flush();
  const saved = Promise.all([runtime.tracks.saveLastKnown(), runtime.tracks.appendHistory()]);
  await withinMs(runtime, DRAIN_DEADLINE_MS, saved);
  if (runtime.bus.status() === "connected") {
    await withinMs(runtime, DRAIN_DEADLINE_MS, runtime.bus.flush());
  }
}

/** Polls, because quiet is the absence of events. */
async function becomeQuiet(runtime: Runtime): Promise<boolean> {
  const { clock } = runtime.options;
  const until = clock.now() + DRAIN_DEADLINE_MS;
  while (!runtime.host.isQuiet()) {
    if (clock.now() >= until) return false;
    await new Promise<void>((resolve) => void clock.after(DRAIN_LOOK_MS, resolve));
  }
  return true;
}

/** Waits for the end, but not beyond a deadline; a failure is logged, because the stop goes on. */
async function withinMs(runtime: Runtime, ms: number, work: Promise<unknown>): Promise<void> {
  const { clock, log } = runtime.options;
  let cancel = (): void => undefined;
  const deadline = new Promise<void>((resolve) => {
    cancel = clock.after(ms, resolve);
  });
  const logged = work.then(
    () => undefined,
    (error: unknown) => log.warn(errorFields(error), "a part of the stop failed"),
  );
  await Promise.race([logged, deadline]);
  cancel();
}
