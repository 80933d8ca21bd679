/**
 * Positions for those who look on: gateways name the couriers that entitled people watch, for a
 * while (a lease), and are told a moment after one of them moved, all shards of this node in one
 * message; `where` and `fleet` are answered from the index. Who may see whom is the gateway's
 * business, and how often. Positions of couriers nobody watches are not sent anywhere.
 */
import type { CourierId, Epoch, Millis, ShardId } from "../../proto/ids.ts";
import { streamMessages } from "../../proto/messages.ts";
import type { CourierRecord, StreamMessageOf } from "../../proto/messages.ts";
import type { Subjects } from "../../proto/subjects.ts";
import type { Clock } from "../io/clock.ts";
import type { Bus, BusMessage } from "../io/nats/nats.ts";

export type PositionsPorts = {
  readonly clock: Clock;
  readonly bus: Pick<Bus, "publish">;
  readonly subjects: Subjects;
  /** Null when the shard is not ours. */
  readonly epochOf: (shard: ShardId) => Epoch | null;
  readonly get: (courier: CourierId) => CourierRecord | null;
  /** Calls back for every courier that this node owns. */
  readonly forEachOwned: (fn: (record: CourierRecord) => void) => void;
};

type Part = StreamMessageOf<"moved">["parts"][number];
type Position = Part["positions"][number];

/**
 * What one gateway watches in one shard; the number of the record that it was sent last, for each
 * courier.
 */
type Lease = {
  readonly gateway: string;
  readonly shard: ShardId;
  readonly until: Millis;
  readonly sent: Map<CourierId, number>;
  /** Those who may have moved since. */
  readonly due: Set<CourierId>;
};

/** Moves of so long share a message. */
const SETTLE_MS = 10;

/** Gateways times shards. */
const LEASES_MAX = 65_536;
const LEASE_MAX_MS = 300_000;
/** Rows of one message: far below what NATS carries. */
const ROWS_PER_MESSAGE_MAX = 5_000;
const NEVER_SENT = -1;

export class Positions {
  readonly #ports: PositionsPorts;
  readonly #leases = new Map<string, Lease>();
  /** Who watches a courier. */
  readonly #watching = new Map<CourierId, Set<Lease>>();
  /** Leases with somebody due. */
  readonly #due = new Set<Lease>();
  #isArmed = false;

  constructor(ports: PositionsPorts) {
    this.#ports = ports;
  }

  /** Couriers watched at present, counted once for each gateway. */
  watched(): number {
    let count = 0;
    for (const lease of this.#leases.values()) count += lease.sent.size;
    return count;
  }

  /**
   * A `watch` message on the subject of a shard: it replaces this gateway's list for that shard.
   */
  onWatch(shard: ShardId, message: BusMessage): void {
    const watch = streamMessages.decode(message.data);
    if (watch?.type !== "watch") return;
    const { gateway, couriers, ttlMs } = watch;
    const key = `${gateway}/${shard}`;
    const known = this.#leases.get(key);
    if (known === undefined && this.#leases.size >= LEASES_MAX) return;
    if (known !== undefined) this.#end(key, known);
    if (couriers.length === 0) return;
    const until = this.#ports.clock.now() + Math.min(ttlMs, LEASE_MAX_MS);
    // Who was watched before has been sent; who is new is sent with the next batch.
    const sent = new Map(
      couriers.map((courier) => [courier, known?.sent.get(courier) ?? NEVER_SENT]),
    );
    const lease = { gateway, shard, until, sent, due: new Set(couriers) };
    this.#leases.set(key, lease);
    for (const courier of sent.keys()) {
      const watching = this.#watching.get(courier);
      if (watching === undefined) this.#watching.set(courier, new Set([lease]));
      else watching.add(lease);
    }
    this.#markDue(lease);
  }

  /** A courier of ours has a newer record. */
  moved(courier: CourierId): void {
    const watching = this.#watching.get(courier);
    if (watching === undefined) return;
    for (const lease of watching) {
      lease.due.add(courier);
      this.#markDue(lease);
    }
  }

  #markDue(lease: Lease): void {
    this.#due.add(lease);
    if (this.#isArmed) return;
    this.#isArmed = true;
    this.#ports.clock.after(SETTLE_MS, () => {
      this.#isArmed = false;
      this.publish();
    });
  }

  #end(key: string, lease: Lease): void {
    this.#leases.delete(key);
    this.#due.delete(lease);
    for (const courier of lease.sent.keys()) {
      const watching = this.#watching.get(courier);
      watching?.delete(lease);
      if (watching?.size === 0) this.#watching.delete(courier);
    }
  }

  /** The shard has another owner now, to whom the gateways say anew whom they watch. */
  forget(shard: ShardId): void {
    for (const [key, lease] of this.#leases) if (lease.shard === shard) this.#end(key, lease);
  }

  /** A `where` request. */
  onWhere(message: BusMessage): void {
    const where = streamMessages.decode(message.data);
    if (where?.type !== "where") return;
    const record = this.#ports.get(where.courier);
    message.respond(fleetPart(record === null ? [] : [record]));
  }

  /**
   * A `fleet` request: one answer, or several where they are many; an empty one when there is
   * nobody.
   */
  onFleet(message: BusMessage): void {
    const fleet = streamMessages.decode(message.data);
    if (fleet?.type !== "fleet") return;
    const records: CourierRecord[] = [];
    this.#ports.forEachOwned((record) => {
      if (records.length < fleet.limit) records.push(record);
    });
    let from = 0;
    do {
      message.respond(fleetPart(records.slice(from, from + ROWS_PER_MESSAGE_MAX)));
      from += ROWS_PER_MESSAGE_MAX;
    } while (from < records.length);
  }

  /** Called once in a while: ends the leases that have run out. */
  expire(): void {
    const now = this.#ports.clock.now();
    for (const [key, lease] of this.#leases) if (lease.until <= now) this.#end(key, lease);
  }

  /** Sends what has moved since the last time; by itself a moment after a move. */
  publish(): void {
    const byGateway = new Map<string, Part[]>();
    for (const lease of this.#due) {
      const epoch = this.#ports.epochOf(lease.shard);
      const positions = epoch === null ? [] : this.#moved(lease);
      lease.due.clear();
      if (epoch === null || positions.length === 0) continue;
      // Each shard under its own epoch: the gateway drops those of an owner whose time is over.
      const part = { shard: lease.shard, epoch, positions };
      const parts = byGateway.get(lease.gateway);
      if (parts === undefined) byGateway.set(lease.gateway, [part]);
      else parts.push(part);
    }
    this.#due.clear();
    for (const [gateway, parts] of byGateway) this.#send(gateway, parts);
  }

  #moved(lease: Lease): readonly Position[] {
    const moved: Position[] = [];
    for (const courier of lease.due) {
      const record = this.#ports.get(courier);
      const sentNo = lease.sent.get(courier) ?? NEVER_SENT;
      if (record === null || record.at === 0 || record.no <= sentNo) continue;
      lease.sent.set(courier, record.no);
      const { no, at, lng, lat } = record;
      moved.push({ courier, no, at, lng, lat });
    }
    return moved;
  }

  /** In as many messages as it takes. */
  #send(gateway: string, all: readonly Part[]): void {
    const { bus, subjects } = this.#ports;
    let parts: Part[] = [];
    let rows = 0;
    const flush = (): void => {
      if (parts.length === 0) return;
      bus.publish(subjects.positions(gateway), streamMessages.encode({ type: "moved", parts }));
      [parts, rows] = [[], 0];
    };
    for (const part of all) {
      for (let from = 0; from < part.positions.length; from += ROWS_PER_MESSAGE_MAX) {
        const positions = part.positions.slice(from, from + ROWS_PER_MESSAGE_MAX);
        if (rows + positions.length > ROWS_PER_MESSAGE_MAX) flush();
        parts.push({ ...part, positions });
        rows += positions.length;
      }
    }
    flush();
  }
}

const fleetPart = (records: readonly CourierRecord[]): Uint8Array =>
  streamMessages.encode({ type: "fleet_part", records });
