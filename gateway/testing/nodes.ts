/**
 * A stand-in for the nodes behind a gateway under test: it speaks the real protocol over the real
 * NATS, and answers as it was told.
 */
import type { Bus } from "../../engine/io/nats/nats.ts";
import type { CourierId } from "../../proto/ids.ts";
import { encodeSessionPosts, streamMessages } from "../../proto/messages.ts";
import { decodePosts } from "../../proto/posts.ts";
import type { CourierRecord, SessionPost, StreamMessage } from "../../proto/messages.ts";
import type { Posted } from "../../proto/posts.ts";
import type { Subjects } from "../../proto/subjects.ts";

/**
 * What nodes would do: hears all messages for actors, answers requests and questions as it was
 * told.
 */
export class FakeNodes {
  readonly posts: Posted[] = [];
  readonly watches: Extract<StreamMessage, { type: "watch" }>[] = [];
  readonly records = new Map<string, CourierRecord>();
  outboxNudges = 0;
  /** Code of the answer to declines and shifts; null: no answer at all. */
  answer: string | null = "ok";
  readonly #bus: Bus;
  readonly #subjects: Subjects;

  constructor(bus: Bus, subjects: Subjects, shards: number, answersFleet = true) {
    this.#bus = bus;
    this.#subjects = subjects;
    bus.subscribe(subjects.outbox, () => void this.outboxNudges++);
    if (answersFleet) {
      bus.subscribe(subjects.fleet, (message) =>
        message.respond(this.#part([...this.records.values()])),
      );
    }
    for (let shard = 0; shard < shards; shard++) {
      bus.subscribe(subjects.shard(shard), (message) => {
        const posts = decodePosts(message.data)?.posts ?? [];
        this.posts.push(...posts);
        const msg = posts[0]?.msg;
        if (!message.wantsAnswer || this.answer === null) return;
        const online = msg?.type === "shift" ? msg.online : null;
        message.respond(streamMessages.encode({ type: "answer", code: this.answer, online }));
      });
      bus.subscribe(subjects.where(shard), (message) => {
        const question = streamMessages.decode(message.data);
        const record = question?.type === "where" ? this.records.get(question.courier) : undefined;
        message.respond(this.#part(record === undefined ? [] : [record]));
      });
      bus.subscribe(subjects.watch(shard), ({ data }) => {
        const watch = streamMessages.decode(data);
        if (watch?.type === "watch") this.watches.push(watch);
      });
    }
  }

  /** Messages of one type, to one actor or to all. */
  heard<T extends Posted["msg"]["type"]>(type: T, id?: string) {
    const found = this.posts.filter(
      (post) => post.msg.type === type && (id ?? post.id) === post.id,
    );
    return found.map((post) => post.msg as Extract<Posted["msg"], { type: T }>);
  }

  /** Frames for sessions, as an actor's owner would send them. */
  notify(gateway: string, posts: readonly SessionPost[]): void {
    this.#bus.publish(this.#subjects.gateway(gateway), encodeSessionPosts(posts));
  }

  /** A watched courier moved, says the owner of shard 0 under that epoch. */
  move(gateway: string, courier: string, at: number, lng: number, lat: number, epoch = 1): void {
    const positions = [{ courier: courier as CourierId, no: 1, at, lng, lat }];
    const bytes = streamMessages.encode({ type: "moved", parts: [{ shard: 0, epoch, positions }] });
    this.#bus.publish(this.#subjects.positions(gateway), bytes);
  }

  /** The outbox relay published an event of the delivery. */
  event(owner: string, delivery: string): void {
    this.#bus.publish(this.#subjects.events(owner, delivery), new Uint8Array(0));
  }

  nodeUp(shards: readonly number[]): void {
    const node = "node_test" as Extract<StreamMessage, { type: "node_up" }>["node"];
    this.#bus.publish(
      this.#subjects.nodeUp,
      streamMessages.encode({ type: "node_up", node, shards }),
    );
  }

  #part(records: readonly CourierRecord[]): Uint8Array {
    return streamMessages.encode({ type: "fleet_part", records });
  }
}
