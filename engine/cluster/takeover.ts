/**
 * What happens when shards come to this node and when they go. Coming: compare-and-set in Postgres,
 * listen, load the couriers and the open deliveries, tell the gateways. The cells are there
 * already, because every node follows them. Messages that come before the rows are loaded load
 * their own. Going: stop listening, finish, flush, release; the beat that follows tells the
 * successor.
 *
 * T1  A shard that was taken is served, however often the loading must be tried: nobody else would
 *     do it.
 * T2  What this node was told before it let go is done, or its row says that it is due.
 */
import type { Millis, ShardId } from "../../proto/ids.ts";
import { streamMessages } from "../../proto/messages.ts";
import { backOffMs } from "../io/clock.ts";
import { errorFields } from "../io/log.ts";
import type { Runtime } from "../runtime.ts";
import { shardOfCourier } from "./shards.ts";

/** What a takeover found. */
export type Loaded = { readonly couriers: number; readonly deliveries: number };

const PAGE_ROWS = 500;
const RETRY_FIRST_MS = 50;
const RETRY_MAX_MS = 1_000;
/** A hand-over waits so long for what is under way; what is left then is in Postgres. */
const QUIET_MAX_MS = 1_000;
const QUIET_LOOK_MS = 2;
const FLUSH_MAX_MS = 200;

/** Takes and serves these shards. Resolves to what was loaded; never rejects. */
export async function takeShards(runtime: Runtime, shards: readonly ShardId[]): Promise<Loaded> {
  const { log, clock } = runtime.options;
  const startedAt = clock.now();
  let taken: readonly ShardId[];
  try {
    taken = await runtime.ownership.take(shards);
  } catch (error) {
    log.warn({ shards: shards.length, ...errorFields(error) }, "shards could not be taken");
    return { couriers: 0, deliveries: 0 };
  }
  if (taken.length === 0) return { couriers: 0, deliveries: 0 };
  runtime.ownership.listen(taken);
  runtime.failureDetector.beat();
  runtime.onOwned();
  // What is committed from here on is heard of, what was committed before is read.
  await flushBus(runtime);
  const loaded = await loadUntilDone(runtime, taken);
  announce(runtime, taken);
  log.info({ shards: taken, ...loaded, ms: clock.now() - startedAt }, "shards taken");
  return loaded;
}

async function loadUntilDone(runtime: Runtime, shards: readonly ShardId[]): Promise<Loaded> {
  const { clock, log } = runtime.options;
  for (let attempt = 1; ; attempt++) {
    const mine = shards.filter((shard) => runtime.ownership.owns(shard));
    try {
      const couriers = await loadCouriers(runtime, mine);
      const deliveries = await resumeDeliveries(runtime, mine);
      return { couriers, deliveries };
    } catch (error) {
      log.warn({ ...errorFields(error), attempt }, "what a shard holds could not be loaded");
      const waitMs = backOffMs(attempt, RETRY_FIRST_MS, RETRY_MAX_MS);
      await new Promise<void>((resolve) => void clock.after(waitMs, resolve));
    }
  }
}

/** Couriers who are on shift or carry something; the others are loaded when they are spoken to. */
async function loadCouriers(runtime: Runtime, shards: readonly ShardId[]): Promise<number> {
  const { store, config, domain } = runtime.options;
  let count = 0;
  for (let after = "", isMore = shards.length > 0; isMore;) {
    const page = await store.courierSnapshots(shards, after, PAGE_ROWS);
    for (const snapshot of page) {
      const id = snapshot.courier;
      if (runtime.host.has("courier", id)) continue;
      const loaded = { type: "loaded", snapshot, record: domain.index.get(id) } as const;
      runtime.tell({ kind: "courier", id }, loaded);
      count += 1;
    }
    after = page.at(-1)?.courier ?? after;
    isMore = page.length === PAGE_ROWS;
  }
  wakeGhosts(runtime, new Set(shards), (id) => shardOfCourier(id, config.shards));
  return count;
}

/**
 * Couriers who are on shift in the cells but not in the store: their word of leaving was lost. They
 * are loaded, and say so.
 */
function wakeGhosts(
  runtime: Runtime,
  shards: ReadonlySet<ShardId>,
  shardOf: (id: Parameters<typeof shardOfCourier>[0]) => ShardId,
): void {
  runtime.options.domain.index.forEach(({ courier, online }) => {
    if (!online || !shards.has(shardOf(courier)) || runtime.host.has("courier", courier)) return;
    runtime.tell({ kind: "courier", id: courier }, { type: "woke" });
  });
}

async function resumeDeliveries(runtime: Runtime, shards: readonly ShardId[]): Promise<number> {
  const { store } = runtime.options;
  let count = 0;
  for (let after = "", isMore = shards.length > 0; isMore;) {
    const page = await store.openDeliveries(shards, after, PAGE_ROWS);
    for (const snapshot of page) {
      runtime.tell({ kind: "delivery", id: snapshot.job.id }, { type: "resumed", snapshot });
      count += 1;
    }
    after = page.at(-1)?.job.id ?? after;
    isMore = page.length === PAGE_ROWS;
  }
  return count;
}

/** Gateways tell us their sessions and watches again. */
export function announce(runtime: Runtime, shards: readonly ShardId[]): void {
  const { node } = runtime.options;
  const message = streamMessages.encode({ type: "node_up", node, shards });
  runtime.bus.publish(runtime.subjects.nodeUp, message);
}

/**
 * Gives these shards up in order, each as soon as it is quiet: nobody listens on it meanwhile, and
 * one that is busy keeps no other back. Never rejects.
 */
export async function handOver(runtime: Runtime, shards: readonly ShardId[]): Promise<void> {
  const { log, clock } = runtime.options;
  const startedAt = clock.now();
  runtime.ownership.yield(shards);
  await flushBus(runtime);
  const left = new Set(shards);
  const isQuiet = await whenQuiet(runtime, left, clock.now() + QUIET_MAX_MS, (quiet) => {
    flush(runtime);
    runtime.ownership.yielded(quiet);
    runtime.failureDetector.beat();
  });
  log.info({ shards, isQuiet, ms: clock.now() - startedAt }, "shards handed over");
}

/** Sends what is gathered. */
export function flush(runtime: Runtime): void {
  runtime.replica.flush();
  runtime.ledger.flush();
  runtime.sessions.flush();
  runtime.router.flush();
}

/**
 * After this the server knows what we listen on, and no message comes on a subject that we do not.
 * A server that went away is not waited for.
 */
async function flushBus(runtime: Runtime): Promise<void> {
  const { clock, log } = runtime.options;
  if (runtime.bus.status() !== "connected") return;
  let cancel = (): void => undefined;
  const deadline = new Promise<void>((resolve) => {
    cancel = clock.after(FLUSH_MAX_MS, resolve);
  });
  const flushed = runtime.bus.flush().catch((error: unknown) => {
    log.warn(errorFields(error), "NATS went away while shards changed hands");
  });
  await Promise.race([flushed, deadline]);
  cancel();
}

/**
 * Gives each shard to `onQuiet` once nothing is under way in it, all that are left at the deadline;
 * then it resolves to false. Polls, because quiet is the absence of events.
 */
async function whenQuiet(
  runtime: Runtime,
  left: Set<ShardId>,
  until: Millis,
  onQuiet: (shards: readonly ShardId[]) => void,
): Promise<boolean> {
  const { clock } = runtime.options;
  for (;;) {
    const isLate = clock.now() >= until;
    const restless = runtime.host.restlessIn(left);
    const ended = [...left].filter((shard) => isLate || !restless.has(shard));
    if (ended.length > 0) onQuiet(ended);
    for (const shard of ended) left.delete(shard);
    if (left.size === 0) return !isLate || restless.size === 0;
    await new Promise<void>((resolve) => void clock.after(QUIET_LOOK_MS, resolve));
  }
}
