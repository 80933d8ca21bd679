/**
 * Who should own what, as one node works it out: pure, from the live nodes and what they say they
 * own. Nobody assigns; all nodes compute the same ranks, and where their views differ for a moment
 * the epochs in Postgres decide.
 *
 * P1  A shard that a live node claims is never taken from it: the owner hands it over.
 * P2  Without hearing itself a node takes nothing (it is the one that is cut off).
 * P3  An owner hands over only to a node that has been alive for a while, unless it leaves itself.
 * P4  The one exception to P1: an owner that has said for BLOCKED_KEEPS_MS that it cannot commit
 *     loses its shards to nodes that could all that time. Where nobody can, or only just can again,
 *     everybody keeps what it has.
 */
import type { Epoch, Millis, NodeId, ShardId } from "../../proto/ids.ts";
import { BLOCKED_KEEPS_MS } from "../../proto/limits.ts";
import { ablePeers, alivePeers, isConnected } from "./membership.ts";
import type { Membership, MembershipTimes, Peer, Phase } from "./membership.ts";
import type { ShardState } from "./ownership.ts";
import { rank } from "./shards.ts";

export type PlacementView = {
  readonly membership: Membership;
  readonly times: MembershipTimes & { readonly settleMs: number };
  readonly phase: Phase;
  readonly shards: readonly ShardId[];
  readonly stateOf: (shard: ShardId) => ShardState;
  readonly knownEpoch: (shard: ShardId) => Epoch | 0;
  /** Since when this node can commit without a break; null: it cannot. */
  readonly ableSince: Millis | null;
  readonly now: Millis;
};

export type Placement = {
  readonly take: readonly ShardId[];
  readonly handOver: readonly { readonly shard: ShardId; readonly to: NodeId }[];
  /** Shards that no live node claims and that others should take. */
  readonly orphans: number;
};

/** What this node should do now. */
export function place(view: PlacementView): Placement {
  const { membership, times, phase, shards, stateOf, now, ableSince } = view;
  const ready = ablePeers(membership);
  // Where nobody else can commit either, whoever is not sure of it tries all the same.
  const isFit = phase === "ready" && (ableSince !== null || ready.length === 0);
  const mayTake = isFit && isConnected(membership, times);
  const claimants = alivePeers(membership).filter((peer) => !hasLost(peer, view));
  const nodes = ready.map((peer) => peer.node).concat(isFit ? [membership.self] : []);
  const settled = new Set(
    ready.filter((p) => now - p.aliveSince >= times.settleMs).map((p) => p.node),
  );
  const take: ShardId[] = [];
  const handOver: { shard: ShardId; to: NodeId }[] = [];
  let orphans = 0;
  for (const shard of shards) {
    const { at } = stateOf(shard);
    const first = nodes.length === 1 ? nodes[0] : (rank(shard, nodes)[0] as NodeId | undefined);
    if (at === "standby" && !isClaimed(claimants, shard, view.knownEpoch(shard))) {
      if (mayTake && first === membership.self) take.push(shard);
      else orphans += 1;
    }
    if (at !== "owner" || first === undefined || first === membership.self) continue;
    // What cannot be committed cannot be handed over either; it is taken (P4).
    if (phase === "ready" && ableSince === null) continue;
    if (phase === "leaving" || (phase === "ready" && settled.has(first))) {
      handOver.push({ shard, to: first });
    }
  }
  return { take, handOver, orphans };
}

/** Whether a peer's claims count no more (P4). */
function hasLost({ blockedSince }: Peer, { ableSince, now }: PlacementView): boolean {
  if (blockedSince === null || ableSince === null) return false;
  return now - Math.max(blockedSince, ableSince) >= BLOCKED_KEEPS_MS;
}

const isClaimed = (peers: readonly Peer[], shard: ShardId, known: Epoch | 0): boolean =>
  peers.some((peer) => (peer.owned.get(shard) ?? -1) >= known);
