/**
 * Publishing to a stream with acks, many in flight. It does what the client's own `publish` does,
 * without a request object and two captured stacks for each message, which cost more than
 * everything else on the relay's way. An ack that does not come in time rejects, and so do all that
 * are awaited when the connection breaks, because what was under way to a server that died is lost
 * as a rule; the relay publishes again under the same id, and the stream drops repeats.
 */
import type { Clock } from "../io/clock.ts";
import type { Bus, BusMessage, Unsubscribe } from "../io/nats/nats.ts";

type Waiting = {
  readonly since: number;
  readonly resolve: (ack: Uint8Array) => void;
  readonly reject: (error: Error) => void;
};

const LOOK_MS = 100;

export class EventPublisher {
  readonly #bus: Bus;
  readonly #clock: Clock;
  readonly #ackTimeoutMs: number;
  readonly #inbox: string;
  readonly #stop: Unsubscribe;
  readonly #waiting = new Map<string, Waiting>();
  #last = 0;
  #isLooking = false;

  constructor(bus: Bus, clock: Clock, ackTimeoutMs: number) {
    this.#bus = bus;
    this.#clock = clock;
    this.#ackTimeoutMs = ackTimeoutMs;
    this.#inbox = bus.inbox();
    this.#stop = bus.subscribe(`${this.#inbox}.*`, (ack) => this.#onAck(ack));
    bus.onStatus((status) => {
      if (status !== "connected") this.#giveUp(() => true, "NATS went away");
    });
  }

  /**
   * Resolves with the ack when the stream has the message (`ackOf` reads it; most need not).
   * Rejects when it refuses it, or says nothing in time.
   */
  publish(
    subject: string,
    data: Uint8Array,
    id: string,
    headers?: Readonly<Record<string, string>>,
  ): Promise<Uint8Array> {
    return new Promise((resolve, reject) => {
      const reply = `${this.#inbox}.${++this.#last}`;
      if (!this.#bus.publish(subject, data, reply, id, headers)) {
        return reject(new Error("NATS is away"));
      }
      this.#waiting.set(reply, { since: this.#clock.now(), resolve, reject });
      this.#lookLater();
    });
  }

  close(): void {
    this.#stop();
  }

  #onAck({ subject, data }: BusMessage): void {
    const waiting = this.#waiting.get(subject);
    if (waiting === undefined) return; // Too late: it has been given up.
    this.#waiting.delete(subject);
    const refusal = refusalIn(data);
    if (refusal === null) waiting.resolve(data);
    else waiting.reject(new StreamRefusal(refusal, data.length === 0));
  }

  /** One timer for all of them. Entries are in the order of publishing. */
  #lookLater(): void {
    if (this.#isLooking) return;
    this.#isLooking = true;
    this.#clock.after(LOOK_MS, () => {
      this.#isLooking = false;
      const before = this.#clock.now() - this.#ackTimeoutMs;
      this.#giveUp(({ since }) => since <= before, "no ack in time");
      if (this.#waiting.size > 0) this.#lookLater();
    });
  }

  /** Those from the oldest on for which `isOver` holds. */
  #giveUp(isOver: (waiting: Waiting) => boolean, why: string): void {
    for (const [reply, waiting] of this.#waiting) {
      if (!isOver(waiting)) break;
      this.#waiting.delete(reply);
      waiting.reject(new Error(why));
    }
  }
}

const ID_UNDER_WAY = 10_158;

/**
 * The stream said no, or nobody is there who could speak for it: it has no leader at the moment.
 */
export class StreamRefusal extends Error {
  override readonly name = "StreamRefusal";
  readonly isLeaderless: boolean;

  constructor(message: string, isLeaderless: boolean) {
    super(message);
    this.isLeaderless = isLeaderless;
  }
}

/**
 * The stream has this id under way: who sent it again was quicker than its first storing. What
 * becomes of that is known a moment later (`JSStreamDuplicateMessageConflict` of the server's error
 * list).
 */
export const isUnderWay = (error: unknown): boolean =>
  error instanceof StreamRefusal && error.message.includes(`"err_code":${ID_UNDER_WAY}`);

/**
 * Whether a failed publish says that the stream is away, and not that it has something against this
 * message.
 */
export const isStreamAway = (error: unknown): boolean =>
  !(error instanceof StreamRefusal) || error.isLeaderless;

/**
 * What an ack says: where the message stands in the stream, and whether it stood there before under
 * its id.
 */
export type PublishAck = { readonly seq: number; readonly isDuplicate: boolean };

/**
 * Reads an ack that is no refusal. Throws on what is none: the server's word is expected to be
 * well-formed.
 */
export function ackOf(ack: Uint8Array): PublishAck {
  const { seq, duplicate } = JSON.parse(Buffer.from(ack).toString()) as {
    seq?: unknown;
    duplicate?: unknown;
  };
  if (typeof seq !== "number") throw new Error("an ack without a sequence");
  return { seq, isDuplicate: duplicate === true };
}

/**
 * Why the stream did not take it, null when it did. Nothing in it is the server's "no responders".
 */
export function refusalIn(ack: Uint8Array): string | null {
  if (ack.length === 0) return "there is no such stream at the moment";
  const text = Buffer.from(ack.buffer, ack.byteOffset, ack.length).toString();
  return text.includes('"error"') ? `the stream refused it: ${text.slice(0, 200)}` : null;
}
