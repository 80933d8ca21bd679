/**
 * The store as everybody else sees it: the one arbiter of safety. Each command is one conditional
 * Postgres statement that changes everything it must, its outbox row included, or nothing; commands
 * of the same few milliseconds share a statement. The simulator's fake passes the same contract
 * suite (`engine/store/contract.ts`).
 *
 * Outcomes are values; a store that cannot answer rejects with DispatchError `unavailable` (not
 * done, or unknown: every command may be repeated with the same arguments and then changes nothing
 * further, D4).
 */
import type { PackageSize, Vehicle } from "../../proto/geo.ts";
import type {
  CourierId,
  DeliveryId,
  Epoch,
  Millis,
  PrincipalId,
  ShardId,
} from "../../proto/ids.ts";
import type { DeliveryEvent } from "../../proto/events.ts";
import type { Job } from "../../proto/messages.ts";
import type { Status } from "../../proto/status.ts";
import type {
  ActorWrite,
  CourierSnapshot,
  DeliverySnapshot,
  WriteOutcome,
} from "../../proto/writes.ts";

/** An idempotency key, scoped to the principal. `fingerprint`: hash of route and body. */
export type IdempotencyKey = {
  readonly principal: string;
  readonly key: string;
  readonly fingerprint: string;
};
/** A stored answer of an earlier request. */
export type StoredAnswer = {
  readonly fingerprint: string;
  readonly status: number;
  readonly body: unknown;
};

/** A delivery row in full. */
export type DeliveryRow = {
  readonly id: DeliveryId;
  readonly shard: ShardId;
  readonly version: number;
  readonly status: Status;
  readonly statusReason: string | null;
  readonly owner: PrincipalId;
  readonly externalId: string | null;
  readonly pickupAddress: string | null;
  readonly pickupLng: number;
  readonly pickupLat: number;
  readonly dropoffAddress: string | null;
  readonly dropoffLng: number;
  readonly dropoffLat: number;
  readonly size: PackageSize;
  readonly weightKg: number | null;
  readonly vehicle: Vehicle | null;
  readonly phone: string;
  readonly recipientPhone: string | null;
  readonly notes: string | null;
  readonly readyAt: Millis | null;
  readonly createdAt: Millis;
  readonly searchUntil: Millis;
  /** As promised at the create. */
  readonly estimatedPickupAt: Millis;
  readonly estimatedArrivalAt: Millis;
  readonly assignedAt: Millis | null;
  readonly pickedUpAt: Millis | null;
  readonly deliveredAt: Millis | null;
  readonly endedAt: Millis | null;
  /** Times that the courier's phone claimed; never used for decisions. */
  readonly pickedUpClaimedAt: Millis | null;
  readonly deliveredClaimedAt: Millis | null;
  readonly courierId: CourierId | null;
  /** Of the courier's row at the time of reading; null without a courier. */
  readonly courierName: string | null;
  readonly courierPhone: string | null;
  readonly courierVehicle: Vehicle | null;
  readonly wave: number;
  readonly replacing: boolean;
};

/**
 * A new delivery; the gateway has made the id, checked and geocoded everything. `trackingHash`:
 * SHA-256 of the link's secret.
 */
export type CreateCommand = {
  readonly job: Job;
  readonly externalId: string | null;
  readonly pickupAddress: string | null;
  readonly dropoffAddress: string | null;
  readonly weightKg: number | null;
  readonly phone: string;
  readonly recipientPhone: string | null;
  readonly notes: string | null;
  readonly readyAt: Millis | null;
  /** When its search begins: at its creation, or later. */
  readonly searchAt: Millis;
  readonly estimatedPickupAt: Millis;
  readonly estimatedArrivalAt: Millis;
  readonly trackingHash: Uint8Array;
  readonly idempotency: IdempotencyKey | null;
  /** The HTTP answer, stored with the key in the same statement. */
  readonly answer: { readonly status: number; readonly body: unknown };
};
export type CreateOutcome =
  | { readonly outcome: "created" }
  /** The key was used before: its stored answer (compare the fingerprint). */
  | { readonly outcome: "replayed"; readonly answer: StoredAnswer }
  /**
   * The key's delivery exists, made at another time, and the key itself was purged since: nothing
   * is done.
   */
  | { readonly outcome: "spent" };

export type AcceptCommand = { readonly delivery: DeliveryId; readonly courier: CourierId };
export type AcceptOutcome =
  | {
      readonly outcome: "accepted";
      /** False when this courier had it already: nothing changed, same answer (D4). */
      readonly changed: boolean;
      readonly row: DeliveryRow;
    }
  | {
      readonly outcome: "refused";
      readonly code:
        | "not_found"
        | "delivery_taken"
        | "delivery_over"
        | "courier_busy"
        | "courier_off_shift"
        | "vehicle_unfit";
    };

export type StatusCommand = {
  readonly delivery: DeliveryId;
  readonly courier: CourierId;
  readonly status: "picked_up" | "delivered" | "returned";
  readonly claimedAt: Millis | null;
  readonly reason: string | null;
};
export type CancelCommand = {
  readonly delivery: DeliveryId;
  /** Customers and partners: only their own, before pickup. Operators: any that has not ended. */
  readonly by:
    | { readonly role: "owner"; readonly owner: PrincipalId }
    | { readonly role: "operator" };
  readonly reason: string;
};
export type ChangeOutcome =
  | { readonly outcome: "changed"; readonly changed: boolean; readonly row: DeliveryRow }
  | { readonly outcome: "refused"; readonly code: "not_found" | "wrong_status" };

export type CourierRow = {
  readonly id: CourierId;
  readonly name: string;
  readonly phone: string;
  readonly vehicle: Vehicle;
  readonly capacity: number;
  readonly online: boolean;
  /**
   * Active deliveries (D2: never above capacity, except where an operator lowered the capacity).
   */
  readonly load: number;
};
/**
 * What the operator sets of a courier. `shard` is that of its id (`engine/cluster/shards.ts`): it
 * stays for ever.
 */
export type CourierProfile = Omit<CourierRow, "online" | "load"> & { readonly shard: ShardId };

/** Who has taken a shard last, by the store's word. */
export type ShardOwner = {
  readonly shard: ShardId;
  readonly epoch: Epoch;
  /** The name of that run of a node; it may be long gone. */
  readonly node: string;
};
/** The epochs a taker goes by; 0: never owned. */
export type ExpectedEpochs = ReadonlyMap<ShardId, Epoch | 0>;

export type Position = {
  readonly courier: CourierId;
  readonly at: Millis;
  readonly lng: number;
  readonly lat: number;
};

/**
 * What a page of deliveries is filtered by. `cursor` is the last row's `(createdAt, id)`; newest
 * first.
 */
export type ListQuery = {
  readonly owner: PrincipalId | null;
  readonly courier: CourierId | null;
  readonly status: Status | null;
  readonly before: { readonly createdAt: Millis; readonly id: string } | null;
  readonly limit: number;
};

export type Store = {
  /* Commands of the doors (gateway). */
  create(command: CreateCommand): Promise<CreateOutcome>;
  accept(command: AcceptCommand): Promise<AcceptOutcome>;
  status(command: StatusCommand): Promise<ChangeOutcome>;
  cancel(command: CancelCommand): Promise<ChangeOutcome>;
  putCourier(courier: CourierProfile): Promise<CourierRow>;
  /** Answers of commands that are idempotent by nature, kept by key before they are given. */
  storedAnswer(key: IdempotencyKey): Promise<StoredAnswer | null>;
  keepAnswer(key: IdempotencyKey, status: number, body: unknown): Promise<void>;

  /* Reads of the doors. Reads of the same few milliseconds share a statement too. */
  delivery(id: DeliveryId): Promise<DeliveryRow | null>;
  deliveryByTracking(hash: Uint8Array): Promise<DeliveryRow | null>;
  deliveries(query: ListQuery): Promise<readonly DeliveryRow[]>;
  /**
   * Pending deliveries that such a vehicle carries, nearest to a point; `max` rows within `radiusM`
   * metres.
   */
  available(
    near: { lng: number; lat: number },
    radiusM: number,
    max: number,
    vehicle: Vehicle,
  ): Promise<readonly DeliveryRow[]>;
  courier(id: CourierId): Promise<CourierRow | null>;
  /** All people; no robots of tests. */
  couriers(): Promise<readonly CourierRow[]>;
  activeOfCourier(id: CourierId): Promise<readonly DeliveryRow[]>;
  lastKnown(id: CourierId): Promise<Position | null>;

  /* Decisions of owners, conditional on the shard's epoch. Batched. */
  /**
   * Takes the shards that are still at the epoch that the taker goes by, each with the next epoch;
   * gives those taken. `node` names one run of a process: repeated by the same run with the same
   * epochs, it gives what the first time took.
   */
  takeShards(node: string, expected: ExpectedEpochs): Promise<ReadonlyMap<ShardId, Epoch>>;
  /**
   * Every shard that was ever owned. Another may take one at any moment: what counts is the next
   * conditional write.
   */
  shardOwners(): Promise<readonly ShardOwner[]>;
  write(write: ActorWrite, shard: ShardId, epoch: Epoch): Promise<WriteOutcome>;
  /** Open deliveries of shards, for resuming after a start; bounded pages by id. */
  openDeliveries(
    shards: readonly ShardId[],
    after: string,
    limit: number,
  ): Promise<readonly DeliverySnapshot[]>;
  /**
   * The sweep: pending (or replacing) deliveries of these shards whose `next_attempt_at` is past
   * `now`.
   */
  due(shards: readonly ShardId[], now: Millis, limit: number): Promise<readonly DeliverySnapshot[]>;
  snapshot(id: DeliveryId): Promise<DeliverySnapshot | null>;
  courierSnapshot(id: CourierId): Promise<CourierSnapshot | null>;
  /** Couriers of these shards who are on shift or carry something; bounded pages by id. */
  courierSnapshots(
    shards: readonly ShardId[],
    after: string,
    limit: number,
  ): Promise<readonly CourierSnapshot[]>;

  /* The outbox. */
  outboxBatch(limit: number): Promise<readonly OutboxRow[]>;
  outboxDone(ids: readonly string[]): Promise<void>;

  /* Positions, in bulk. */
  saveLastKnown(positions: readonly Position[]): Promise<void>;
  appendHistory(positions: readonly Position[]): Promise<void>;

  /**
   * Resolves when the database takes writes. `look`, the default, changes nothing; `write` commits
   * a row of this process's own.
   */
  ping(what?: "look" | "write"): Promise<void>;
  close(): Promise<void>;
};

/** A committed event that is not yet published. `owner` is part of its subject. */
export type OutboxRow = { readonly owner: PrincipalId; readonly event: DeliveryEvent };
