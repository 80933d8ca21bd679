/**
 * Pings from the door to the couriers' shards: rate-limited for each courier, collected for
 * PING_BATCH_MS, and sent as one message for each shard, so that thousands of pings a second cost
 * tens of messages. Form was checked by the codec or schema; whether a position is believed
 * (sequence, age, speed) is the courier actor's business.
 *
 * A ping is acknowledged when it was handed to NATS. While NATS is away pings are neither kept nor
 * acknowledged: the app keeps them, and the next one heals the position.
 */
import type { Clock } from "../../engine/io/clock.ts";
import { shardOfCourier } from "../../engine/cluster/shards.ts";
import type { PingFrame } from "../../proto/frames.ts";
import type { CourierId, Millis, NodeId, SessionId, ShardId } from "../../proto/ids.ts";
import { PINGS_BURST, PINGS_PER_COURIER_PER_S, SHARD_MESSAGES_MAX } from "../../proto/limits.ts";
import type { Posted } from "../../proto/posts.ts";
import type { Deps } from "../base/deps.ts";
import type { ActorClient } from "./actor-client.ts";
import { RateLimit } from "../access/rate-limit.ts";

export type PingReport = {
  readonly courier: CourierId;
  /** Null over REST: nobody to acknowledge to. */
  readonly session: SessionId | null;
  readonly ping: PingFrame;
  /** False for all but the newest of an offline batch. */
  readonly newest: boolean;
  readonly receivedAt: Millis;
};

/** Told once for each session and batch: all pings up to `seq` were handed on. */
export type OnAcked = (session: SessionId, seq: number) => void;

type ShardBatch = { posts: Posted[]; readonly acks: Map<SessionId, number> };

export class Ingest {
  readonly #gateway: NodeId;
  readonly #actorClient: Pick<ActorClient, "tellShard">;
  readonly #clock: Clock;
  readonly #shards: number;
  readonly #batchMs: number;
  readonly #metrics: Deps["metrics"];
  readonly #onAcked: OnAcked;
  readonly #limit = new RateLimit({ ratePerS: PINGS_PER_COURIER_PER_S, burst: PINGS_BURST });
  readonly #batches = new Map<ShardId, ShardBatch>();
  #cancel: (() => void) | null = null;

  constructor(
    deps: Pick<Deps, "gateway" | "clock" | "config" | "metrics">,
    actorClient: Pick<ActorClient, "tellShard">,
    onAcked: OnAcked,
  ) {
    this.#gateway = deps.gateway;
    this.#actorClient = actorClient;
    this.#clock = deps.clock;
    this.#shards = deps.config.shards;
    this.#batchMs = deps.config.settings.PING_BATCH_MS;
    this.#metrics = deps.metrics;
    this.#onAcked = onAcked;
  }

  /**
   * Takes one ping. 0 when it was taken; otherwise it was refused and may come again after so many
   * seconds.
   */
  take(report: PingReport): number {
    const waitS = this.#limit.take(report.courier, report.receivedAt);
    if (waitS > 0) return this.#refused(1, waitS);
    this.#add(report);
    return 0;
  }

  /**
   * Takes what an app kept while offline, oldest first; all or nothing. Only the newest moves the
   * position.
   */
  takeAll(
    courier: CourierId,
    session: SessionId,
    pings: readonly PingFrame[],
    receivedAt: Millis,
  ): number {
    const waitS = this.#limit.take(courier, receivedAt, pings.length);
    if (waitS > 0) return this.#refused(pings.length, waitS);
    const last = pings.length - 1;
    for (let i = 0; i <= last; i++) {
      const ping = pings[i] as PingFrame;
      this.#add({ courier, session, ping, newest: i === last, receivedAt });
    }
    return 0;
  }

  /** Sends what is collected at once; for the end of the process. */
  flush(): void {
    this.#cancel?.();
    this.#cancel = null;
    for (const shard of this.#batches.keys()) this.#send(shard);
  }

  #refused(count: number, waitS: number): number {
    this.#metrics.pings.inc({ outcome: "limited" }, count);
    return waitS;
  }

  #add({ courier, session, ping, newest, receivedAt }: PingReport): void {
    const shard = shardOfCourier(courier, this.#shards);
    let batch = this.#batches.get(shard);
    if (batch === undefined) {
      batch = { posts: [], acks: new Map() };
      this.#batches.set(shard, batch);
    }
    const { seq, at, lng, lat, accuracyM } = ping;
    const gateway = this.#gateway;
    const report = { gateway, session, seq, at, lng, lat, accuracyM, receivedAt, newest };
    batch.posts.push({ kind: "courier", id: courier, msg: { type: "ping", ...report } });
    if (session !== null) batch.acks.set(session, Math.max(seq, batch.acks.get(session) ?? 0));
    if (batch.posts.length >= SHARD_MESSAGES_MAX) this.#send(shard);
    else this.#cancel ??= this.#clock.after(this.#batchMs, () => this.flush());
  }

  #send(shard: ShardId): void {
    const batch = this.#batches.get(shard);
    if (batch === undefined) return;
    this.#batches.delete(shard);
    const isSent = this.#actorClient.tellShard(shard, batch.posts);
    this.#metrics.pings.inc({ outcome: isSent ? "sent" : "lost" }, batch.posts.length);
    if (!isSent) return;
    for (const [session, seq] of batch.acks) this.#onAcked(session, seq);
  }
}
