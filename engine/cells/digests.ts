/**
 * Whether followers have folded what the owner has: owners tell a digest of each shard with the
 * number of its last batch, and a follower that stands at the same number compares. Numbers show a
 * batch that was lost; a digest shows everything else (a bug, a record dropped on the way in). Only
 * couriers on shift count: the others are no candidates, and whoever joined late need not know
 * them.
 */
import type { CourierId, NodeId, ShardId } from "../../proto/ids.ts";
import { streamMessages } from "../../proto/messages.ts";
import type { CourierRecord } from "../../proto/messages.ts";
import type { Subjects } from "../../proto/subjects.ts";
import type { Bus } from "../io/nats/nats.ts";
import type { FollowState, Replica } from "./replica.ts";
import { hash32 } from "../cluster/shards.ts";

export type Digest = { readonly couriers: number; readonly digest: number };

export type DigestsPorts = {
  readonly bus: Pick<Bus, "publish">;
  readonly subjects: Pick<Subjects, "digest">;
  readonly node: NodeId;
  readonly forEach: (fn: (record: CourierRecord) => void) => void;
  readonly shardOf: (courier: CourierId) => ShardId;
  readonly owned: () => readonly ShardId[];
  readonly replica: Pick<Replica, "flush" | "published" | "followed">;
  /** This follower has folded something else than the owner. */
  readonly onDiffers: (shard: ShardId) => void;
};

const NOTHING: Digest = { couriers: 0, digest: 0 };

const isLater = (a: FollowState, b: FollowState): boolean =>
  a.epoch > b.epoch || (a.epoch === b.epoch && a.number > b.number);

export class Digests {
  readonly #ports: DigestsPorts;
  readonly #behind = new Set<ShardId>();

  constructor(ports: DigestsPorts) {
    this.#ports = ports;
  }

  /** Tells the followers; called every few seconds. */
  publish(): void {
    const { bus, subjects, node, owned, replica } = this.#ports;
    // What waits is in our index already: it must reach the followers first.
    replica.flush();
    const all = this.#compute();
    const shards = owned().flatMap((shard) => {
      const last = replica.published(shard);
      return last === null ? [] : [{ shard, ...last, ...(all.get(shard) ?? NOTHING) }];
    });
    if (shards.length === 0) return;
    bus.publish(subjects.digest, streamMessages.encode({ type: "digest", node, shards }));
  }

  /**
   * Shards in which this follower was behind, or had something else, when their owners last said
   * how they stand.
   */
  behind(): number {
    return this.#behind.size;
  }

  /**
   * From an owner: behind it, something was lost (it said the batches before the digest); at the
   * same number, compared.
   */
  receive(data: Uint8Array): void {
    const message = streamMessages.decode(data);
    const { node, replica, onDiffers } = this.#ports;
    if (message?.type !== "digest" || message.node === node) return;
    let all: ReadonlyMap<ShardId, Digest> | null = null;
    for (const { shard, epoch, number, couriers, digest } of message.shards) {
      this.#behind.delete(shard as ShardId);
      const followed = replica.followed(shard as ShardId);
      const isAhead = followed !== null && isLater(followed, { epoch, number });
      if (isAhead) continue;
      all ??= this.#compute();
      const own = all.get(shard as ShardId) ?? NOTHING;
      const isAtIt = followed !== null && !isLater({ epoch, number }, followed);
      if (isAtIt && own.couriers === couriers && own.digest === digest) continue;
      this.#behind.add(shard as ShardId);
      onDiffers(shard as ShardId);
    }
  }

  #compute(): ReadonlyMap<ShardId, Digest> {
    const all = new Map<ShardId, { couriers: number; digest: number }>();
    this.#ports.forEach(({ courier, no, online }) => {
      if (!online) return;
      const shard = this.#ports.shardOf(courier);
      let of = all.get(shard);
      if (of === undefined) all.set(shard, (of = { couriers: 0, digest: 0 }));
      of.couriers += 1;
      of.digest = (of.digest ^ hash32(`${courier} ${no}`)) >>> 0;
    });
    return all;
  }
}
