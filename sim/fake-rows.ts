/** Rows of the store in memory, and what is read off them. The rules are in `fake-store.ts`. */
import { shortenAddress } from "../proto/address.ts";
import { shardOfDelivery } from "../proto/ids.ts";
import type { CourierId, Epoch, Millis, ShardId } from "../proto/ids.ts";
import { firstReason } from "../engine/store/create.ts";
import { FIRST_SWEEP_AFTER_MS } from "../proto/limits.ts";
import type { Job } from "../proto/messages.ts";
import type { ActorWrite, DeliverySnapshot, OfferRecord } from "../proto/writes.ts";
import type { CourierRow, CreateCommand, DeliveryRow } from "../engine/store/port.ts";

type Mutable<T> = { -readonly [K in keyof T]: T[K] };
export type Row = Mutable<Omit<DeliveryRow, "courierName" | "courierPhone" | "courierVehicle">> & {
  /** What no door sees. */
  readonly own: {
    readonly job: Job;
    readonly trackingHash: string;
    offers: readonly OfferRecord[];
    asked: readonly CourierId[];
    nextAttemptAt: Millis | null;
    epoch: number;
    /** Of the last change: none is earlier than the one before it. */
    changedAt: Millis;
  };
};
export type Courier = Mutable<CourierRow> & { shard: ShardId; epoch: number };

/** Bytes as hexadecimal text. */
export const hexOf = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex");

/** Conditional on version, status and epoch, as the statement is. */
export function writeRound(
  row: Row,
  write: Extract<ActorWrite, { kind: "round" }>,
  epoch: Epoch,
): boolean {
  const mayBe = row.status === "assigned" || (row.status === "pending" && !write.replacing);
  if (!mayBe || row.version !== write.version || row.own.epoch > epoch) return false;
  row.wave = write.wave;
  row.own.offers = write.offers;
  row.own.asked = write.asked;
  row.own.nextAttemptAt = write.nextAttemptAt;
  row.replacing = write.replacing;
  row.statusReason = write.reason;
  row.own.epoch = epoch;
  return true;
}

/**
 * The time of a change: now, and not before the row's last one, since the server's clock may be set
 * back.
 */
export function changeTime({ own }: Row, now: Millis): Millis {
  own.changedAt = Math.max(own.changedAt, now);
  return own.changedAt;
}

/** What an owner resumes from: addresses are shortened, the measurement's time is gone. */
export const snapshotOf = (row: Row): DeliverySnapshot => ({
  job: row.own.job,
  status: row.status,
  version: row.version,
  courier: row.courierId,
  assignedAt: row.assignedAt,
  wave: row.wave,
  offers: row.own.offers,
  asked: row.own.asked,
  nextAttemptAt: row.own.nextAttemptAt,
  replacing: row.replacing,
});

/** A new delivery's row. */
export const rowOf = (command: CreateCommand, now: Millis): Row => {
  const { job } = command;
  return {
    id: job.id,
    shard: shardOfDelivery(job.id),
    version: 1,
    status: "pending",
    statusReason: firstReason(command),
    owner: job.owner,
    externalId: command.externalId,
    pickupAddress: command.pickupAddress,
    pickupLng: job.pickupLng,
    pickupLat: job.pickupLat,
    dropoffAddress: command.dropoffAddress,
    dropoffLng: job.dropoffLng,
    dropoffLat: job.dropoffLat,
    size: job.size,
    weightKg: command.weightKg,
    vehicle: job.vehicle,
    phone: command.phone,
    recipientPhone: command.recipientPhone,
    notes: command.notes,
    readyAt: command.readyAt,
    createdAt: job.createdAt,
    searchUntil: job.searchUntil,
    estimatedPickupAt: command.estimatedPickupAt,
    estimatedArrivalAt: command.estimatedArrivalAt,
    assignedAt: null,
    pickedUpAt: null,
    deliveredAt: null,
    endedAt: null,
    pickedUpClaimedAt: null,
    deliveredClaimedAt: null,
    courierId: null,
    wave: 0,
    replacing: false,
    own: {
      job: {
        ...job,
        pickupArea: shortenAddress(command.pickupAddress),
        dropoffArea: shortenAddress(command.dropoffAddress),
        receivedAtUs: 0,
      },
      trackingHash: hexOf(command.trackingHash),
      offers: [],
      asked: [],
      nextAttemptAt: command.searchAt + FIRST_SWEEP_AFTER_MS,
      epoch: 0,
      changedAt: Math.max(now, job.createdAt),
    },
  };
};

/** The order of ids, as the database has it: by bytes. */
export const byText = (a: string, b: string): number => (a < b ? -1 : Number(a > b));

/** Whether a row comes behind the cursor of a list, newest first. */
export const isOlder = (row: Row, before: { createdAt: Millis; id: string }): boolean =>
  row.createdAt < before.createdAt || (row.createdAt === before.createdAt && row.id < before.id);
