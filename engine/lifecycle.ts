/**
 * Brings a node up and takes it down, in order.
 *
 * Up: follow all cells and read their stream; listen to who else is there; then count as ready, and
 * take what falls to this node. Down: hand over; finish what is under way; save positions; flush;
 * say goodbye. A message for a shard that nobody listens on meets "no responders", and its sender
 * tries again; what was committed is in Postgres.
 */
import type { ShardId } from "../proto/ids.ts";
import { streamMessages } from "../proto/messages.ts";
import { repeat } from "./io/clock.ts";
import { errorFields } from "./io/log.ts";
import type { Unsubscribe } from "./io/nats/nats.ts";
import type { Runtime } from "./runtime.ts";
import { announce, flush, handOver, takeShards } from "./cluster/takeover.ts";

const CELLS_DEADLINE_MS = 10_000;
const GAP_DEADLINE_MS = 5_000;
const SNAPSHOT_TIMEOUT_MS = 500;
const PASSIVATE_MS = 1_000;
const HOUSEKEEPING_MS = 600_000;
const REFRESH_MS = 5_000;
const SETTLE_DEADLINE_MS = 10_000;
const DRAIN_DEADLINE_MS = 5_000;
const LOOK_MS = 5;
/** After a reconnect the gateways may need so long to be connected, too. */
const REACHABLE_MS = 500;
/**
 * The relay of the outbox and the housekeeping run where this shard is owned: once in the cluster.
 */
export const SINGLETON_SHARD = 0 as ShardId;

/** What a start found, for the log. */
export type Started = {
  readonly shards: number;
  readonly batches: number;
  readonly couriers: number;
  readonly deliveries: number;
  /** Ends the node in order; never rejects. */
  readonly stop: () => Promise<void>;
};

/** Starts a node. Rejects when the store cannot be asked; then nothing was announced. */
export async function start(
  runtime: Runtime,
  housekeeping: () => Promise<void> = () => Promise.resolve(),
): Promise<Started> {
  const { clock, config, log } = runtime.options;
  const found = { couriers: 0, deliveries: 0, taking: 0 };
  wire(runtime, found);
  await runtime.ownership.refresh();
  runtime.ownership.followAll(runtime.shards);
  const unsubscribes = listenEverywhere(runtime);
  const listensSince = clock.now();
  runtime.failureDetector.start();
  const batches = await rebuildIndex(runtime);
  await pause(runtime, config.settings.JOIN_MS - (clock.now() - listensSince));
  const stops = startLoops(runtime, housekeeping);
  runtime.failureDetector.becomeReady();
  const isSettled = await until(
    runtime,
    SETTLE_DEADLINE_MS,
    () => found.taking === 0 && runtime.failureDetector.isSettled(),
  );
  if (!isSettled)
    log.warn({ orphans: runtime.failureDetector.orphans() }, "some shards have no owner yet");
  await runtime.bus.flush();
  runtime.bus.onStatus((status) => {
    // Ours at the end of a stop; else `onLost` of the process ends it.
    if (status === "closed") return;
    log.warn({ status }, "the connection to NATS changed");
    // Gateways may have missed the announcement of a takeover, and we their sessions.
    if (status !== "connected") return;
    runtime.options.keeper?.nudge();
    announce(runtime, runtime.ownership.owned());
    clock.after(REACHABLE_MS, () =>
      runtime.backlogWaker.onReachableAgain((fn) => runtime.options.domain.index.forEach(fn)),
    );
  });
  const { couriers, deliveries } = found;
  const stop = (): Promise<void> => stopAll(runtime, unsubscribes, stops);
  return { shards: runtime.ownership.owned().length, batches, couriers, deliveries, stop };
}

/** Gives the runtime's hooks their work. */
function wire(
  runtime: Runtime,
  found: { couriers: number; deliveries: number; taking: number },
): void {
  runtime.onTake = async (shards) => {
    found.taking += 1;
    const { couriers, deliveries } = await takeShards(runtime, shards);
    found.taking -= 1;
    found.couriers += couriers;
    found.deliveries += deliveries;
  };
  runtime.onHandOver = (shards) => handOver(runtime, shards);
  runtime.onGap = closingGaps(runtime);
  const { keeper } = runtime.options;
  runtime.onOwned = () => {
    for (const one of [runtime.relay, runtime.intake, ...(keeper ? [keeper] : [])]) {
      if (runtime.ownership.owns(SINGLETON_SHARD)) one.start();
      else void one.stop();
    }
  };
}

/** The stream's positions over nothing; last-known ones from Postgres come with the couriers. */
async function rebuildIndex(runtime: Runtime): Promise<number> {
  const { log, cells, config } = runtime.options;
  try {
    const onMessage = (data: Uint8Array): void => runtime.replica.receive(data);
    // What is older was saved as last-known, and comes with the couriers; the digests find what is
    // missing still.
    const maxAgeMs = config.settings.LAST_KNOWN_MS;
    const subject = runtime.subjects.cellsAll;
    const read = await cells.read(subject, CELLS_DEADLINE_MS, onMessage, maxAgeMs);
    if (!read.isComplete) log.warn(read, "the cell stream was not read to its end");
    return read.messages;
  } catch (error) {
    // Old positions are worth little: last-known ones and the next pings make up for it.
    log.warn(errorFields(error), "the cell stream could not be read");
    return 0;
  }
}

/**
 * Makes up for missed batches, one attempt at a time for each shard: all from the owner, else what
 * the stream has.
 */
function closingGaps(runtime: Runtime): (shard: ShardId) => void {
  const reading = new Set<ShardId>();
  const close = async (shard: ShardId): Promise<void> => {
    try {
      if (await askOwner(runtime, shard)) return;
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

async function askOwner(runtime: Runtime, shard: ShardId): Promise<boolean> {
  const { bus, subjects, replica } = runtime;
  const question = streamMessages.encode({ type: "snapshot", shard });
  try {
    const answer = await bus.request(subjects.snapshot(shard), question, SNAPSHOT_TIMEOUT_MS);
    return replica.receiveSnapshot(answer);
  } catch {
    return false; // Nobody owns it just now: the stream is next.
  }
}

/** Everything that is done again and again; each function ends its loop. */
function startLoops(
  runtime: Runtime,
  housekeeping: () => Promise<void>,
): readonly (() => Promise<void>)[] {
  const { clock, config } = runtime.options;
  const { settings } = config;
  const keepHouse = (): Promise<void> =>
    runtime.ownership.owns(SINGLETON_SHARD) ? housekeeping() : Promise.resolve();
  return [
    repeat(clock, settings.SWEEP_MS, () => runtime.sweep.once()),
    repeat(clock, settings.POSITIONS_MS, () => runtime.positions.expire()),
    repeat(clock, settings.LAST_KNOWN_MS, () => runtime.tracks.saveLastKnown()),
    repeat(clock, settings.HISTORY_MS, () => runtime.tracks.appendHistory()),
    repeat(clock, settings.DIGEST_MS, () => runtime.digests.publish()),
    repeat(clock, PASSIVATE_MS, () => runtime.host.passivate()),
    repeat(clock, REFRESH_MS, () => refresh(runtime)),
    repeat(clock, HOUSEKEEPING_MS, keepHouse),
  ];
}

/** A belief that went wrong unnoticed ends here. */
async function refresh(runtime: Runtime): Promise<void> {
  try {
    await runtime.ownership.refresh();
  } catch (error) {
    runtime.options.log.debug(errorFields(error), "the epochs could not be read");
  }
}

/** Subjects that do not follow ownership: nudges, the fleet, digests. */
function listenEverywhere(runtime: Runtime): readonly Unsubscribe[] {
  const { bus, subjects } = runtime;
  return [
    bus.subscribe(subjects.outbox, () => runtime.relay.nudge()),
    bus.subscribe(subjects.fleet, (incoming) => runtime.positions.onFleet(incoming)),
    bus.subscribe(subjects.digest, ({ data }) => runtime.digests.receive(data)),
  ];
}

async function stopAll(
  runtime: Runtime,
  unsubscribes: readonly Unsubscribe[],
  stops: readonly (() => Promise<void>)[],
): Promise<void> {
  const { log } = runtime.options;
  runtime.failureDetector.leave();
  const isOwnedByOthers = (): boolean => runtime.failureDetector.readyPeers().length > 0;
  const hasNothing = (): boolean =>
    runtime.shards.every((shard) => runtime.ownership.epochOf(shard) === null);
  await until(runtime, DRAIN_DEADLINE_MS, () => hasNothing() || !isOwnedByOthers());
  // Nobody there to take the rest: it is given up all the same.
  if (!hasNothing()) await handOver(runtime, runtime.ownership.owned());
  for (const unsubscribe of unsubscribes) unsubscribe();
  await runtime.failureDetector.stop();
  if (!(await until(runtime, DRAIN_DEADLINE_MS, () => runtime.host.isQuiet()))) {
    log.warn("not everything under way was finished in time");
  }
  runtime.host.close();
  const { relay, intake } = runtime;
  const singletons = [relay.stop(), intake.stop(), runtime.options.keeper?.stop()];
  const ends = Promise.all([...stops.map((stop) => stop()), ...singletons]);
  await withinMs(runtime, DRAIN_DEADLINE_MS, ends);
  flush(runtime);
  runtime.ownership.close();
  const saved = Promise.all([runtime.tracks.saveLastKnown(), runtime.tracks.appendHistory()]);
  await withinMs(runtime, DRAIN_DEADLINE_MS, saved);
  if (runtime.bus.status() === "connected") {
    await withinMs(runtime, DRAIN_DEADLINE_MS, runtime.bus.flush());
  }
}

const pause = (runtime: Runtime, ms: number): Promise<void> =>
  new Promise((resolve) => void runtime.options.clock.after(Math.max(0, ms), resolve));

/** Polls, because what is waited for is the absence of something. False at the deadline. */
async function until(runtime: Runtime, maxMs: number, holds: () => boolean): Promise<boolean> {
  const { clock } = runtime.options;
  const deadline = clock.now() + maxMs;
  while (!holds()) {
    if (clock.now() >= deadline) return false;
    await pause(runtime, LOOK_MS);
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
