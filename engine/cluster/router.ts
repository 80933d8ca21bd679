/**
 * Brings messages to actors: into this node's host when it owns their shard, else over NATS to
 * whoever does, batched by shard. It checks ids on the way in, because an id becomes part of
 * subjects and of the choice of a shard. A message for a shard that nobody owns is lost here; the
 * sweep and the senders' own retries make up for it.
 */
import type { ShardId } from "../../proto/ids.ts";
import { SHARD_MESSAGES_MAX } from "../../proto/limits.ts";
import { streamMessages } from "../../proto/messages.ts";
import { decodeLetters, encodeLetters } from "../../proto/posts.ts";
import type { ActorKey, Letter, Origin, Posted } from "../../proto/posts.ts";
import type { Subjects } from "../../proto/subjects.ts";
import type { HostMessage, Reply } from "../host/ports.ts";
import type { Clock } from "../io/clock.ts";
import type { Bus, BusMessage } from "../io/nats/nats.ts";
import { shardOfActor } from "./shards.ts";

export type RouterCount =
  /** Bytes that are no list of messages, or messages of an unknown form. */
  | "malformed"
  /** The id is not one of its kind, or lives in another shard than the subject says. */
  | "misrouted"
  /** From an owner whose time is over (D8). */
  | "stale"
  /** Not sent: the connection is down, or too much waits for one shard. */
  | "dropped";

export type RouterPorts = {
  readonly clock: Clock;
  readonly bus: Bus;
  readonly subjects: Subjects;
  readonly shards: number;
  readonly shardResolution: number;
  readonly owns: (shard: ShardId) => boolean;
  /** False when the epoch is an old one; a higher one is taken note of. */
  readonly see: (origin: Origin) => boolean;
  readonly deliver: (key: ActorKey, shard: ShardId, message: HostMessage, reply?: Reply) => void;
  readonly onCount: (what: RouterCount, messages: number) => void;
};

/**
 * Messages that may wait for one shard until the next flush; a flush follows within the same turn.
 */
const WAITING_MAX_MSGS = 20_000;

export class Router {
  readonly #ports: RouterPorts;
  readonly #waiting = new Map<ShardId, Letter[]>();
  #scheduled = false;

  constructor(ports: RouterPorts) {
    this.#ports = ports;
  }

  /** From an actor of this node; `origin`: what its shard is owned under. */
  send(post: Posted, origin: Origin | null): void {
    const { kind, id, msg } = post;
    const shard = this.shardOf(kind, id);
    if (shard === null) return this.#ports.onCount("misrouted", 1);
    if (this.#ports.owns(shard)) return this.#ports.deliver({ kind, id }, shard, msg);
    this.#sendAway(shard, { post, origin });
  }

  /** From outside, on the subject of an owned shard. A request carries exactly one message. */
  receive(shard: ShardId, incoming: BusMessage): void {
    const decoded = decodeLetters(incoming.data);
    const { letters, refused } = decoded ?? { letters: [], refused: 1 };
    if (refused > 0) this.#ports.onCount("malformed", refused);
    const reply = incoming.wantsAnswer ? replyTo(incoming) : undefined;
    if (reply !== undefined && (letters.length !== 1 || refused > 0)) {
      return reply("bad_request", null);
    }
    for (const { post, origin } of letters) {
      const { kind, id, msg } = post;
      if (origin !== null && !this.#ports.see(origin)) {
        this.#ports.onCount("stale", 1);
        continue;
      }
      if (this.shardOf(kind, id) === shard) {
        this.#ports.deliver({ kind, id }, shard, msg, reply);
        continue;
      }
      this.#ports.onCount("misrouted", 1);
      reply?.("bad_request", null);
    }
  }

  /** The shard of an actor; null when the id is not one of its kind. */
  shardOf(kind: ActorKey["kind"], id: string): ShardId | null {
    return shardOfActor(kind, id, this.#ports.shards, this.#ports.shardResolution);
  }

  #sendAway(shard: ShardId, letter: Letter): void {
    let waiting = this.#waiting.get(shard);
    if (waiting === undefined) this.#waiting.set(shard, (waiting = []));
    if (waiting.length >= WAITING_MAX_MSGS) return this.#ports.onCount("dropped", 1);
    waiting.push(letter);
    if (this.#scheduled) return;
    this.#scheduled = true;
    this.#ports.clock.soon(() => this.flush());
  }

  /** Sends what waits for other nodes. */
  flush(): void {
    this.#scheduled = false;
    const { bus, subjects, onCount } = this.#ports;
    for (const [shard, letters] of this.#waiting) {
      for (let from = 0; from < letters.length; from += SHARD_MESSAGES_MAX) {
        const part = letters.slice(from, from + SHARD_MESSAGES_MAX);
        if (!bus.publish(subjects.shard(shard), encodeLetters(part)))
          onCount("dropped", part.length);
      }
    }
    this.#waiting.clear();
  }
}

const replyTo =
  (incoming: BusMessage): Reply =>
  (code, online) =>
    incoming.respond(streamMessages.encode({ type: "answer", code, online }));
