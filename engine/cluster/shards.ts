/**
 * Which shard a thing lives in, and which node should own a shard. Both are pure functions of their
 * arguments, the same in every process and for ever: the shard of a pickup is part of the
 * delivery's id, and couriers are found by theirs. Changing a hash or SHARD_RESOLUTION means a new
 * cluster; the vectors in the test pin both.
 */
import { cellOf, shardCell } from "../../actors/geo.ts";
import type { LngLat } from "../../proto/geo.ts";
import { isCarrierId, isDeliveryId, shardOfDelivery } from "../../proto/ids.ts";
import type { CellId, CourierId, ShardId } from "../../proto/ids.ts";
import { DISPATCH_DEFAULTS } from "../../proto/limits.ts";
import type { Kind } from "../../proto/posts.ts";

/** An H3 cell index in hexadecimal: mode 1, resolution 0 to 15. */
const CELL_PATTERN = /^8[0-9a-f]{14}$/;

/**
 * FNV-1a with 32 bits (Fowler, Noll, Vo) over UTF-16 units, followed by the finalizer of
 * MurmurHash3 (A. Appleby), because the low bits of FNV alone are poor on names that differ only at
 * their end. All our keys are ASCII, for which units and bytes are the same.
 */
export function hash32(text: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
}

/**
 * Spreads evenly over `shards` without the division's bias mattering (2^32 is far above
 * SHARDS_MAX).
 */
const toShard = (hash: number, shards: number): ShardId => (hash % shards) as ShardId;

/** The shard of a cell and of every delivery picked up in it. Throws on what is not a cell. */
export const shardOfCell = (
  cell: CellId,
  shards: number,
  resolution: number = DISPATCH_DEFAULTS.SHARD_RESOLUTION,
): ShardId => toShard(hash32(shardCell(cell, resolution)), shards);

/**
 * The shard of a pickup. By way of its cell, because a point may lie in a cell without lying in
 * that cell's parent: H3 cells do not tile their parents exactly.
 */
export const shardOfPoint = (
  point: LngLat,
  shards: number,
  cellResolution: number = DISPATCH_DEFAULTS.CELL_RESOLUTION,
  shardResolution: number = DISPATCH_DEFAULTS.SHARD_RESOLUTION,
): ShardId => shardOfCell(cellOf(point, cellResolution), shards, shardResolution);

/** The shard of a courier; it never moves. */
export const shardOfCourier = (courier: CourierId, shards: number): ShardId =>
  toShard(hash32(courier), shards);

/** The shard of any actor, or null when the id is not one of that kind. */
export function shardOfActor(
  kind: Kind,
  id: string,
  shards: number,
  resolution: number = DISPATCH_DEFAULTS.SHARD_RESOLUTION,
): ShardId | null {
  switch (kind) {
    case "delivery": {
      if (!isDeliveryId(id)) return null;
      const shard = shardOfDelivery(id);
      return shard < shards ? shard : null;
    }
    case "courier":
      return isCarrierId(id) ? shardOfCourier(id, shards) : null;
    case "cell":
      return CELL_PATTERN.test(id) ? shardOfCell(id as CellId, shards, resolution) : null;
  }
}

/**
 * Rendezvous hashing (Thaler and Ravishankar, 1998): all nodes, the one that should own the shard
 * first, the next two its standbys. Every process computes the same, in whatever order it knows the
 * nodes; when a node goes or comes, only its own shards move.
 */
export function rank(shard: ShardId, nodes: readonly string[]): string[] {
  return nodes
    .map((node) => ({ node, weight: hash32(`${shard}/${node}`) }))
    .sort((a, b) => b.weight - a.weight || (a.node < b.node ? -1 : 1))
    .map(({ node }) => node);
}
