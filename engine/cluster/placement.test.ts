import { describe, expect, it } from "vitest";
import type { Epoch, NodeId, ShardId } from "../../proto/ids.ts";
import { newMembership, stepMembership } from "./membership.ts";
import type { Membership, Phase } from "./membership.ts";
import { STANDBY } from "./ownership.ts";
import type { ShardState } from "./ownership.ts";
import { place } from "./placement.ts";
import { rank } from "./shards.ts";

const TIMES = { beatMs: 100, suspectMs: 500, settleMs: 1_000 };
const ME = "node_me" as NodeId;
const PEER = "node_peer" as NodeId;
const NOW = 100_000;
const SHARDS = Array.from({ length: 16 }, (_, shard) => shard as ShardId);
/** A shard that falls to me, and one that falls to the peer, when both are there. */
const MINE = SHARDS.find((shard) => rank(shard, [ME, PEER])[0] === ME)!;
const THEIRS = SHARDS.find((shard) => rank(shard, [ME, PEER])[0] === PEER)!;

type PeerIs = {
  phase: Phase;
  owned?: readonly ShardId[];
  epoch?: number;
  silentMs?: number;
  blockedMs?: number;
};
type Case = {
  shard: ShardId;
  state?: ShardState;
  phase?: Phase;
  peer?: PeerIs;
  known?: number;
  isCutOff?: boolean;
  /** For how long this node can commit; null: it cannot. */
  ableMs?: number | null;
};

function membershipOf({ peer, isCutOff = false }: Case): Membership {
  let state = newMembership(ME, NOW - 5_000);
  if (peer !== undefined) {
    const owned = (peer.owned ?? []).map((shard) => ({ shard, epoch: peer.epoch ?? 5 }));
    const beat = {
      type: "beat",
      node: PEER,
      number: 1,
      phase: peer.phase,
      lagMs: 0,
      owned,
      blocked: peer.blockedMs !== undefined,
    } as const;
    state = stepMembership(state, { type: "beat", beat }, NOW - (peer.silentMs ?? 2_000), TIMES);
  }
  const isSuspect = (peer?.silentMs ?? 0) > 2_000;
  const peers = new Map(
    [...state.peers].map(([node, p]) => [
      node,
      { ...p, isSuspect, blockedSince: blockedSinceOf(peer) },
    ]),
  );
  return { ...state, peers, tickedAt: NOW, echoAt: isCutOff ? NOW - 5_000 : NOW };
}

const blockedSinceOf = (peer: PeerIs | undefined): number | null =>
  peer?.blockedMs === undefined ? null : NOW - peer.blockedMs;

function placed(of: Case): string {
  const { take, handOver, orphans } = place({
    membership: membershipOf(of),
    times: TIMES,
    phase: of.phase ?? "ready",
    shards: [of.shard],
    stateOf: () => of.state ?? STANDBY,
    knownEpoch: () => (of.known ?? 5) as Epoch,
    ableSince: of.ableMs === null ? null : NOW - (of.ableMs ?? 60_000),
    now: NOW,
  });
  if (take.length > 0) return "take";
  if (handOver.length > 0) return `to ${handOver[0]!.to}`;
  return orphans > 0 ? "orphan" : "nothing";
}

const OWNER: ShardState = { at: "owner", epoch: 5 as Epoch };
const joined: PeerIs = { phase: "ready" };
const TABLE: Readonly<Record<string, readonly [Case, string]>> = {
  "alone: takes all": [{ shard: THEIRS }, "take"],
  "starting: takes nothing": [{ shard: MINE, phase: "starting" }, "orphan"],
  "leaving: takes nothing": [{ shard: MINE, phase: "leaving" }, "orphan"],
  "does not hear itself: takes nothing (P2)": [{ shard: MINE, isCutOff: true }, "orphan"],
  "falls to the peer": [{ shard: THEIRS, peer: joined }, "orphan"],
  "falls to me": [{ shard: MINE, peer: joined }, "take"],
  "falls to me, the peer has it: waits (P1)": [
    { shard: MINE, peer: { phase: "ready", owned: [MINE] } },
    "nothing",
  ],
  "the peer claims it under an old epoch: takes": [
    { shard: MINE, peer: { phase: "ready", owned: [MINE], epoch: 4 } },
    "take",
  ],
  "the peer had it and is silent: takes": [
    { shard: THEIRS, peer: { phase: "ready", owned: [THEIRS], silentMs: 3_000 } },
    "take",
  ],
  "a starting peer counts not": [{ shard: THEIRS, peer: { phase: "starting" } }, "take"],
  "being taken: nothing to do": [{ shard: MINE, state: { at: "taking" } }, "nothing"],
  "owner, falls to me: keeps": [{ shard: MINE, state: OWNER, peer: joined }, "nothing"],
  "owner, falls to the peer: hands over": [
    { shard: THEIRS, state: OWNER, peer: joined },
    `to ${PEER}`,
  ],
  "owner, the peer came just now: keeps (P3)": [
    { shard: THEIRS, state: OWNER, peer: { phase: "ready", silentMs: 500 } },
    "nothing",
  ],
  "owner, the peer is leaving: keeps": [
    { shard: THEIRS, state: OWNER, peer: { phase: "leaving" } },
    "nothing",
  ],
  "owner that leaves: hands over, to whom it may be": [
    { shard: MINE, state: OWNER, phase: "leaving", peer: { phase: "ready", silentMs: 100 } },
    `to ${PEER}`,
  ],
  "owner that leaves, nobody there: keeps until the end": [
    { shard: MINE, state: OWNER, phase: "leaving" },
    "nothing",
  ],
  "the owner has been unable to commit for a while: takes (P4)": [
    { shard: THEIRS, peer: { phase: "ready", owned: [THEIRS], blockedMs: 2_000 } },
    "take",
  ],
  "the owner cannot commit just now: waits (P4)": [
    { shard: THEIRS, peer: { phase: "ready", owned: [THEIRS], blockedMs: 1_900 } },
    "nothing",
  ],
  "the owner cannot commit, and I only just can again: waits (P4)": [
    { shard: THEIRS, ableMs: 1_900, peer: { phase: "ready", owned: [THEIRS], blockedMs: 9_000 } },
    "nothing",
  ],
  "nobody can commit: all keep what they have": [
    { shard: THEIRS, ableMs: null, peer: { phase: "ready", owned: [THEIRS], blockedMs: 9_000 } },
    "nothing",
  ],
  "nobody can commit, and nobody has it: tries": [
    { shard: THEIRS, ableMs: null, peer: { phase: "ready", blockedMs: 9_000 } },
    "take",
  ],
  "I cannot commit, the peer can: it takes, not I": [
    { shard: MINE, ableMs: null, peer: joined },
    "orphan",
  ],
  "owner that cannot commit: hands nothing over": [
    { shard: THEIRS, state: OWNER, ableMs: null, peer: joined },
    "nothing",
  ],
  "owner, the peer cannot commit: keeps": [
    { shard: THEIRS, state: OWNER, peer: { phase: "ready", blockedMs: 5_000 } },
    "nothing",
  ],
  "owner that leaves, the peer cannot commit: keeps until the end": [
    { shard: MINE, state: OWNER, phase: "leaving", peer: { phase: "ready", blockedMs: 100 } },
    "nothing",
  ],
  "yielding: nothing to do": [
    { shard: THEIRS, state: { at: "yielding", epoch: 5 as Epoch }, peer: joined },
    "nothing",
  ],
};

describe("what a node does about a shard", () => {
  for (const [name, [of, outcome]] of Object.entries(TABLE)) {
    it(name, () => expect(placed(of)).toBe(outcome));
  }
});
