/**
 * Live positions for followers: which couriers this gateway needs (leases at their shards, renewed, so that a node that
 * restarts or a gateway that dies heals by itself), and one frame a second for each session with those of its deliveries
 * whose courier moved. Sessions are smeared over the second; a slow reader is skipped and gets the newest later.
 *
 * For one delivery an older position never follows a newer one, and none is sent that the policy does not allow (D6).
 */
import { hash32, shardOfCourier } from "../engine/shards.ts";
import { serverFrames } from "../proto/frames.ts";
import type { ServerFrameOf } from "../proto/frames.ts";
import type { CourierId, DeliveryId, Epoch, Millis, SessionId, ShardId } from "../proto/ids.ts";
import { streamMessages } from "../proto/messages.ts";
import type { Deps } from "./deps.ts";
import { allowed } from "./policy.ts";
import type { CourierNeeds, Followed, Follower, Tracking } from "./tracking.ts";
import type { Whereabouts } from "./whereabouts.ts";

const LEASE_TTL_MS = 15_000;
const LEASE_RENEW_MS = 5_000;
/** Changes of the next moment share a message. */
const LEASE_SETTLE_MS = 20;
const SLOTS = 20;

type PositionItem = ServerFrameOf<"positions">["positions"][number];
type PositionDeps = Pick<Deps, "gateway" | "bus" | "subjects" | "clock" | "config">;
type FanOutDeps = PositionDeps & Pick<Deps, "fence" | "metrics">;

/** The couriers whose positions this gateway asks for, by shard. */
export class Leases implements CourierNeeds {
  readonly #deps: PositionDeps;
  readonly #counts = new Map<CourierId, number>();
  readonly #byShard = new Map<ShardId, Set<CourierId>>();
  readonly #changed = new Set<ShardId>();
  #cancelSettle: (() => void) | null = null;
  #cancelRenew: () => void;

  constructor(deps: PositionDeps) {
    this.#deps = deps;
    this.#cancelRenew = deps.clock.after(LEASE_RENEW_MS, () => this.#renew());
  }

  stop(): void {
    this.#cancelRenew();
    this.#cancelSettle?.();
  }

  readonly need = (courier: CourierId): void => {
    const count = this.#counts.get(courier) ?? 0;
    this.#counts.set(courier, count + 1);
    if (count > 0) return;
    const shard = this.#shardOf(courier);
    const couriers = this.#byShard.get(shard) ?? new Set<CourierId>();
    couriers.add(courier);
    this.#byShard.set(shard, couriers);
    this.#markChanged(shard);
  };

  readonly release = (courier: CourierId): void => {
    const count = this.#counts.get(courier) ?? 0;
    if (count > 1) {
      this.#counts.set(courier, count - 1);
      return;
    }
    this.#counts.delete(courier);
    const shard = this.#shardOf(courier);
    this.#byShard.get(shard)?.delete(courier);
    this.#markChanged(shard);
  };

  /** A node took these shards and knows nothing of us yet. */
  announce(shards: readonly number[]): void {
    for (const shard of shards as readonly ShardId[]) {
      if (this.#byShard.has(shard)) this.#publish(shard);
    }
  }

  #shardOf(courier: CourierId): ShardId {
    return shardOfCourier(courier, this.#deps.config.shards);
  }

  #markChanged(shard: ShardId): void {
    this.#changed.add(shard);
    this.#cancelSettle ??= this.#deps.clock.after(LEASE_SETTLE_MS, () => {
      this.#cancelSettle = null;
      for (const changed of this.#changed) this.#publish(changed);
      this.#changed.clear();
    });
  }

  #renew(): void {
    for (const shard of this.#byShard.keys()) this.#publish(shard);
    this.#cancelRenew = this.#deps.clock.after(LEASE_RENEW_MS, () => this.#renew());
  }

  /** The list replaces the one before; an empty one is sent once and then forgotten. */
  #publish(shard: ShardId): void {
    const { bus, subjects, gateway } = this.#deps;
    const couriers = [...(this.#byShard.get(shard) ?? [])];
    if (couriers.length === 0) this.#byShard.delete(shard);
    const watch = { type: "watch", gateway, couriers, ttlMs: LEASE_TTL_MS } as const;
    bus.publish(subjects.watch(shard), streamMessages.encode(watch));
  }
}

export class Positions {
  readonly #deps: FanOutDeps;
  readonly #whereabouts: Whereabouts;
  readonly #tracking: Tracking;
  readonly #unsubscribe: () => void;
  readonly #slotMs: number;
  #slot = 0;
  #cancelTick: () => void;

  constructor(deps: FanOutDeps, whereabouts: Whereabouts, tracking: Tracking) {
    this.#deps = deps;
    this.#whereabouts = whereabouts;
    this.#tracking = tracking;
    const subject = deps.subjects.positions(deps.gateway);
    this.#unsubscribe = deps.bus.subscribe(subject, ({ data }) => this.#learn(data));
    this.#slotMs = deps.config.settings.POSITIONS_MS / SLOTS;
    this.#cancelTick = deps.clock.after(this.#slotMs, () => this.#tick());
  }

  stop(): void {
    this.#cancelTick();
    this.#unsubscribe();
  }

  #learn(data: Uint8Array): void {
    const message = streamMessages.decode(data);
    if (message?.type !== "positions") return;
    const { shard, epoch } = message;
    if (!this.#deps.fence.admits(shard as ShardId, epoch as Epoch)) {
      this.#deps.metrics.fenced.inc({ what: "positions" });
      return;
    }
    for (const { courier, at, lng, lat } of message.positions) {
      if (at > 0) this.#whereabouts.learn({ courier, at, lng, lat });
    }
  }

  #tick(): void {
    this.#slot = (this.#slot + 1) % SLOTS;
    const now = this.#deps.clock.now();
    /** Most sessions follow one delivery, and many the same one: encoded once. */
    const encoded = new Map<DeliveryId, Uint8Array>();
    for (const session of this.#tracking.sessions()) {
      if (hash32(session) % SLOTS === this.#slot) this.#sendTo(session, now, encoded);
    }
    this.#cancelTick = this.#deps.clock.after(this.#slotMs, () => this.#tick());
  }

  #sendTo(session: SessionId, now: Millis, encoded: Map<DeliveryId, Uint8Array>): void {
    const items: PositionItem[] = [];
    const moved: Follower[] = [];
    for (const followed of this.#tracking.ofSession(session)) {
      const follower = followed.followers.get(session);
      if (follower === undefined) continue;
      const item = this.#itemFor(followed, follower, now);
      if (item === null) continue;
      items.push(item);
      moved.push(follower);
    }
    const first = items[0];
    if (first === undefined) return;
    let bytes = items.length === 1 ? encoded.get(first.delivery) : undefined;
    if (bytes === undefined) {
      bytes = serverFrames.encode({ type: "positions", positions: items });
      if (items.length === 1) encoded.set(first.delivery, bytes);
    }
    // Skipped, not queued: the next second brings whatever is newest then.
    if (moved[0]?.link.offer(bytes) !== true) return;
    moved.forEach((follower, i) => {
      follower.positionAt = items[i]?.at ?? follower.positionAt;
    });
  }

  /** Where the courier of a followed delivery is, if that is news and theirs to know. */
  #itemFor(followed: Followed, follower: Follower, now: Millis): PositionItem | null {
    const { row } = followed;
    if (row === null || row.courierId === null) return null;
    const position = this.#whereabouts.latest(row.courierId);
    if (position === null || position.at <= follower.positionAt) return null;
    if (!allowed(follower.link.principal, "position", row, now)) return null;
    const { lng, lat, at } = position;
    return { delivery: followed.id, lng, lat, at, ageMs: Math.max(0, now - at) };
  }
}
