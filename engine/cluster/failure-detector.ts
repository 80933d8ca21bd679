/**
 * The heartbeat of a node: it beats, listens to the others' beats, and says what to take and what
 * to hand over (`place`). It is also where a node doubts itself. When its own beats do not come
 * back, or its loop stood still for longer than the others would wait, somebody may have taken its
 * shards: its actors are paused until the epochs were read again. If Postgres cannot be asked
 * either they go on, because nobody can have taken anything, and every decision is conditional on
 * the epoch all the same. So with all of NATS away the owners carry on.
 */
import type { Epoch, Millis, NodeId, ShardId } from "../../proto/ids.ts";
import { streamMessages } from "../../proto/messages.ts";
import type { Subjects } from "../../proto/subjects.ts";
import { repeat } from "../io/clock.ts";
import type { Clock } from "../io/clock.ts";
import type { Bus, BusMessage, Unsubscribe } from "../io/nats/nats.ts";
import { FITNESS_PROBE_MS } from "../../proto/limits.ts";
import { newFitness, stepFitness } from "./fitness.ts";
import type { Fitness, FitnessEvent } from "./fitness.ts";
import { ablePeers, alivePeers, isConnected, newMembership, stepMembership } from "./membership.ts";
import type { Membership, MembershipEvent, Phase } from "./membership.ts";
import type { Ownership } from "./ownership.ts";
import { place } from "./placement.ts";

export type FailureDetectorPorts = {
  readonly clock: Clock;
  readonly bus: Pick<Bus, "publish" | "subscribe">;
  readonly subjects: Pick<Subjects, "beat">;
  readonly self: NodeId;
  readonly shards: readonly ShardId[];
  readonly times: {
    readonly beatMs: number;
    readonly suspectMs: number;
    readonly settleMs: number;
  };
  readonly ownership: Ownership;
  /** Asks Postgres whether it takes a write from this node. Rejects when it does not; may hang. */
  readonly probe: () => Promise<void>;
  /** Whether this node can commit has changed. */
  readonly onFitness: (isAble: boolean) => void;
  /** Takes and serves these shards; its failures are its own. */
  readonly take: (shards: readonly ShardId[]) => Promise<void>;
  /** Gives these up in order. */
  readonly handOver: (shards: readonly ShardId[]) => Promise<void>;
  readonly pause: () => void;
  readonly resume: () => void;
  readonly onSuspect: (node: NodeId, isSuspect: boolean) => void;
  readonly onDoubt: (why: "stalled" | "unheard", error: unknown) => void;
};

/** How long actors wait at most for the epochs to be read again. */
const VERIFY_MAX_MS = 300;

export class FailureDetector {
  readonly #ports: FailureDetectorPorts;
  #membership: Membership;
  #phase: Phase = "starting";
  #number = 0;
  #orphans = 0;
  #isVerifying = false;
  #verifiedAt: Millis;
  #fitness: Fitness;
  #isProbing = false;
  #probedAt: Millis;
  #unsubscribe: Unsubscribe = () => undefined;
  #stopTicks: () => Promise<void> = () => Promise.resolve();

  constructor(ports: FailureDetectorPorts) {
    this.#ports = ports;
    const now = ports.clock.now();
    this.#membership = newMembership(ports.self, now);
    this.#verifiedAt = now;
    this.#fitness = newFitness(now);
    this.#probedAt = now;
  }

  /** Begins to beat and to listen; owns nothing before `becomeReady`. */
  start(): void {
    const { clock, bus, subjects, times } = this.#ports;
    this.#unsubscribe = bus.subscribe(subjects.beat, (message) => this.#onBeat(message));
    this.#stopTicks = repeat(clock, times.beatMs, () => this.#tick());
    this.beat();
  }

  /** From now on it counts: it takes what falls to it. */
  becomeReady(): void {
    this.#phase = "ready";
    this.#act();
    this.beat();
  }

  /** From now on it hands over what it has. */
  leave(): void {
    this.#phase = "leaving";
    this.beat();
    this.#act();
  }

  /** The last beat: others need not wait for silence. */
  async stop(): Promise<void> {
    await this.#stopTicks();
    this.#unsubscribe();
    this.#phase = "gone";
    this.beat();
  }

  /** Says at once how things stand; otherwise the next tick does. */
  beat(): void {
    const { bus, subjects, self, ownership } = this.#ports;
    const owned = this.#ports.shards.flatMap((shard) => {
      const epoch = ownership.epochOf(shard);
      return epoch === null ? [] : [{ shard, epoch }];
    });
    const lagMs = Math.round(this.#membership.lagMs);
    const blocked = this.#fitness.at === "unable";
    const beat = { node: self, number: ++this.#number, phase: this.#phase, lagMs, owned, blocked };
    bus.publish(subjects.beat, streamMessages.encode({ type: "beat", ...beat }));
  }

  /** Live nodes that are ready, this one not among them. */
  readyPeers(): readonly NodeId[] {
    return alivePeers(this.#membership)
      .filter((peer) => peer.phase === "ready")
      .map((peer) => peer.node);
  }

  /** Shards that no live node claims and that other nodes should take. */
  orphans(): number {
    return this.#orphans;
  }

  /** Milliseconds by which the last tick was late. */
  lagMs(): number {
    return this.#membership.lagMs;
  }

  /** Whether nothing is left to take, neither by this node nor by others. */
  isSettled(): boolean {
    const { shards, ownership } = this.#ports;
    const placement = this.#place();
    const isTaking = shards.some((shard) => ownership.stateOf(shard).at === "taking");
    return !isTaking && placement.take.length === 0 && placement.orphans === 0;
  }

  #tick(): void {
    const { times, clock } = this.#ports;
    this.#fold({ type: "tick" });
    this.#feel({ type: "tick", lagMs: this.#membership.lagMs, othersCan: this.#othersCan() });
    if (clock.now() - this.#probedAt >= FITNESS_PROBE_MS) void this.#probe();
    const isStalled = this.#membership.lagMs > times.suspectMs;
    if (isStalled) void this.#verify("stalled");
    else if (!isConnected(this.#membership, times)) {
      if (clock.now() - this.#verifiedAt >= times.suspectMs) void this.#verify("unheard");
    }
    this.beat();
    this.#act();
  }

  #onBeat(message: BusMessage): void {
    const beat = streamMessages.decode(message.data);
    if (beat?.type !== "beat") return;
    const { ownership, self } = this.#ports;
    const before = this.#membership.peers.get(beat.node);
    this.#fold({ type: "beat", beat });
    if (beat.node === self) return;
    for (const { shard, epoch } of beat.owned) ownership.see(shard as ShardId, epoch as Epoch);
    const isNews =
      before?.phase !== beat.phase ||
      before.owned.size !== beat.owned.length ||
      (before.blockedSince !== null) !== (beat.blocked === true);
    if (isNews) this.#act();
  }

  #fold(event: MembershipEvent): void {
    const { clock, times, onSuspect } = this.#ports;
    const before = this.#membership;
    this.#membership = stepMembership(before, event, clock.now(), times);
    if (before === this.#membership) return;
    for (const { node, isSuspect } of this.#membership.peers.values()) {
      const was = before.peers.get(node)?.isSuspect ?? false;
      if (was !== isSuspect) onSuspect(node, isSuspect);
    }
  }

  #place() {
    const { ownership, times, shards, clock } = this.#ports;
    return place({
      membership: this.#membership,
      times,
      phase: this.#phase,
      shards,
      stateOf: (shard) => ownership.stateOf(shard),
      knownEpoch: (shard) => ownership.knownEpoch(shard),
      ableSince: this.#fitness.at === "able" ? this.#fitness.since : null,
      now: clock.now(),
    });
  }

  #othersCan(): boolean {
    return ablePeers(this.#membership).length > 0;
  }

  #feel(event: FitnessEvent): void {
    const before = this.#fitness;
    this.#fitness = stepFitness(before, event, this.#ports.clock.now());
    if (before.at !== this.#fitness.at) this.#ports.onFitness(this.#fitness.at === "able");
  }

  /** One at a time: one that hangs is itself the answer, by the silence that it makes. */
  async #probe(): Promise<void> {
    if (this.#isProbing) return;
    this.#isProbing = true;
    this.#probedAt = this.#ports.clock.now();
    try {
      await this.#ports.probe();
      this.#feel({ type: "answered" });
    } catch {
      this.#feel({ type: "failed" }); // Why is in the log of whatever wanted to write.
    }
    this.#isProbing = false;
  }

  #act(): void {
    if (this.#isVerifying) return;
    const { take, handOver, orphans } = this.#place();
    this.#orphans = orphans;
    if (take.length > 0) void this.#ports.take(take);
    if (handOver.length > 0) void this.#ports.handOver(handOver.map(({ shard }) => shard));
  }

  async #verify(why: "stalled" | "unheard"): Promise<void> {
    if (this.#isVerifying) return;
    const { ownership, clock, pause, resume, onDoubt } = this.#ports;
    this.#isVerifying = true;
    pause();
    let failure: unknown = null;
    try {
      // A database that hangs must not hold the node up for longer than one that is away.
      if (ownership.owned().length > 0) await this.#within(VERIFY_MAX_MS, ownership.refresh());
    } catch (error) {
      failure = error;
    }
    this.#verifiedAt = clock.now();
    this.#isVerifying = false;
    resume();
    onDoubt(why, failure);
  }

  #within(ms: number, work: Promise<void>): Promise<void> {
    return new Promise((resolve, reject) => {
      const cancel = this.#ports.clock.after(ms, resolve);
      work.then(resolve, reject).finally(cancel);
    });
  }
}
