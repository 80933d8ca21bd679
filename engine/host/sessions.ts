/**
 * Frames from courier actors to their apps' sessions: gathered for each gateway within one turn of
 * the event loop and sent as one message. Lost when the gateway is gone: the courier's next session
 * shows live offers again.
 */
import { encodeSessionPosts } from "../../proto/messages.ts";
import type { SessionPost } from "../../proto/messages.ts";
import type { Origin } from "../../proto/posts.ts";
import type { Subjects } from "../../proto/subjects.ts";
import type { NotifyEffect } from "./ports.ts";
import type { Clock } from "../io/clock.ts";
import type { Bus } from "../io/nats/nats.ts";

export type SessionsPorts = {
  readonly clock: Clock;
  readonly bus: Pick<Bus, "publish">;
  readonly subjects: Subjects;
  readonly onDropped: (frames: number) => void;
};

/** Frames in one message: far below what NATS carries. */
const FRAMES_PER_MESSAGE_MAX = 500;

export class Sessions {
  readonly #ports: SessionsPorts;
  readonly #waiting = new Map<string, SessionPost[]>();
  #scheduled = false;

  constructor(ports: SessionsPorts) {
    this.#ports = ports;
  }

  /** A frame of a courier's actor, and what the courier's shard is owned under. */
  notify(effect: NotifyEffect, { shard, epoch }: Origin): void {
    const { gateway, session, frame, receivedAtUs, ordinal } = effect;
    let posts = this.#waiting.get(gateway);
    if (posts === undefined) this.#waiting.set(gateway, (posts = []));
    posts.push({ session, frame, receivedAtUs, ordinal, shard, epoch });
    if (posts.length >= FRAMES_PER_MESSAGE_MAX) {
      this.#send(gateway, posts);
      this.#waiting.delete(gateway);
    }
    if (this.#scheduled) return;
    this.#scheduled = true;
    this.#ports.clock.soon(() => this.flush());
  }

  flush(): void {
    this.#scheduled = false;
    for (const [gateway, posts] of this.#waiting) this.#send(gateway, posts);
    this.#waiting.clear();
  }

  #send(gateway: string, posts: readonly SessionPost[]): void {
    const { bus, subjects, onDropped } = this.#ports;
    if (!bus.publish(subjects.gateway(gateway), encodeSessionPosts(posts))) onDropped(posts.length);
  }
}
