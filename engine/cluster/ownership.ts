/**
 * A shard's life on this node, as a pure machine, and the shell around it that asks Postgres for
 * epochs and listens on the subjects of what it owns. Being the owner here is a belief: every
 * decision is conditional on the epoch in the store (D8), and the first `fenced`, or the first
 * sight of a higher epoch, ends the belief.
 *
 *   standby --take--> taking --taken--> owner --yield--> yielding --yielded--> standby
 *      ^                 |               |                  |
 *      +-----failed------+-fenced, seen--+---fenced, seen---+
 *
 * O1  Only an owner listens; an owner or one that yields may write.
 * O2  An epoch never goes back: a late or repeated answer with a lower one changes nothing.
 * O3  What is not owned is followed, and the other way round.
 */
import type { Epoch, ShardId } from "../../proto/ids.ts";
import type { ActorWrite, WriteOutcome } from "../../proto/writes.ts";
import type { Unsubscribe } from "../io/nats/nats.ts";
import type { Store } from "../store/port.ts";

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
  /** Somebody acts under this epoch. */
  | { readonly type: "seen"; readonly epoch: Epoch }
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
      return isOver(state.epoch, event) ? STANDBY : state;
    case "yielding":
      return event.type === "yielded" || isOver(state.epoch, event) ? STANDBY : state;
  }
}

const isOver = (epoch: Epoch, event: ShardEvent): boolean =>
  event.type === "fenced" || (event.type === "seen" && event.epoch > epoch);

export type OwnershipPorts = {
  readonly node: string;
  readonly store: Pick<Store, "takeShards" | "shardOwners" | "write">;
  /** Begins to listen on the subjects of an owned shard. */
  readonly listen: (shard: ShardId) => Unsubscribe;
  /** Begins to follow the cells of a shard that others own. */
  readonly follow: (shard: ShardId) => Unsubscribe;
  /** The shard is no longer ours, wished or not: its actors must go. */
  readonly onLost: (shard: ShardId) => void;
};

const NEVER_OWNED = 0;

export class Ownership {
  readonly #ports: OwnershipPorts;
  readonly #states = new Map<ShardId, ShardState>();
  readonly #known = new Map<ShardId, Epoch>();
  readonly #listening = new Map<ShardId, Unsubscribe>();
  readonly #following = new Map<ShardId, Unsubscribe>();

  constructor(ports: OwnershipPorts) {
    this.#ports = ports;
  }

  /** Follows all shards: none is owned yet. */
  followAll(shards: readonly ShardId[]): void {
    for (const shard of shards) this.#follow(shard);
  }

  /** Reads all epochs from the store. Rejects when it is away. */
  async refresh(): Promise<void> {
    for (const { shard, epoch } of await this.#ports.store.shardOwners()) this.see(shard, epoch);
  }

  /**
   * Takes those of these shards whose epoch is still the one known here, and gives them. Where
   * somebody else was faster the epochs are read again. Rejects when the store is away; then
   * nothing is taken.
   */
  async take(shards: readonly ShardId[]): Promise<readonly ShardId[]> {
    for (const shard of shards) this.#on(shard, { type: "take" });
    const expected = new Map<ShardId, Epoch | 0>(
      shards.map((shard) => [shard, this.#known.get(shard) ?? NEVER_OWNED]),
    );
    try {
      const taken = await this.#ports.store.takeShards(this.#ports.node, expected);
      for (const [shard, epoch] of taken) {
        this.#know(shard, epoch);
        this.#on(shard, { type: "taken", epoch });
      }
      if (taken.size < shards.length) await this.refresh();
      return [...taken.keys()].filter((shard) => this.owns(shard));
    } finally {
      for (const shard of shards) this.#on(shard, { type: "failed" });
    }
  }

  /** Begins to listen on these shards, where they are owned (O1). */
  listen(shards: readonly ShardId[]): void {
    for (const shard of shards) {
      if (!this.owns(shard) || this.#listening.has(shard)) continue;
      this.#listening.set(shard, this.#ports.listen(shard));
    }
  }

  /** Stops listening on these; writes of what is under way still pass. */
  yield(shards: readonly ShardId[]): void {
    for (const shard of shards) this.#on(shard, { type: "yield" });
  }

  /** Nothing of these is under way any more: they are free to be taken. */
  yielded(shards: readonly ShardId[]): void {
    for (const shard of shards) this.#on(shard, { type: "yielded" });
  }

  /** The store refused a write: a newer owner exists. */
  fenced(shard: ShardId): void {
    this.#on(shard, { type: "fenced" });
  }

  /** Somebody acts under this epoch. False when it is an old one, whose word counts no more. */
  see(shard: ShardId, epoch: Epoch): boolean {
    if (epoch < (this.#known.get(shard) ?? NEVER_OWNED)) return false;
    this.#know(shard, epoch);
    this.#on(shard, { type: "seen", epoch });
    return true;
  }

  /** The highest epoch known; 0: never owned. */
  knownEpoch(shard: ShardId): Epoch | 0 {
    return this.#known.get(shard) ?? NEVER_OWNED;
  }

  owns(shard: ShardId): boolean {
    return this.stateOf(shard).at === "owner";
  }

  owned(): ShardId[] {
    return [...this.#states.keys()].filter((shard) => this.owns(shard));
  }

  /** The epoch under which this node may decide for the shard, null when it may not. */
  epochOf(shard: ShardId): Epoch | null {
    const state = this.stateOf(shard);
    return state.at === "owner" || state.at === "yielding" ? state.epoch : null;
  }

  stateOf(shard: ShardId): ShardState {
    return this.#states.get(shard) ?? STANDBY;
  }

  /** The host's `write`: under our epoch, or not at all. */
  write(write: ActorWrite, shard: ShardId): Promise<WriteOutcome> {
    const epoch = this.epochOf(shard);
    if (epoch === null) return Promise.resolve({ outcome: "fenced" });
    return this.#ports.store.write(write, shard, epoch);
  }

  /** Ends every subscription; for the end of the node. */
  close(): void {
    for (const stop of [...this.#listening.values(), ...this.#following.values()]) stop();
    this.#listening.clear();
    this.#following.clear();
  }

  #know(shard: ShardId, epoch: Epoch): void {
    if (epoch > (this.#known.get(shard) ?? NEVER_OWNED)) this.#known.set(shard, epoch);
  }

  #on(shard: ShardId, event: ShardEvent): void {
    const before = this.stateOf(shard);
    const next = nextShardState(before, event);
    if (next === before) return;
    this.#states.set(shard, next);
    if (next.at !== "owner") this.#stop(this.#listening, shard);
    if (next.at === "owner") this.#stop(this.#following, shard);
    if (next.at !== "standby") return;
    this.#follow(shard);
    if (before.at !== "taking") this.#ports.onLost(shard);
  }

  #follow(shard: ShardId): void {
    if (!this.#following.has(shard)) this.#following.set(shard, this.#ports.follow(shard));
  }

  #stop(subscriptions: Map<ShardId, Unsubscribe>, shard: ShardId): void {
    subscriptions.get(shard)?.();
    subscriptions.delete(shard);
  }
}
