/**
 * Who is alive, as one node sees it: a pure fold of the heartbeats that it hears and of its own
 * ticks. Nobody votes; every node judges by what reaches itself, because losing a common table must
 * never end healthy nodes (NATS.md, section 1).
 *
 *              beat                 silence > suspectMs
 *   unheard ----------> alive(since) ------------------> suspect
 *                         ^   |                             |
 *                         |   | last beat of a stop         | beat: alive anew, since now
 *                         +---|-----------------------------+
 *                             v
 *                           gone   (forgotten after a while, like a suspect)
 *
 * M1  Time in which the observer itself stood still does not count as silence of others.
 * M2  Who does not hear its own beats suspects nobody: it is the one that is cut off.
 * M3  Beats of one node are taken in the order of their numbers; an older one changes nothing.
 * M4  A peer that says it cannot commit is alive, and counts for nothing that needs Postgres.
 */
import type { Epoch, Millis, NodeId, ShardId } from "../../proto/ids.ts";
import type { StreamMessageOf } from "../../proto/messages.ts";

export type Beat = StreamMessageOf<"beat">;
/**
 * `starting`: follows, but does not count yet; `ready`: may own; `leaving`: hands over; `gone`: its
 * last beat.
 */
export type Phase = Beat["phase"];

export type Peer = {
  readonly node: NodeId;
  readonly number: number;
  readonly phase: Phase;
  readonly heardAt: Millis;
  /** Heard without a break since then. */
  readonly aliveSince: Millis;
  readonly isSuspect: boolean;
  /** Since when it says without a break that it cannot commit; null: it can. */
  readonly blockedSince: Millis | null;
  /** Shards that it says it owns. */
  readonly owned: ReadonlyMap<ShardId, Epoch>;
};

export type Membership = {
  readonly self: NodeId;
  readonly startedAt: Millis;
  readonly tickedAt: Millis;
  /** Own beat heard last; the start before the first. */
  readonly echoAt: Millis;
  /** How late the last tick came, milliseconds: the lag of this node's own loop. */
  readonly lagMs: number;
  readonly peers: ReadonlyMap<NodeId, Peer>;
};

export type MembershipTimes = {
  /** Between two ticks (and two beats). */
  readonly beatMs: number;
  /** Silence after which a node is suspected. */
  readonly suspectMs: number;
};

export type MembershipEvent =
  | { readonly type: "beat"; readonly beat: Beat }
  | { readonly type: "tick" };

/** A silent peer is forgotten after so many times the suspicion: its name does not come back. */
const FORGET_AFTER = 20;

export const newMembership = (self: NodeId, now: Millis): Membership => ({
  self,
  startedAt: now,
  tickedAt: now,
  echoAt: now,
  lagMs: 0,
  peers: new Map(),
});

/** Total over state and event. */
export function stepMembership(
  state: Membership,
  event: MembershipEvent,
  now: Millis,
  times: MembershipTimes,
): Membership {
  return event.type === "tick" ? onTick(state, now, times) : onBeat(state, event.beat, now);
}

function onBeat(state: Membership, beat: Beat, now: Millis): Membership {
  if (beat.node === state.self) return { ...state, echoAt: Math.max(state.echoAt, now) };
  const known = state.peers.get(beat.node);
  if (known !== undefined && beat.number <= known.number) return state;
  const isBlocked = beat.blocked === true;
  const wasBlocked = known !== undefined && known.blockedSince !== null;
  // Whoever can commit again is as new as one who came back from silence: it is given nothing at
  // once (M4).
  const isBack = known === undefined || known.isSuspect || (wasBlocked && !isBlocked);
  const peer: Peer = {
    node: beat.node,
    number: beat.number,
    phase: beat.phase,
    heardAt: now,
    aliveSince: isBack ? now : known.aliveSince,
    isSuspect: false,
    blockedSince: isBlocked ? (isBack ? now : (known.blockedSince ?? now)) : null,
    owned: new Map(beat.owned.map(({ shard, epoch }) => [shard as ShardId, epoch as Epoch])),
  };
  return { ...state, peers: new Map(state.peers).set(beat.node, peer) };
}

function onTick(state: Membership, now: Millis, times: MembershipTimes): Membership {
  // A clock that was set back must not make everybody look late.
  const passed = Math.max(0, now - state.tickedAt);
  const lagMs = Math.max(0, passed - times.beatMs);
  const echoAt = state.echoAt + lagMs;
  const ticked = { ...state, tickedAt: now, lagMs, echoAt };
  const isCutOff = now - echoAt > times.suspectMs;
  const peers = new Map<NodeId, Peer>();
  for (const peer of state.peers.values()) {
    const heardAt = peer.heardAt + lagMs;
    const silentMs = now - heardAt;
    if (silentMs > times.suspectMs * FORGET_AFTER) continue;
    const isSilent = !isCutOff && silentMs > times.suspectMs && peer.phase !== "gone";
    const isSuspect = peer.isSuspect || isSilent;
    peers.set(peer.node, { ...peer, heardAt, isSuspect });
  }
  return { ...ticked, peers };
}

/** Whether this node hears itself, as it must to believe what it does not hear of others (M2). */
export const isConnected = (state: Membership, times: MembershipTimes): boolean =>
  state.tickedAt - state.echoAt <= times.suspectMs;

/** Peers that may own shards now: alive, ready, and able to commit. */
export const ablePeers = (state: Membership): readonly Peer[] =>
  alivePeers(state).filter((peer) => peer.phase === "ready" && peer.blockedSince === null);

/** Peers that are neither suspected nor gone. */
export const alivePeers = (state: Membership): readonly Peer[] =>
  [...state.peers.values()].filter((peer) => !peer.isSuspect && peer.phase !== "gone");
