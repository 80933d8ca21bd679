/**
 * The store over Postgres: each command of the port with its statement and, where commands come in
 * numbers, its queue. The statements stand in the files beside this one; what a file here must not
 * do is hold state of its own. The database is the only memory.
 */
import { shardOfDelivery } from "../../proto/ids.ts";
import type { DeliveryId } from "../../proto/ids.ts";
import { ACCEPT_PACE_MS, CHANGE_PACE_MS } from "../../proto/limits.ts";
import { CREATE_PACE_MS, ROUND_PACE_MS } from "../../proto/limits.ts";
import { openDatabase } from "../io/postgres/postgres.ts";
import type { Database, DatabaseOptions } from "../io/postgres/postgres.ts";
import { acceptAll, acceptKeys } from "./accept.ts";
import type { BatchLimits } from "./batch-queue.ts";
import { createBatcher } from "./batcher.ts";
import type { BatchObserver, Batcher } from "./batcher.ts";
import { changeAll, changeKeys } from "./change.ts";
import * as access from "./access.ts";
import type { AccessStore } from "./access.ts";
import * as couriers from "./couriers.ts";
import { readFleet } from "./fleet.ts";
import type { FleetStore } from "./fleet.ts";
import { createAll, createKeys } from "./create.ts";
import * as idempotency from "./idempotency.ts";
import * as outbox from "./outbox.ts";
import type { Store } from "./port.ts";
import { probeLook, probeWrite } from "./probe.ts";
import * as positions from "./positions.ts";
import * as reads from "./reads.ts";
import { writeRounds, writeShifts, writeUnfilled } from "./rounds.ts";
import type { OwnedWrite } from "./rounds.ts";
import { shardOwners, takeShards } from "./epochs.ts";

export type PostgresStoreOptions = DatabaseOptions & {
  /** Of each queue, over the defaults; for tests and benches. */
  readonly limits?: Partial<BatchLimits>;
  /** Told after each batch: the queue's name, its rows, the milliseconds until its answer. */
  readonly observe?: BatchObserver;
};

/** The port and what only operation needs. */
export type PostgresStore = Store &
  AccessStore &
  FleetStore & {
    /** Deletes a bounded number of old keys; resolves to how many. Call again while it is not 0. */
    readonly purgeIdempotency: (olderThanH: number) => Promise<number>;
    /** The same for the history of positions. */
    readonly purgeHistory: (olderThanH: number) => Promise<number>;
    readonly purgeRevocations: (olderThanH: number) => Promise<number>;
    /** The same for the people in deliveries that ended so long ago. */
    readonly forgetPeople: (endedBeforeH: number) => Promise<number>;
    /** The same for tests that ended so long ago, and their robots. */
    readonly purgeTests: (endedBeforeH: number) => Promise<number>;
    /** New sessions in place of the present ones: those may be with a server that only reads. */
    readonly renew: () => void;
    /** Commands that wait, by queue. */
    readonly waiting: () => Readonly<Record<string, number>>;
  };

/**
 * Opens the pool lazily: rejects nothing here, the first command tells. The schema must be there
 * (`migrate`).
 */
export function openPostgresStore(options: PostgresStoreOptions): PostgresStore {
  const db = openDatabase(options);
  const queues = openQueues(db, options);
  return {
    create: (command) => queues.create.submit(command),
    accept: (command) => queues.accept.submit(command),
    status: (command) => queues.change.submit({ do: "status", command }),
    cancel: (command) => queues.change.submit({ do: "cancel", command }),
    putCourier: (courier) => couriers.putCourier(db, courier),
    storedAnswer: (key) => idempotency.storedAnswer(db, key),
    keepAnswer: (key, status, body) => idempotency.keepAnswer(db, key, status, body),

    delivery: (id) => queues.delivery.submit(id),
    deliveryByTracking: (hash) => reads.deliveryByTracking(db, hash),
    deliveries: (query) => reads.listDeliveries(db, query),
    available: (near, radiusM, max, vehicle) =>
      reads.availableNear(db, near, radiusM, max, vehicle),
    courier: (id) => couriers.courierById(db, id),
    couriers: () => couriers.allCouriers(db),
    activeOfCourier: (id) => reads.activeOfCourier(db, id),
    lastKnown: (id) => positions.lastKnown(db, id),
    fleet: () => readFleet(db),

    takeShards: (node, expected) => takeShards(db, node, expected),
    shardOwners: () => shardOwners(db),
    write: async (write, shard, epoch) => {
      if ("delivery" in write && shardOfDelivery(write.delivery) !== shard) {
        throw new Error(`${write.delivery} is not of shard ${shard}`);
      }
      if (write.kind === "round") return queues.round.submit({ write, shard, epoch });
      if (write.kind === "unfilled") return queues.unfilled.submit({ write, shard, epoch });
      return queues.shift.submit({ write, shard, epoch });
    },
    openDeliveries: (shards, after, limit) => reads.openDeliveries(db, shards, after, limit),
    due: (shards, now, limit) => reads.dueDeliveries(db, shards, now, limit),
    snapshot: (id) => reads.snapshotOf(db, id),
    courierSnapshot: (id) => couriers.courierSnapshot(db, id),
    courierSnapshots: (shards, after, limit) => couriers.courierSnapshots(db, shards, after, limit),

    outboxBatch: (limit) => outbox.outboxBatch(db, limit),
    outboxDone: (ids) => outbox.outboxDone(db, ids),

    saveLastKnown: (all) => positions.saveLastKnown(db, all),
    appendHistory: (all) => positions.appendHistory(db, all),

    purgeIdempotency: (olderThanH) => idempotency.purgeIdempotency(db, olderThanH),
    revoke: (subject) => access.revoke(db, subject),
    revocations: (since, after) => access.revocations(db, since, after),
    purgeRevocations: (olderThanH) => access.purgeRevocations(db, olderThanH),
    forgetPeople: (endedBeforeH) => access.forgetPeople(db, endedBeforeH),
    purgeTests: (hours) => access.purgeTests(db, hours),
    purgeHistory: (olderThanH) => positions.purgeHistory(db, olderThanH),
    waiting: () =>
      Object.fromEntries(Object.entries(queues).map(([name, queue]) => [name, queue.waiting()])),
    ping: (what = "look") =>
      what === "look" ? probeLook(db) : probeWrite(db, options.applicationName),
    renew: db.renew,
    close: async () => {
      await Promise.all(Object.values(queues).map((queue) => queue.close()));
      await db.close();
    },
  };
}

/**
 * One queue for each kind of command; what they carry as conflict keys is beside their statements.
 */
function openQueues(db: Database, options: PostgresStoreOptions) {
  const queue = <T, R>(
    name: string,
    run: (db: Database, items: readonly T[]) => Promise<readonly R[]>,
    keysOf: (item: T) => readonly string[],
    paceMs = 0,
  ): Batcher<T, R> =>
    createBatcher({
      name,
      keysOf,
      run: (items) => run(db, items),
      limits: { paceMs, ...options.limits },
      observe: options.observe,
    });
  type OfDelivery = { readonly write: { readonly delivery: DeliveryId } };
  const deliveryOf = ({ write }: OfDelivery): readonly string[] => [write.delivery];
  const noKeys = (_id: DeliveryId): readonly string[] => [];
  return {
    create: queue("create", createAll, createKeys, CREATE_PACE_MS),
    accept: queue("accept", acceptAll, acceptKeys, ACCEPT_PACE_MS),
    change: queue("change", changeAll, changeKeys, CHANGE_PACE_MS),
    round: queue("round", writeRounds, deliveryOf, ROUND_PACE_MS),
    unfilled: queue("unfilled", writeUnfilled, deliveryOf),
    shift: queue("shift", writeShifts, ({ write }: OwnedWrite<"shift">) => [write.courier]),
    delivery: queue("delivery", reads.deliveriesByIds, noKeys),
  } as const;
}
