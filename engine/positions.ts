/**
 * Positions for those who look on: gateways name the couriers that entitled people watch, for a while (a lease), and get
 * once a second those who moved; `where` and `fleet` are answered from the index. Who may see whom is the gateway's
 * business. Positions of couriers nobody watches are not sent anywhere.
 */
import type { CourierId, Epoch, Millis, ShardId } from "../proto/ids.ts";
import { streamMessages } from "../proto/messages.ts";
import type { CourierRecord, StreamMessageOf } from "../proto/messages.ts";
import type { Subjects } from "../proto/subjects.ts";
import type { Clock } from "./io/clock.ts";
import type { Bus, BusMessage } from "./io/nats.ts";

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

type Position = StreamMessageOf<"positions">["positions"][number];

/** What one gateway watches in one shard; the number of the record that it was sent last, for each courier. */
type Lease = {
  readonly gateway: string;
  readonly shard: ShardId;
  readonly until: Millis;
  readonly sent: Map<CourierId, number>;
};

/** Gateways times shards. */
const LEASES_MAX = 65_536;
const LEASE_MAX_MS = 300_000;
/** Rows of one message: far below what NATS carries. */
const ROWS_PER_MESSAGE_MAX = 5_000;
const NEVER_SENT = -1;

export class Positions {
  readonly #ports: PositionsPorts;
  readonly #leases = new Map<string, Lease>();

  constructor(ports: PositionsPorts) {
    this.#ports = ports;
  }

  /** Couriers watched at present, counted once for each gateway. */
  watched(): number {
    let count = 0;
    for (const lease of this.#leases.values()) count += lease.sent.size;
    return count;
  }

  /** A `watch` message on the subject of a shard: it replaces this gateway's list for that shard. */
  onWatch(shard: ShardId, message: BusMessage): void {
    const watch = streamMessages.decode(message.data);
    if (watch?.type !== "watch") return;
    const { gateway, couriers, ttlMs } = watch;
    const key = `${gateway}/${shard}`;
    const known = this.#leases.get(key);
    if (couriers.length === 0) {
      this.#leases.delete(key);
      return;
    }
    if (known === undefined && this.#leases.size >= LEASES_MAX) return;
    const until = this.#ports.clock.now() + Math.min(ttlMs, LEASE_MAX_MS);
    // Who was watched before has been sent; who is new is sent with the next batch.
    const sent = new Map(
      couriers.map((courier) => [courier, known?.sent.get(courier) ?? NEVER_SENT]),
    );
    this.#leases.set(key, { gateway, shard, until, sent });
  }

  /** The shard has another owner now, to whom the gateways say anew whom they watch. */
  forget(shard: ShardId): void {
    for (const key of this.#leases.keys()) {
      if (key.endsWith(`/${shard}`)) this.#leases.delete(key);
    }
  }

  /** A `where` request. */
  onWhere(message: BusMessage): void {
    const where = streamMessages.decode(message.data);
    if (where?.type !== "where") return;
    const record = this.#ports.get(where.courier);
    message.respond(fleetPart(record === null ? [] : [record]));
  }

  /** A `fleet` request: one answer, or several where they are many; an empty one when there is nobody. */
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

  /** Called once a second: sends what has moved and ends what has run out. */
  publish(): void {
    const now = this.#ports.clock.now();
    for (const [key, lease] of this.#leases) {
      if (lease.until <= now) this.#leases.delete(key);
      else this.#send(lease);
    }
  }

  #moved(lease: Lease): readonly Position[] {
    const moved: Position[] = [];
    for (const [courier, sentNo] of lease.sent) {
      const record = this.#ports.get(courier);
      if (record === null || record.at === 0 || record.no <= sentNo) continue;
      lease.sent.set(courier, record.no);
      const { no, at, lng, lat } = record;
      moved.push({ courier, no, at, lng, lat });
    }
    return moved;
  }

  /** Each shard in messages of its own, under its own epoch: the gateway drops those of an owner whose time is over. */
  #send(lease: Lease): void {
    const { bus, subjects, epochOf } = this.#ports;
    const { gateway, shard } = lease;
    const epoch = epochOf(shard);
    if (epoch === null) return;
    const all = this.#moved(lease);
    for (let from = 0; from < all.length; from += ROWS_PER_MESSAGE_MAX) {
      const positions = all.slice(from, from + ROWS_PER_MESSAGE_MAX);
      const message = { type: "positions", positions, shard, epoch } as const;
      bus.publish(subjects.positions(gateway), streamMessages.encode(message));
    }
  }
}

const fleetPart = (records: readonly CourierRecord[]): Uint8Array =>
  streamMessages.encode({ type: "fleet_part", records });
