/**
 * Publishing to a stream without waiting: for replicas and explanations, whose loss costs little.
 * The acks come back to one inbox and are only counted; when too many are outstanding the stream is
 * not keeping up, or is away, and what comes next is dropped and counted instead of piling up.
 * Where messages are many and small, an ack is asked for only with one of several: it speaks for
 * those before it.
 */
import { refusalIn } from "./event-publisher.ts";
import type { Millis } from "../../proto/ids.ts";
import type { Clock } from "../io/clock.ts";
import type { Bus, BusMessage, Unsubscribe } from "../io/nats/nats.ts";

export type PublishCount = "published" | "dropped" | "refused";

/** Acks that did not come for so long will not come any more. */
const ACK_LOST_MS = 5_000;

export class StreamPublisher {
  readonly #bus: Bus;
  readonly #clock: Clock;
  readonly #onCount: (what: PublishCount) => void;
  readonly #outstandingMax: number;
  readonly #ackEvery: number;
  readonly #inbox: string;
  readonly #stop: Unsubscribe;
  #outstanding = 0;
  #sinceAck = 0;
  #lastAckAt: Millis = 0;

  constructor(
    bus: Bus,
    clock: Clock,
    outstandingMax: number,
    onCount: (what: PublishCount) => void,
    ackEvery = 1,
  ) {
    this.#bus = bus;
    this.#clock = clock;
    this.#outstandingMax = outstandingMax;
    this.#onCount = onCount;
    this.#ackEvery = ackEvery;
    this.#inbox = bus.inbox();
    this.#stop = bus.subscribe(this.#inbox, (ack) => this.#acked(ack));
  }

  /** False when it was dropped. */
  publish(subject: string, data: Uint8Array): boolean {
    const asksAck = this.#sinceAck + 1 >= this.#ackEvery;
    const reply = asksAck ? this.#inbox : undefined;
    const isSent = this.#hasRoom() && this.#bus.publish(subject, data, reply);
    if (isSent) this.#sent(asksAck);
    this.#onCount(isSent ? "published" : "dropped");
    return isSent;
  }

  #sent(asksAck: boolean): void {
    this.#outstanding += asksAck ? 1 : 0;
    this.#sinceAck = asksAck ? 0 : this.#sinceAck + 1;
  }

  /** Messages whose ack has not come: how far the stream is behind. */
  outstanding(): number {
    return this.#outstanding;
  }

  close(): void {
    this.#stop();
  }

  #hasRoom(): boolean {
    const now = this.#clock.now();
    if (this.#outstanding === 0) this.#lastAckAt = now;
    if (this.#outstanding < this.#outstandingMax) return true;
    if (now - this.#lastAckAt < ACK_LOST_MS) return false;
    this.#outstanding = 0;
    this.#lastAckAt = now;
    return true;
  }

  #acked({ data }: BusMessage): void {
    this.#outstanding = Math.max(0, this.#outstanding - 1);
    this.#lastAckAt = this.#clock.now();
    if (refusalIn(data) !== null) this.#onCount("refused");
  }
}
