/**
 * Parts of the runtime that only need it whole: the failure detector, the digests, the intake, the
 * positions, the sweep. Wiring, no logic.
 */
import type { SearchQuery, SearchResult } from "../actors/actor.ts";
import type { Millis } from "../proto/ids.ts";
import { Digests } from "./cells/digests.ts";
import { FailureDetector } from "./cluster/failure-detector.ts";
import { Intake } from "./streams/intake.ts";
import { errorFields } from "./io/log.ts";
import { rootOf } from "./io/postgres/verdict.ts";
import type { Bus } from "./io/nats/nats.ts";
import { Positions } from "./cells/positions.ts";
import type { Runtime } from "./runtime.ts";
import { shardOfCourier } from "./cluster/shards.ts";
import { Sweep } from "./upkeep/sweep.ts";

export function makeFailureDetector(runtime: Runtime): FailureDetector {
  const { clock, node, config, log } = runtime.options;
  const { BEAT_MS, SUSPECT_MS, SETTLE_MS } = config.settings;
  return new FailureDetector({
    clock,
    bus: runtime.bus,
    subjects: runtime.subjects,
    self: node,
    shards: runtime.shards,
    times: { beatMs: BEAT_MS, suspectMs: SUSPECT_MS, settleMs: SETTLE_MS },
    ownership: runtime.ownership,
    probe: () => runtime.options.store.ping(),
    onFitness: (isAble) =>
      isAble
        ? log.warn("Postgres takes our writes again")
        : log.error("Postgres does not take our writes: nodes that can commit take our shards"),
    take: (shards) => runtime.onTake(shards),
    handOver: (shards) => runtime.onHandOver(shards),
    pause: () => runtime.host.pause(),
    resume: () => runtime.host.resume(),
    onSuspect: (peer, isSuspect) =>
      log.warn({ peer }, isSuspect ? "a node fell silent" : "a node is heard again"),
    onDoubt: (why, error) =>
      log.warn(
        { why, ...(error === null ? {} : errorFields(error)) },
        "not sure of our shards: the epochs were read again",
      ),
  });
}

/**
 * Without NATS no offer reaches a phone, and a courier who has let one lapse unseen would not be
 * asked again: so nobody is found then, and the delivery waits where couriers who look for work see
 * it.
 */
export const searchWhileConnected =
  (bus: Pick<Bus, "status">, search: (query: SearchQuery, now: Millis) => SearchResult) =>
  (query: SearchQuery, now: Millis): SearchResult =>
    bus.status() === "connected"
      ? search(query, now)
      : { radiusM: query.radiusM, candidates: [], gates: { nats_away: 1 } };

export function makeDigests(runtime: Runtime): Digests {
  const { node, config, domain, meters } = runtime.options;
  return new Digests({
    bus: runtime.bus,
    subjects: runtime.subjects,
    node,
    forEach: (fn) => domain.index.forEach(fn),
    shardOf: (courier) => shardOfCourier(courier, config.shards),
    owned: () => runtime.ownership.owned(),
    replica: runtime.replica,
    onDiffers: (shard) => {
      meters.replica("differs");
      runtime.onGap(shard);
    },
  });
}

export function makeIntake(runtime: Runtime): Intake {
  const { clock, store, meters, log, intake: queue } = runtime.options;
  return new Intake({
    clock,
    queue,
    store,
    onCreated: (job) => {
      runtime.router.send({ kind: "delivery", id: job.id, msg: { type: "created", job } }, null);
      runtime.relay.nudge();
    },
    onCount: meters.intake,
    onFailed: runtime.failing("working off the intake"),
    onBuried: (why, error) =>
      log.error(
        { why, ...(error === null ? {} : errorFields(rootOf(error))) },
        "a create was buried",
      ),
  });
}

export function makePositions(runtime: Runtime): Positions {
  const { clock, domain, config } = runtime.options;
  const { ownership } = runtime;
  return new Positions({
    clock,
    bus: runtime.bus,
    subjects: runtime.subjects,
    epochOf: (shard) => ownership.epochOf(shard),
    get: (courier) => domain.index.get(courier),
    forEachOwned: (fn) =>
      domain.index.forEach((record) => {
        if (ownership.owns(shardOfCourier(record.courier, config.shards))) fn(record);
      }),
  });
}

export function makeSweep(runtime: Runtime): Sweep {
  const { clock, store, config, meters } = runtime.options;
  return new Sweep({
    clock,
    store,
    intervalMs: config.settings.SWEEP_MS,
    owned: () => runtime.ownership.owned(),
    resume: (id, snapshot) => runtime.tell({ kind: "delivery", id }, { type: "resumed", snapshot }),
    parked: () => runtime.host.parked(),
    load: (key) => runtime.load(key),
    revive: (key, msg) => runtime.tell(key, msg),
    onResumed: (deliveries) => meters.resumed.inc(deliveries),
    onFailed: runtime.failing("sweeping"),
  });
}
