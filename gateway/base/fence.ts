/**
 * Whose word counts: the newest epoch seen of each shard. What comes under an older one is from an
 * owner whose time is over and who does not know it yet (D8).
 */
import type { Epoch, ShardId } from "../../proto/ids.ts";

export class Fence {
  readonly #newest = new Map<ShardId, Epoch>();

  /**
   * False for what is older than the newest known of that shard. Numbers of shards come from our
   * own nodes.
   */
  admits(shard: ShardId, epoch: Epoch): boolean {
    const newest = this.#newest.get(shard);
    if (newest !== undefined && epoch < newest) return false;
    if (newest !== epoch) this.#newest.set(shard, epoch);
    return true;
  }
}
