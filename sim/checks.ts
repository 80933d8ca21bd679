/**
 * The invariants of docs/architecture.md, watched from outside while a world runs. A violation throws at the very step that
 * made it; what can only be seen when the world has come to rest is asked for by `atRest`.
 */
import type { Courier } from "../actors/courier-state.ts";
import type { CourierId, DeliveryId, Epoch, Millis, ShardId } from "../proto/ids.ts";
import type { DispatchSettings } from "../proto/limits.ts";
import type { DeliveryEvent } from "../proto/events.ts";
import { NEXT_STATUSES, isTerminal } from "../proto/status.ts";
import type { Status } from "../proto/status.ts";
import type { WriteOutcome } from "../proto/writes.ts";
import type { FakeStore } from "./fake-store.ts";

function demand(holds: boolean, invariant: string, text: string): void {
  if (!holds) throw new Error(`${invariant} is violated: ${text}`);
}

export class Checks {
  readonly #store: FakeStore;
  readonly #settings: DispatchSettings;
  /** Acknowledged creates, and acknowledged accepts with the time they were given. */
  readonly #created = new Set<DeliveryId>();
  readonly #accepted = new Map<string, Millis | null>();
  readonly #last = new Map<string, DeliveryEvent>();
  readonly #epochs = new Map<ShardId, Epoch>();

  constructor(store: FakeStore, settings: DispatchSettings) {
    this.#store = store;
    this.#settings = settings;
  }

  createAnswered(delivery: DeliveryId): void {
    this.#created.add(delivery);
  }

  created(): number {
    return this.#created.size;
  }

  /** Every delivery has ended. */
  isOver(): boolean {
    return [...this.#created].every((id) =>
      isTerminal(this.#store.delivery(id)?.status ?? "pending"),
    );
  }

  /** D4: the same courier gets the same answer, with the same time, however often it asks. */
  acceptAnswered(delivery: DeliveryId, courier: CourierId, assignedAt: Millis | null): void {
    const key = `${delivery} ${courier}`;
    const before = this.#accepted.get(key);
    const isSame = before === undefined || before === assignedAt;
    demand(isSame, "D4", `${key} was assigned at ${before}, then at ${assignedAt}`);
    this.#accepted.set(key, assignedAt);
  }

  /** D8: what an older owner writes has no effect. */
  taken(shard: ShardId, epoch: Epoch): void {
    demand(epoch > (this.#epochs.get(shard) ?? 0), "D8", `shard ${shard} went back to ${epoch}`);
    this.#epochs.set(shard, epoch);
  }

  wrote(shard: ShardId, epoch: Epoch, { outcome }: WriteOutcome): void {
    const newest = this.#epochs.get(shard);
    const isAllowed = outcome === "fenced" || epoch === newest;
    demand(isAllowed, "D8", `epoch ${epoch} of shard ${shard} wrote after ${newest}`);
  }

  /** D1, D2, D5: each event follows from the one before, and nobody carries too much. */
  event(event: DeliveryEvent): void {
    const before = this.#last.get(event.delivery_id);
    const text = `${event.delivery_id} event ${event.number} ${event.type}`;
    demand(event.number === (before?.number ?? 0) + 1, "D5", `${text} after ${before?.number}`);
    const from = before?.status as Status | undefined;
    const isMove = from === undefined || NEXT_STATUSES[from].includes(event.status as Status);
    demand(isMove, "D5", `${text}: ${from} -> ${event.status}`);
    const isKept =
      before === undefined || before.courier_id === null || before.courier_id === event.courier_id;
    demand(isKept || event.type === "reassigned", "D1", `${text} changed the courier silently`);
    this.#last.set(event.delivery_id, event);
    for (const courier of this.#store.couriers()) {
      const carried = this.#store.activeOfCourier(courier.id).length;
      demand(courier.load === carried, "D2", `${courier.id} load ${courier.load} of ${carried}`);
      demand(carried <= courier.capacity, "D2", `${courier.id} carries ${carried}`);
    }
  }

  /** D7: no hold is longer than an offer, and there are never more than allowed. */
  courierStepped(courier: Courier, now: Millis): void {
    if (courier.at === "empty") return;
    const { OFFER_TTL_MS, OFFERS_PARALLEL_MAX } = this.#settings;
    demand(courier.holds.length <= OFFERS_PARALLEL_MAX, "D7", `${courier.id} is held too often`);
    const isBounded = courier.holds.every((hold) => hold.until <= now + OFFER_TTL_MS);
    demand(isBounded, "D7", `${courier.id} is held for too long`);
  }

  /** D3, D7: once faults have stopped and time has passed, everything has ended and everybody is free. */
  atRest(couriers: readonly Courier[], backlog: number): void {
    for (const id of this.#created) {
      const row = this.#store.delivery(id);
      demand(row !== null && isTerminal(row.status), "D3", `${id} is ${row?.status}`);
    }
    for (const courier of couriers) {
      if (courier.at === "empty") continue;
      demand(courier.holds.length === 0, "D7", `${courier.id} is still held`);
      demand(courier.active.length === 0, "D7", `${courier.id} still believes to carry something`);
    }
    demand(backlog === 0, "D7", `${backlog} deliveries are still in a backlog`);
  }

  /** D1: what a courier was told is in the history, and lost only to a replacement or a cancel. */
  atEnd(history: readonly DeliveryEvent[]): void {
    for (const key of this.#accepted.keys()) {
      const [delivery, courier] = key.split(" ");
      const got = history.some((e) => e.delivery_id === delivery && e.courier_id === courier);
      demand(got, "D1", `${key} was acknowledged and is nowhere in the history`);
    }
  }
}
