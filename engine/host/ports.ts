/**
 * What the host of actors needs from outside, and what it is told about each kind of actor: types
 * only. The node fills them with Postgres and NATS, the simulator with its fakes, a unit test with
 * arrays.
 */
import type { Actor, Effect, SearchQuery, SearchResult } from "../../actors/actor.ts";
import type { ErrorCode } from "../../proto/errors.ts";
import type { DeliveryId, Millis, ShardId } from "../../proto/ids.ts";
import type { CourierRecord } from "../../proto/messages.ts";
import type { Kind, Posted } from "../../proto/posts.ts";
import type { ActorWrite, WriteOutcome } from "../../proto/writes.ts";
import type { Clock } from "../io/clock.ts";

/**
 * Whatever a step may be given: messages of the wire and those of the host itself (`woke`,
 * `candidates`, ...).
 */
export type HostMessage = { readonly type: string; readonly [field: string]: unknown };

/** Answers a request; called once. */
export type Reply = (code: "ok" | ErrorCode, online: boolean | null) => void;

// oxlint-disable-next-line typescript/no-explicit-any -- a heterogeneous table of actors
export type AnyActor = Actor<any, any>;

/** What the host must know of one kind of actor. States are opaque to it. */
export type KindSpec = {
  /**
   * The actor as the owner of this shard has it: it may depend on the epoch. The host runs all
   * kinds alike; that states and messages fit together is known where a spec is made
   * (`engine/node.ts`).
   */
  readonly actorFor: (shard: ShardId) => AnyActor;
  /** The state before the first message. */
  readonly initial: (id: string) => unknown;
  /**
   * Messages that begin an actor, or begin it anew after it was parked: nothing must be loaded
   * before them.
   */
  readonly begins: (message: HostMessage) => boolean;
  /**
   * The message that tells an actor what is durable of it, given before the one that woke it. It
   * resolves to null when there is no such delivery or courier, and rejects when the store is away
   * (asked again). Null for kinds that keep nothing.
   */
  readonly load: ((id: string) => Promise<HostMessage | null>) | null;
  /** Sees each new state, and null when the actor leaves memory. */
  readonly observe?: (id: string, state: unknown) => void;
};

export type NotifyEffect = Extract<Effect, { do: "notify" }>;
export type HistoryEffect = Extract<Effect, { do: "history" }>;
export type LedgerLines = Extract<Effect, { do: "ledger" }>["lines"];

/** Things worth counting; the names are labels of a metric. */
export type HostCount =
  /** A mailbox or the whole host was full. */
  | "overloaded"
  /** A message for a parked actor. */
  | "parked_message"
  /** A message for a delivery or courier that does not exist. */
  | "unknown_actor"
  /** A step threw. */
  | "threw"
  /** A request that the actor did not answer. */
  | "unanswered"
  /** The actor did not move its deadline when it was woken. */
  | "stuck_deadline"
  /** The store could not be asked; it is tried again. */
  | "store_retry";

export type HostPorts = {
  readonly clock: Clock;
  readonly kinds: Readonly<Record<Kind, KindSpec>>;
  /**
   * Conditional on the shard's epoch. Rejects with DispatchError `unavailable` when it may be tried
   * again.
   */
  readonly write: (write: ActorWrite, shard: ShardId) => Promise<WriteOutcome>;
  /** `from`: the sender's shard. */
  readonly send: (post: Posted, from: ShardId) => void;
  /** Answered at once, in this node. */
  readonly search: (query: SearchQuery, now: Millis) => SearchResult;
  readonly onLedger: (delivery: DeliveryId, lines: LedgerLines, now: Millis) => void;
  readonly onIndex: (record: CourierRecord, shard: ShardId) => void;
  readonly onNotify: (effect: NotifyEffect, from: ShardId) => void;
  readonly onHistory: (effect: HistoryEffect) => void;
  /** A write was recorded: if it made an event, the outbox has work. */
  readonly onRecorded: (write: ActorWrite) => void;
  /** A newer owner exists; the host has dropped all actors of that shard. */
  readonly onFenced: (shard: ShardId) => void;
  readonly onCount: (what: HostCount, kind: Kind) => void;
  readonly onStep: (kind: Kind) => void;
  /** Something for the log: what, the actor's key, the type of the message. Never its content. */
  readonly onTrouble: (what: HostCount, at: TroubleAt, error: unknown) => void;
};

export type TroubleAt = { readonly kind: Kind; readonly id: string; readonly message: string };

export type HostOptions = {
  readonly mailboxMaxMsgs?: number;
  readonly actorsMax?: number;
  /** An actor that has had no message for so long, and says it may, leaves memory. */
  readonly idleMs?: number;
};
