/**
 * Which couriers' positions this gateway needs, and taking them in. Needs are leases at the
 * couriers' shards, renewed, so that a node that restarts or a gateway that dies heals by itself; a
 * courier whom nobody entitled follows is in none.
 */
import { shardOfCourier } from "../../engine/cluster/shards.ts";
import type { CourierId, Epoch, ShardId } from "../../proto/ids.ts";
import { streamMessages } from "../../proto/messages.ts";
import type { Deps } from "../base/deps.ts";
import type { PositionCache } from "../views/position-cache.ts";

const LEASE_TTL_MS = 15_000;
const LEASE_RENEW_MS = 5_000;
/** Changes of the next moment share a message. */
const LEASE_SETTLE_MS = 20;

type PositionDeps = Pick<Deps, "gateway" | "bus" | "subjects" | "clock" | "config">;
type FanOutDeps = PositionDeps & Pick<Deps, "fence" | "metrics">;

/** The couriers whose positions this gateway asks for, by shard. */
export class Leases {
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

/**
 * Takes in the positions that nodes send. Calls `onMoved` for each courier whose newest one this
 * is.
 */
export class Positions {
  readonly #deps: FanOutDeps;
  readonly #positionCache: Pick<PositionCache, "learn">;
  readonly #onMoved: (courier: CourierId) => void;
  readonly #unsubscribe: () => void;

  constructor(
    deps: FanOutDeps,
    positionCache: Pick<PositionCache, "learn">,
    onMoved: (courier: CourierId) => void,
  ) {
    this.#deps = deps;
    this.#positionCache = positionCache;
    this.#onMoved = onMoved;
    const subject = deps.subjects.positions(deps.gateway);
    this.#unsubscribe = deps.bus.subscribe(subject, ({ data }) => this.#learn(data));
  }

  stop(): void {
    this.#unsubscribe();
  }

  #learn(data: Uint8Array): void {
    const message = streamMessages.decode(data);
    if (message?.type !== "moved") return;
    for (const { shard, epoch, positions } of message.parts) {
      if (!this.#deps.fence.admits(shard as ShardId, epoch as Epoch)) {
        this.#deps.metrics.fenced.inc({ what: "positions" });
        continue;
      }
      for (const { courier, at, lng, lat } of positions) {
        if (at > 0 && this.#positionCache.learn({ courier, at, lng, lat })) this.#onMoved(courier);
      }
    }
  }
}
