/**
 * A shard's life on this node, as a pure machine, and the shell around it that asks Postgres for epochs and listens on the
 * subjects of what it owns. Being the owner here is a belief: every decision is conditional on the epoch in the store
 * (D8), and the first `fenced` ends the belief.
 *
 *   standby --take--> taking --taken--> owner --yield--> yielding --yielded--> standby
 *      ^                 |               |                  |
 *      +-----failed------+----fenced-----+------fenced------+
 *
 *  O1  Only an owner listens; an owner or one that yields may write.
 *  O2  An epoch never goes back: a late or repeated answer with a lower one changes nothing.
 */
import type { Epoch, ShardId } from "../proto/ids.ts";
import type { ActorWrite, WriteOutcome } from "../proto/writes.ts";
import type { Unsubscribe } from "./io/nats.ts";
import type { Store } from "./store/port.ts";

export type ShardState =
  | { readonly at: "standby" }
  | { readonly at: "taking" }
  | { readonly at: "owner"; readonly epoch: Epoch }
  | { readonly at: "yielding"; readonly epoch: Epoch };

export type ShardEvent =
  | { readonly type: "take" }
  | { readonly type: "taken"; readonly epoch: Epoch }
  | { readonly type: "failed" }
  | { readonly type: "fenced" }
  | { readonly type: "yield" }
  | { readonly type: "yielded" };

export const STANDBY: ShardState = { at: "standby" };
const TAKING: ShardState = { at: "taking" };

/** Total over state and event; what does not apply gives the very same state. */
export function nextShardState(state: ShardState, event: ShardEvent): ShardState {
  switch (state.at) {
    case "standby":
      return event.type === "take" ? TAKING : state;
    case "taking":
      if (event.type === "taken") return { at: "owner", epoch: event.epoch };
      return event.type === "failed" || event.type === "yield" ? STANDBY : state;
    case "owner":
      if (event.type === "taken" && event.epoch > state.epoch)
        return { at: "owner", epoch: event.epoch };
      if (event.type === "yield") return { at: "yielding", epoch: state.epoch };
      return event.type === "fenced" ? STANDBY : state;
    case "yielding":
      return event.type === "fenced" || event.type === "yielded" ? STANDBY : state;
  }
}

export type OwnershipPorts = {
  readonly node: string;
  readonly store: Pick<Store, "takeShards" | "shardOwners" | "write">;
  /** Begins to listen on the subjects of a shard. */
  readonly listen: (shard: ShardId) => Unsubscribe;
};

export class Ownership {
  readonly #ports: OwnershipPorts;
  readonly #states = new Map<ShardId, ShardState>();
  readonly #listening = new Map<ShardId, Unsubscribe>();

  constructor(ports: OwnershipPorts) {
    this.#ports = ports;
  }

  /** Takes these shards with new epochs, whoever had them. Rejects when the store is away; then nothing is taken. */
  async take(shards: readonly ShardId[]): Promise<void> {
    for (const shard of shards) this.#on(shard, { type: "take" });
    try {
      const { store, node } = this.#ports;
      const known = new Map((await store.shardOwners()).map((owner) => [owner.shard, owner.epoch]));
      const expected = new Map(shards.map((shard) => [shard, known.get(shard) ?? 0] as const));
      const epochs = await store.takeShards(node, expected);
      for (const [shard, epoch] of epochs) this.#on(shard, { type: "taken", epoch });
    } finally {
      for (const shard of shards) {
        if (this.#stateOf(shard).at === "taking") this.#on(shard, { type: "failed" });
      }
    }
  }

  /** Begins to listen on all owned shards: their actors are ready (O1). */
  listen(): void {
    for (const shard of this.owned()) {
      if (!this.#listening.has(shard)) this.#listening.set(shard, this.#ports.listen(shard));
    }
  }

  /** Stops listening everywhere; writes of what is under way still pass. */
  yieldAll(): void {
    for (const shard of this.owned()) this.#on(shard, { type: "yield" });
  }

  /** A newer owner exists. */
  fenced(shard: ShardId): void {
    this.#on(shard, { type: "fenced" });
  }

  owns(shard: ShardId): boolean {
    return this.#stateOf(shard).at === "owner";
  }

  owned(): ShardId[] {
    return [...this.#states.keys()].filter((shard) => this.owns(shard));
  }

  /** The epoch under which this node may decide for the shard, null when it may not. */
  epochOf(shard: ShardId): Epoch | null {
    const state = this.#stateOf(shard);
    return state.at === "owner" || state.at === "yielding" ? state.epoch : null;
  }

  /** The host's `write`: under our epoch, or not at all. */
  write(write: ActorWrite, shard: ShardId): Promise<WriteOutcome> {
    const epoch = this.epochOf(shard);
    if (epoch === null) return Promise.resolve({ outcome: "fenced" });
    return this.#ports.store.write(write, shard, epoch);
  }

  #stateOf(shard: ShardId): ShardState {
    return this.#states.get(shard) ?? STANDBY;
  }

  #on(shard: ShardId, event: ShardEvent): void {
    const next = nextShardState(this.#stateOf(shard), event);
    this.#states.set(shard, next);
    if (next.at === "owner") return;
    this.#listening.get(shard)?.();
    this.#listening.delete(shard);
  }
}
