/**
 * The store in memory, with the rules of the Postgres statements (`engine/store`) and none of their
 * concurrency: each call is one indivisible step, as each statement is one transaction. It must
 * pass the same contract suite. The simulator calls it directly and adds latency, lost answers and
 * outages itself; `fake-port.ts` gives the port.
 */
import { canCarry } from "../actors/matching.ts";
import { distanceM } from "../actors/geo.ts";
import type { LngLat, Vehicle } from "../proto/geo.ts";
import { shardOfDelivery } from "../proto/ids.ts";
import type { CourierId, DeliveryId, Epoch, Millis, ShardId } from "../proto/ids.ts";
import { isTerminal } from "../proto/status.ts";
import { isRobot, isTestDelivery } from "../proto/test-mode.ts";
import type { EventType, Status } from "../proto/status.ts";
import type { ActorWrite, CourierSnapshot, DeliverySnapshot } from "../proto/writes.ts";
import type { WriteOutcome } from "../proto/writes.ts";
import type { AcceptCommand, AcceptOutcome, CancelCommand } from "../engine/store/port.ts";
import type { ChangeOutcome, CourierProfile, CourierRow } from "../engine/store/port.ts";
import type { CreateCommand, CreateOutcome, DeliveryRow } from "../engine/store/port.ts";
import type { IdempotencyKey, ListQuery, OutboxRow, Position } from "../engine/store/port.ts";
import type { ExpectedEpochs, ShardOwner, StatusCommand } from "../engine/store/port.ts";
import type { StoredAnswer } from "../engine/store/port.ts";
import { KeptAnswers } from "./fake-answers.ts";
import { byText, changeTime, hexOf, isOlder, rowOf, snapshotOf, writeRound } from "./fake-rows.ts";
import type { Courier, Row } from "./fake-rows.ts";

export class FakeStore {
  readonly #now: () => Millis;
  readonly #deliveries = new Map<DeliveryId, Row>();
  readonly #couriers = new Map<CourierId, Courier>();
  readonly #positions = new Map<CourierId, Position>();
  readonly #owners = new Map<ShardId, ShardOwner>();
  readonly #answers: KeptAnswers;
  #outbox: OutboxRow[] = [];
  #events = 0;

  /** `now`: the server's own clock that somebody may set. */
  constructor(now: () => Millis) {
    this.#now = now;
    this.#answers = new KeptAnswers(now);
  }

  create(command: CreateCommand): CreateOutcome {
    const { job, idempotency, answer } = command;
    const known = this.#deliveries.get(job.id);
    if (known?.createdAt === job.createdAt) return { outcome: "created" };
    if (idempotency !== null) {
      const before = this.#answers.get(idempotency);
      if (before !== null) return { outcome: "replayed", answer: before };
    }
    if (known !== undefined) return { outcome: "spent" };
    if (idempotency !== null) {
      this.keepAnswer(idempotency, answer.status, answer.body);
    }
    const row = rowOf(command, this.#now());
    this.#deliveries.set(job.id, row);
    this.#event(row, "created", null);
    return { outcome: "created" };
  }

  accept({ delivery, courier: courierId }: AcceptCommand): AcceptOutcome {
    const row = this.#deliveries.get(delivery);
    const courier = this.#couriers.get(courierId);
    if (row === undefined || courier === undefined) return refused("not_found");
    if (isTestDelivery(delivery) !== isRobot(courierId)) return refused("not_found");
    const hadIt = row.courierId === courierId;
    if (hadIt && row.status !== "pending" && !["canceled", "unfilled"].includes(row.status)) {
      return { outcome: "accepted", changed: false, row: this.#full(row) };
    }
    if (isTerminal(row.status)) return refused("delivery_over");
    if (row.status === "picked_up" || (row.status === "assigned" && !row.replacing)) {
      return refused("delivery_taken");
    }
    if (!courier.online) return refused("courier_off_shift");
    if (courier.load >= courier.capacity) return refused("courier_busy");
    const isFit = row.vehicle === null || row.vehicle === courier.vehicle;
    if (!isFit || !canCarry(courier.vehicle, row.size)) return refused("vehicle_unfit");
    this.#assign(row, courier);
    return { outcome: "accepted", changed: true, row: this.#full(row) };
  }

  #assign(row: Row, courier: Courier): void {
    const before = row.courierId === null ? undefined : this.#couriers.get(row.courierId);
    const reason = before === undefined ? null : row.statusReason;
    if (before !== undefined) before.load -= 1;
    courier.load += 1;
    row.courierId = courier.id;
    row.assignedAt = changeTime(row, this.#now());
    this.#move(row, "assigned", null);
    this.#event(row, before === undefined ? "assigned" : "reassigned", reason);
  }

  /** Into a new status: the search is over. */
  #move(row: Row, status: Status, reason: string | null): void {
    row.status = status;
    row.statusReason = reason;
    row.version += 1;
    row.replacing = false;
    row.own.offers = [];
    row.own.nextAttemptAt = null;
    if (isTerminal(status)) row.endedAt = changeTime(row, this.#now());
  }

  status(command: StatusCommand): ChangeOutcome {
    const { delivery, courier, status, claimedAt, reason } = command;
    const row = this.#deliveries.get(delivery);
    if (row === undefined || row.courierId !== courier) return refused("not_found");
    if (row.status === status) return { outcome: "changed", changed: false, row: this.#full(row) };
    if (row.status !== (status === "picked_up" ? "assigned" : "picked_up")) {
      return refused("wrong_status");
    }
    if (status === "picked_up") {
      row.pickedUpAt = changeTime(row, this.#now());
      row.pickedUpClaimedAt = claimedAt;
    }
    if (status === "delivered") {
      row.deliveredAt = changeTime(row, this.#now());
      row.deliveredClaimedAt = claimedAt;
    }
    return this.#change(
      row,
      status,
      status === "returned" ? (reason ?? "returned_by_courier") : reason,
    );
  }

  cancel({ delivery, by, reason }: CancelCommand): ChangeOutcome {
    const row = this.#deliveries.get(delivery);
    if (row === undefined) return refused("not_found");
    if (by.role === "owner" && by.owner !== row.owner) return refused("not_found");
    if (row.status === "canceled") {
      return { outcome: "changed", changed: false, row: this.#full(row) };
    }
    const mayCancel = by.role === "operator" || row.status !== "picked_up";
    if (isTerminal(row.status) || !mayCancel) return refused("wrong_status");
    return this.#change(row, "canceled", reason);
  }

  #change(
    row: Row,
    status: Exclude<Status, "pending" | "assigned">,
    reason: string | null,
  ): ChangeOutcome {
    const courier = row.courierId === null ? undefined : this.#couriers.get(row.courierId);
    if (isTerminal(status) && courier !== undefined) courier.load -= 1;
    this.#move(row, status, reason);
    this.#event(row, status, reason);
    return { outcome: "changed", changed: true, row: this.#full(row) };
  }

  #event(row: Row, type: EventType, reason: string | null): void {
    this.#outbox.push({
      owner: row.owner,
      event: {
        id: String(++this.#events),
        delivery_id: row.id,
        number: row.version,
        type,
        status: row.status,
        reason,
        courier_id: row.courierId,
        external_id: row.externalId,
        at: new Date(row.own.changedAt).toISOString(),
        test: isTestDelivery(row.id),
      },
    });
  }

  putCourier(courier: CourierProfile): CourierRow {
    const before = this.#couriers.get(courier.id);
    const { online, load, epoch } = before ?? { online: false, load: 0, epoch: 0 };
    const { id, shard, name, phone, vehicle, capacity } = courier;
    this.#couriers.set(id, { id, shard, name, phone, vehicle, capacity, online, load, epoch });
    return { id, name, phone, vehicle, capacity, online, load };
  }

  storedAnswer(key: IdempotencyKey): StoredAnswer | null {
    return this.#answers.get(key);
  }

  keepAnswer(key: IdempotencyKey, status: number, body: unknown): void {
    this.#answers.keep(key, { fingerprint: key.fingerprint, status, body });
  }

  /** Gives how many keys it forgot that are older, hours. */
  purgeIdempotency(keptH: number): number {
    return this.#answers.purge(keptH);
  }

  /* Decisions of owners. */

  takeShards(node: string, expected: ExpectedEpochs): ReadonlyMap<ShardId, Epoch> {
    const taken = new Map<ShardId, Epoch>();
    for (const [shard, before] of expected) {
      const epoch = (before + 1) as Epoch;
      const owner = this.#owners.get(shard);
      const isAsExpected = (owner?.epoch ?? 0) === before;
      if (!isAsExpected && !(owner?.epoch === epoch && owner.node === node)) continue;
      this.#owners.set(shard, { shard, epoch, node });
      taken.set(shard, epoch);
    }
    return taken;
  }

  shardOwners(): ShardOwner[] {
    return [...this.#owners.values()].sort((a, b) => a.shard - b.shard);
  }

  write(write: ActorWrite, shard: ShardId, epoch: Epoch): WriteOutcome {
    if (write.kind !== "shift" && shardOfDelivery(write.delivery) !== shard) {
      throw new Error(`${write.delivery} is not of shard ${shard}`);
    }
    if (this.#owners.get(shard)?.epoch !== epoch) return { outcome: "fenced" };
    if (write.kind === "shift") return this.#writeShift(write, epoch);
    const row = this.#deliveries.get(write.delivery);
    if (row === undefined) return { outcome: "superseded", snapshot: null };
    const isDone =
      write.kind === "round" ? writeRound(row, write, epoch) : this.#unfill(row, write, epoch);
    if (isDone) return { outcome: "recorded" };
    return { outcome: "superseded", snapshot: snapshotOf(row) };
  }

  #unfill(row: Row, write: Extract<ActorWrite, { kind: "unfilled" }>, epoch: Epoch): boolean {
    if (row.status === "unfilled") return row.own.epoch === epoch;
    if (row.status !== "pending" || row.own.epoch > epoch) return false;
    row.own.epoch = epoch;
    this.#move(row, "unfilled", write.reason);
    this.#event(row, "unfilled", write.reason);
    return true;
  }

  #writeShift(write: Extract<ActorWrite, { kind: "shift" }>, epoch: Epoch): WriteOutcome {
    const courier = this.#couriers.get(write.courier);
    if (courier === undefined) return { outcome: "superseded", snapshot: null };
    if (courier.epoch > epoch) return { outcome: "fenced" };
    courier.online = write.online;
    courier.epoch = epoch;
    return { outcome: "recorded" };
  }

  openDeliveries(shards: readonly ShardId[], after: string, limit: number): DeliverySnapshot[] {
    return [...this.#deliveries.values()]
      .filter((row) => row.id > after && shards.includes(row.shard) && !isTerminal(row.status))
      .sort((a, b) => byText(a.id, b.id))
      .slice(0, limit)
      .map(snapshotOf);
  }

  due(shards: readonly ShardId[], now: Millis, limit: number): DeliverySnapshot[] {
    const dueAt = (row: Row): number => row.own.nextAttemptAt ?? Infinity;
    return [...this.#deliveries.values()]
      .filter((row) => row.status === "pending" || row.replacing)
      .filter((row) => shards.includes(row.shard) && dueAt(row) < now)
      .sort((a, b) => dueAt(a) - dueAt(b))
      .slice(0, limit)
      .map(snapshotOf);
  }

  snapshot(id: DeliveryId): DeliverySnapshot | null {
    const row = this.#deliveries.get(id);
    return row === undefined ? null : snapshotOf(row);
  }

  courierSnapshot(id: CourierId): CourierSnapshot | null {
    const courier = this.#couriers.get(id);
    return courier === undefined ? null : this.#courierSnapshot(courier);
  }

  #courierSnapshot({ id, vehicle, capacity, online }: Courier): CourierSnapshot {
    const active = this.#carriedBy(id).map((row) => ({
      delivery: row.id,
      pickupLng: row.pickupLng,
      pickupLat: row.pickupLat,
      dropoffLng: row.dropoffLng,
      dropoffLat: row.dropoffLat,
      pickedUp: row.status === "picked_up",
    }));
    const last = this.#positions.get(id);
    const lastKnown = last === undefined ? null : { lng: last.lng, lat: last.lat, at: last.at };
    return { courier: id, vehicle, capacity, online, active, lastKnown };
  }

  #carriedBy(courier: CourierId): Row[] {
    return [...this.#deliveries.values()]
      .filter((row) => row.courierId === courier)
      .filter((row) => row.status === "assigned" || row.status === "picked_up")
      .sort((a, b) => (a.assignedAt ?? 0) - (b.assignedAt ?? 0) || byText(a.id, b.id));
  }

  courierSnapshots(shards: readonly ShardId[], after: string, limit: number): CourierSnapshot[] {
    return [...this.#couriers.values()]
      .filter((courier) => shards.includes(courier.shard))
      .filter((courier) => courier.id > after && (courier.online || courier.load > 0))
      .sort((a, b) => byText(a.id, b.id))
      .slice(0, limit)
      .map((courier) => this.#courierSnapshot(courier));
  }

  /* Reads of the doors. */

  delivery(id: DeliveryId): DeliveryRow | null {
    const row = this.#deliveries.get(id);
    return row === undefined ? null : this.#full(row);
  }

  /** For checks: the row itself, not to be changed. */
  peek(id: string): Readonly<Row> | null {
    return this.#deliveries.get(id as DeliveryId) ?? null;
  }

  deliveryByTracking(hash: Uint8Array): DeliveryRow | null {
    const row = [...this.#deliveries.values()].find((one) => one.own.trackingHash === hexOf(hash));
    return row === undefined ? null : this.#full(row);
  }

  deliveries({ owner, courier, status, before, limit }: ListQuery): DeliveryRow[] {
    return [...this.#deliveries.values()]
      .filter((row) => owner === null || row.owner === owner)
      .filter((row) => courier === null || row.courierId === courier)
      .filter((row) => status === null || row.status === status)
      .sort((a, b) => b.createdAt - a.createdAt || byText(b.id, a.id))
      .filter((row) => before === null || isOlder(row, before))
      .slice(0, limit)
      .map((row) => this.#full(row));
  }

  available(near: LngLat, radiusM: number, max: number, vehicle: Vehicle): DeliveryRow[] {
    const awayM = (row: Row): number => distanceM(near, { lng: row.pickupLng, lat: row.pickupLat });
    return [...this.#deliveries.values()]
      .filter((row) => row.status === "pending" && awayM(row) <= radiusM)
      .filter((row) => !isTestDelivery(row.id))
      .filter((row) => (row.vehicle ?? vehicle) === vehicle && canCarry(vehicle, row.size))
      .sort((a, b) => awayM(a) - awayM(b) || byText(a.id, b.id))
      .slice(0, max)
      .map((row) => this.#full(row));
  }

  courier(id: CourierId): CourierRow | null {
    return this.#courierRows().find((courier) => courier.id === id) ?? null;
  }

  couriers(): CourierRow[] {
    return this.#courierRows().filter((courier) => !isRobot(courier.id));
  }

  #courierRows(): CourierRow[] {
    return [...this.#couriers.values()]
      .sort((a, b) => byText(a.id, b.id))
      .map(({ epoch: _epoch, shard: _shard, ...courier }) => courier);
  }

  activeOfCourier(id: CourierId): DeliveryRow[] {
    return this.#carriedBy(id).map((row) => this.#full(row));
  }

  /** For checks: what it carries by the deliveries' rows, not by its own. */
  carriedCount(id: CourierId): number {
    let count = 0;
    for (const { courierId, status } of this.#deliveries.values()) {
      if (courierId === id && (status === "assigned" || status === "picked_up")) count += 1;
    }
    return count;
  }

  lastKnown(id: CourierId): Position | null {
    return this.#positions.get(id) ?? null;
  }

  outboxBatch(limit: number): OutboxRow[] {
    return this.#outbox.slice(0, limit);
  }

  outboxDone(ids: readonly string[]): void {
    this.#outbox = this.#outbox.filter((row) => !ids.includes(row.event.id));
  }

  saveLastKnown(positions: readonly Position[]): void {
    for (const position of positions) {
      const isNewer = (this.#positions.get(position.courier)?.at ?? -Infinity) < position.at;
      if (isNewer) this.#positions.set(position.courier, position);
    }
  }

  #full(row: Row): DeliveryRow {
    const { own: _own, ...rest } = row;
    const courier = row.courierId === null ? undefined : this.#couriers.get(row.courierId);
    return {
      ...rest,
      courierName: courier?.name ?? null,
      courierPhone: courier?.phone ?? null,
      courierVehicle: courier?.vehicle ?? null,
    };
  }
}

const refused = <C extends string>(code: C) => ({ outcome: "refused", code }) as const;
