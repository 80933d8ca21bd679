/**
 * JetStream in memory, as far as hexdispatch uses it: streams that take what is published on their subjects, answer with
 * an ack, drop a repeated message id, and are read from the beginning. For 4 to 9 seconds at a time a stream may have
 * no leader: then it takes nothing, and who asks gets "no responders" or no answer.
 */
import type { CellsLog, ReadResult } from "../engine/cells-reader.ts";
import { STREAMS, subjectsFor, streamName } from "../proto/subjects.ts";
import type { StreamKey } from "../proto/subjects.ts";
import type { SimClock } from "./clock.ts";
import type { Machine } from "./machine.ts";
import type { Network } from "./network.ts";
import { matches } from "./subject.ts";
import type { Message } from "./subject.ts";

type Stored = { readonly seq: number; readonly at: number; readonly message: Message };

/** Kept in memory of what nobody reads by itself: the tail is enough. */
const READ_CHUNK = 200;
const READ_MS = 1;

export class FakeStream {
  readonly key: StreamKey;
  readonly #name: string;
  readonly #pattern: readonly string[];
  readonly #literal: string;
  readonly #clock: SimClock;
  readonly #ids = new Map<string, { seq: number; at: number }>();
  #messages: Stored[] = [];
  #seq = 0;
  #leaderless = 0;
  /** Told of each message that is new. */
  onStored: (message: Message) => void = () => undefined;

  constructor(key: StreamKey, prefix: string, clock: SimClock) {
    this.key = key;
    this.#name = streamName(prefix, key);
    const pattern = subjectsFor(prefix)[STREAMS[key].subject];
    this.#pattern = pattern.split(".");
    this.#literal = pattern.slice(0, pattern.search(/[*>]/));
    this.#clock = clock;
  }

  takes(subject: string): boolean {
    return subject.startsWith(this.#literal) && matches(this.#pattern, subject.split("."));
  }

  isLed(): boolean {
    return this.#leaderless === 0;
  }

  loseLeader(): void {
    this.#leaderless += 1;
  }

  electLeader(): void {
    this.#leaderless = Math.max(0, this.#leaderless - 1);
  }

  /** Everything in it is gone; numbers go on. */
  wipe(): void {
    this.#messages = [];
  }

  /** The ack. */
  take(message: Message): string {
    const now = this.#clock.now();
    const { ageMaxS, dedupeS } = STREAMS[this.key];
    const { id } = message;
    const before = id === undefined ? undefined : this.#ids.get(id);
    if (before !== undefined && now - before.at < dedupeS * 1_000) {
      return JSON.stringify({ stream: this.#name, seq: before.seq, duplicate: true });
    }
    const seq = ++this.#seq;
    if (id !== undefined) this.#ids.set(id, { seq, at: now });
    this.#messages.push({ seq, at: now, message });
    const first = this.#messages[0];
    if (first !== undefined && first.at < now - 2_000 * ageMaxS) {
      this.#messages = this.#messages.filter((one) => one.at >= now - 1_000 * ageMaxS);
    }
    this.onStored(message);
    return JSON.stringify({ stream: this.#name, seq });
  }

  /** What is in it now, oldest first. */
  messages(subject: string): readonly Message[] {
    const from = this.#clock.now() - STREAMS[this.key].ageMaxS * 1_000;
    const pattern = subject.split(".");
    return this.#messages
      .filter(({ at, message }) => at >= from && matches(pattern, message.subject.split(".")))
      .map(({ message }) => message);
  }
}

export class FakeStreams {
  readonly #clock: SimClock;
  readonly #network: Network;
  readonly #streams: readonly FakeStream[];

  constructor(clock: SimClock, network: Network, prefix: string) {
    this.#clock = clock;
    this.#network = network;
    const keys = Object.keys(STREAMS) as StreamKey[];
    this.#streams = keys.map((key) => new FakeStream(key, prefix, clock));
  }

  /** The stream that takes this subject. */
  of(subject: string): FakeStream | null {
    return this.#streams.find((stream) => stream.takes(subject)) ?? null;
  }

  get(key: StreamKey): FakeStream {
    return this.#streams.find((stream) => stream.key === key) as FakeStream;
  }

  /** Reads CELLS for one process. */
  cellsLog(machine: Machine): CellsLog {
    return {
      read: (subject, deadlineMs, onMessage) =>
        new Promise((resolve, reject) => {
          const cancel = machine.clock.after(deadlineMs, () =>
            reject(new Error("the stream does not answer")),
          );
          const answer = (result: ReadResult): void => {
            cancel();
            resolve(result);
          };
          this.#ask(machine, () => this.#hand(machine, subject, onMessage, answer));
        }),
    };
  }

  /** A question to the server; unanswered where a wire is cut or the stream has no leader. */
  #ask(machine: Machine, run: () => void): void {
    this.#network.send(machine.name, null, () => {
      if (this.get("CELLS").isLed()) run();
    });
  }

  #hand(
    machine: Machine,
    subject: string,
    onMessage: (data: Uint8Array) => void,
    answer: (result: ReadResult) => void,
  ): void {
    const all = this.get("CELLS").messages(subject);
    let from = 0;
    const next = (): void => {
      const chunk = all.slice(from, from + READ_CHUNK);
      from += READ_CHUNK;
      this.#network.send(null, machine.name, () =>
        machine.io(() => {
          for (const { data } of chunk) onMessage(data);
          if (from >= all.length) answer({ messages: all.length, isComplete: true });
          else this.#clock.after(READ_MS, next);
        }),
      );
    };
    next();
  }
}
