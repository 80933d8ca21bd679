/**
 * What the contract's tests build with: ids that never repeat, commands with sensible fields,
 * couriers on shift. Through the port only, so that the same tests run over Postgres and over the
 * simulator's fake.
 */
import { randomBytes } from "node:crypto";
import type { Vehicle } from "../../../proto/geo.ts";
import { shardOfDelivery } from "../../../proto/ids.ts";
import type { CourierId, DeliveryId, Epoch, PrincipalId, ShardId } from "../../../proto/ids.ts";
import type { DeliveryEvent } from "../../../proto/events.ts";
import type { Job } from "../../../proto/messages.ts";
import { TEST_DELIVERY_PREFIX, robotOf } from "../../../proto/test-mode.ts";
import type { ActorWrite, WriteOutcome } from "../../../proto/writes.ts";
import type { CreateCommand, Store } from "../port.ts";

/** Two stores over the same data, as two processes have them, each with connections of its own. */
export type StorePair = {
  readonly stores: readonly [Store, Store];
  /** Sets the server's clock to so much more than the truth, milliseconds; negative: less. */
  readonly setClock: (aheadMs: number) => Promise<void>;
  readonly close: () => Promise<void>;
};

export const OWNER = "customer_1" as PrincipalId;
export const NOW = 1_800_000_000_000;
const MINUTE_MS = 60_000;
/** The couriers' shard in all tests; its owner is never replaced. */
export const SHIFT_SHARD = 4_000 as ShardId;
/** More events than one suite ever makes. */
const EVENTS_MAX = 100_000;

let count = 0;
/** A number that no other test of this process has. */
export const next = (): number => ++count;

export const newDeliveryId = (shard = 5): DeliveryId =>
  `del_${shard.toString(16).padStart(3, "0")}${String(next()).padStart(20, "0")}` as DeliveryId;
/** A test's delivery, and its first robot. */
export const newTestId = (shard = 5): DeliveryId =>
  newDeliveryId(shard).replace("del_", TEST_DELIVERY_PREFIX) as DeliveryId;
export const newRobotId = (): CourierId => robotOf(newTestId(), 1);
export const newCourierId = (): CourierId => `cur_${next()}` as CourierId;

/** A create of a small parcel by `OWNER`, with all that is given put over it. */
export function createOf(
  job: Partial<Job> = {},
  more: Partial<Omit<CreateCommand, "job">> = {},
): CreateCommand {
  const createdAt = job.createdAt ?? NOW;
  return {
    job: {
      id: newDeliveryId(),
      owner: OWNER,
      pickupLng: -122.39,
      pickupLat: 37.79,
      pickupArea: "Market St",
      dropoffLng: -122.42,
      dropoffLat: 37.76,
      dropoffArea: "Valencia St",
      size: "small",
      vehicle: null,
      createdAt,
      searchUntil: createdAt + 15 * MINUTE_MS,
      receivedAtUs: 0,
      ...job,
    },
    externalId: null,
    pickupAddress: "123 Market St, SF",
    dropoffAddress: "456 Valencia St, SF",
    weightKg: null,
    phone: "+1-555-0100",
    recipientPhone: null,
    notes: null,
    readyAt: null,
    searchAt: createdAt,
    estimatedPickupAt: createdAt + 10 * MINUTE_MS,
    estimatedArrivalAt: createdAt + 25 * MINUTE_MS,
    trackingHash: randomBytes(32),
    idempotency: null,
    answer: { status: 201, body: { delivery_id: job.id ?? "?" } },
    ...more,
  };
}

/** Takes a shard whoever has it; the epoch before is old from then on. */
export async function takeOver(
  store: Pick<Store, "shardOwners" | "takeShards">,
  node: string,
  shard: ShardId,
): Promise<Epoch> {
  for (;;) {
    const owner = (await store.shardOwners()).find((one) => one.shard === shard);
    const taken = await store.takeShards(node, new Map([[shard, owner?.epoch ?? 0]]));
    const epoch = taken.get(shard);
    if (epoch !== undefined) return epoch;
  }
}

export type Fixtures = ReturnType<typeof fixtures>;

/** Short ways to where a test begins. `ask` gives the pair once it is there. */
export function fixtures(ask: () => StorePair) {
  const store = (): Store => ask().stores[0];
  const other = (): Store => ask().stores[1];

  const created = async (job: Partial<Job> = {}): Promise<DeliveryId> => {
    const command = createOf(job);
    await store().create(command);
    return command.job.id;
  };
  /** Takes the shard anew; the epoch before is old from now on. */
  const own = (shard: ShardId): Promise<Epoch> => takeOver(store(), "node_test", shard);
  /** One owner of all couriers' shifts: two that take the same shard would fence each other. */
  let shiftEpoch: Promise<Epoch> | undefined;
  const courier = async (
    more: {
      id?: CourierId;
      shard?: ShardId;
      vehicle?: Vehicle;
      capacity?: number;
      online?: boolean;
    } = {},
  ): Promise<CourierId> => {
    const { shard = SHIFT_SHARD, vehicle = "bike", capacity = 1, online = true } = more;
    const id = more.id ?? newCourierId();
    const alice = { name: "Alice", phone: "+1-555-0101", vehicle, capacity };
    await store().putCourier({ id, shard, ...alice });
    const write = { kind: "shift", courier: id, online } as const;
    shiftEpoch ??= own(SHIFT_SHARD);
    if (online) await store().write(write, SHIFT_SHARD, await shiftEpoch);
    return id;
  };
  const assigned = async (
    more: { capacity?: number } = {},
  ): Promise<{ delivery: DeliveryId; by: CourierId }> => {
    const by = await courier(more);
    const delivery = await created();
    await store().accept({ delivery, courier: by });
    return { delivery, by };
  };
  const pickedUp = async (): Promise<{ delivery: DeliveryId; by: CourierId }> => {
    const { delivery, by } = await assigned();
    await store().status(statusOf(delivery, by, "picked_up"));
    return { delivery, by };
  };
  /**
   * A round on the row as it stands, with all that is given put over it; takes the shard unless
   * told the epoch.
   */
  const round = async (
    delivery: DeliveryId,
    more: Partial<Extract<ActorWrite, { kind: "round" }>> = {},
    epoch?: Epoch,
  ): Promise<WriteOutcome> => {
    const version = (await store().snapshot(delivery))?.version ?? 1;
    const write = { ...roundOf(delivery), version, ...more };
    const shard = shardOfDelivery(delivery);
    return store().write(write, shard, epoch ?? (await own(shard)));
  };
  const loadOf = async (id: CourierId): Promise<number | undefined> =>
    (await store().courier(id))?.load;
  const eventsOf = async (id: DeliveryId): Promise<readonly DeliveryEvent[]> =>
    (await store().outboxBatch(EVENTS_MAX))
      .map((row) => row.event)
      .filter((event) => event.delivery_id === id);
  const setClock = (aheadMs: number): Promise<void> => ask().setClock(aheadMs);
  return {
    ...{
      setClock,
      store,
      other,
      created,
      own,
      courier,
      assigned,
      pickedUp,
      round,
      loadOf,
      eventsOf,
    },
  };
}

export const statusOf = (
  delivery: DeliveryId,
  courier: CourierId,
  status: "picked_up" | "delivered" | "returned",
) => ({ delivery, courier, status, claimedAt: null, reason: null });

export const roundOf = (delivery: DeliveryId): Extract<ActorWrite, { kind: "round" }> => ({
  kind: "round",
  delivery,
  version: 1,
  wave: 1,
  offers: [{ courier: "cur_a" as CourierId, until: NOW + 20_000, distanceM: 640, etaS: 120 }],
  asked: ["cur_a" as CourierId],
  nextAttemptAt: NOW + 2_000,
  replacing: false,
  reason: "searching",
});

/** The numbers from 1 to `last`, which is what D5 wants of the events of a delivery. */
export const upTo = (last: number): number[] => Array.from({ length: last }, (_, i) => i + 1);
