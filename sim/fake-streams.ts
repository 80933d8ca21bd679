/**
 * JetStream in memory, as far as hexdispatch uses it: streams that take what is published on their
 * subjects, answer with an ack, drop a repeated message id, are read from the beginning, and give
 * single messages. For 4 to 9 seconds at a time a stream may have no leader: then it takes nothing,
 * and who asks gets "no responders" or no answer.
 */
import type { StreamConfig } from "@nats-io/jetstream";
import type { CellsLog, ReadResult } from "../engine/cells/reader.ts";
import { wantedStream } from "../engine/streams/streams.ts";
import { STREAMS, streamName, subjectsFor } from "../proto/subjects.ts";
import type { StreamKey } from "../proto/subjects.ts";
import { SIM_CONFIG } from "./city.ts";
import type { SimClock } from "./clock.ts";
import { FakeIntake } from "./fake-intake.ts";
import type { Machine } from "./machine.ts";
import type { Network } from "./network.ts";
import { matches } from "./subject.ts";
import type { Message } from "./subject.ts";

export type Stored = { readonly seq: number; readonly at: number; readonly message: Message };

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
  #wedged = 0;
  /** As it was made; null when there is no such stream. */
  config: StreamConfig | null = null;
  /** Told of each message that is new. */
  onStored: (message: Message) => void = () => undefined;

  constructor(key: StreamKey, prefix: string, clock: SimClock) {
    this.key = key;
    this.#name = streamName(prefix, key);
    const pattern = subjectsFor(prefix)[STREAMS[key].subject];
    this.#pattern = pattern.split(".");
    this.#literal = pattern.slice(0, pattern.search(/[*>]/));
    this.#clock = clock;
    const { natsReplicas, streamBytes } = SIM_CONFIG;
    this.config = wantedStream(prefix, key, natsReplicas, streamBytes[key]) as StreamConfig;
  }

  get name(): string {
    return this.#name;
  }

  make(config: StreamConfig): void {
    this.config = config;
  }

  /** Its disk is gone: the stream with its ids, and its numbers begin anew. */
  lose(): void {
    this.config = null;
    this.#messages = [];
    this.#ids.clear();
    this.#seq = 0;
  }

  /** Its disk is full: it takes nothing and says nothing, also when there is room again. */
  wedge(): void {
    this.#wedged += 1;
  }

  unwedge(): void {
    this.#wedged = Math.max(0, this.#wedged - 1);
  }

  isWriting(): boolean {
    return this.#wedged === 0;
  }

  takes(subject: string): boolean {
    return subject.startsWith(this.#literal) && matches(this.#pattern, subject.split("."));
  }

  isLed(): boolean {
    return this.#leaderless === 0 && this.config !== null;
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
  stored(subject: string): readonly Stored[] {
    const from = this.#clock.now() - STREAMS[this.key].ageMaxS * 1_000;
    const pattern = subject.split(".");
    return this.#messages.filter(
      ({ at, message }) => at >= from && matches(pattern, message.subject.split(".")),
    );
  }

  /**
   * The answer to a question for one message: by its number, the last of its subject, or the next
   * of it from a number on.
   */
  one(question: Uint8Array): string {
    const { seq, last_by_subj, next_by_subj } = JSON.parse(Buffer.from(question).toString()) as {
      seq?: number;
      last_by_subj?: string;
      next_by_subj?: string;
    };
    const all = this.stored(last_by_subj ?? next_by_subj ?? this.#pattern.join("."));
    const isFound = (one: Stored): boolean =>
      next_by_subj === undefined ? one.seq === seq : one.seq >= (seq ?? 0);
    const found = last_by_subj === undefined ? all.find(isFound) : all.at(-1);
    if (found === undefined) return JSON.stringify({ error: { code: 404 } });
    const data = Buffer.from(found.message.data).toString("base64");
    return JSON.stringify({ message: { subject: found.message.subject, seq: found.seq, data } });
  }
}

export class FakeStreams {
  readonly #clock: SimClock;
  readonly #network: Network;
  readonly #streams: readonly FakeStream[];
  /** Streams by the subject where their leader is asked for one message. */
  readonly #readAt: ReadonlyMap<string, FakeStream>;
  readonly intake: FakeIntake;
  isOff = false;

  constructor(clock: SimClock, network: Network, prefix: string) {
    this.#clock = clock;
    this.#network = network;
    const keys = Object.keys(STREAMS) as StreamKey[];
    this.#streams = keys.map((key) => new FakeStream(key, prefix, clock));
    const { streamMessage } = subjectsFor(prefix);
    this.#readAt = new Map(this.#streams.map((stream) => [streamMessage(stream.key), stream]));
    this.intake = new FakeIntake(clock, network, this.get("INTAKE"), prefix);
  }

  /** The stream that takes this subject. */
  of(subject: string): FakeStream | null {
    return this.#streams.find((stream) => stream.takes(subject) && stream.config !== null) ?? null;
  }

  named(name: string): FakeStream {
    return this.#streams.find((stream) => stream.name === name) as FakeStream;
  }

  /** JetStream is off on all servers: nobody answers. */
  turnOff(): void {
    this.isOff = true;
    for (const stream of this.#streams) stream.loseLeader();
  }

  turnOn(): void {
    this.isOff = false;
    for (const stream of this.#streams) stream.electLeader();
  }

  /** The server comes back with an empty disk. */
  loseAll(): void {
    for (const stream of this.#streams) stream.lose();
    this.intake.loseConsumer();
  }

  /** What the server itself answers to a message on this subject, null when nothing. */
  answer({ subject, data }: Message): string | null {
    const asked = this.#readAt.get(subject);
    if (asked === undefined || this.isOff) return null;
    if (asked.config === null) return JSON.stringify({ error: { code: 404, err_code: 10_059 } });
    return asked.isLed() ? asked.one(data) : null;
  }

  /** Whether the server knows the subject as a question to a stream, led or not. */
  isQuestion(subject: string): boolean {
    return this.#readAt.has(subject);
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
    const all = this.get("CELLS").stored(subject);
    let from = 0;
    const next = (): void => {
      const chunk = all.slice(from, from + READ_CHUNK);
      from += READ_CHUNK;
      this.#network.send(null, machine.name, () =>
        machine.io(() => {
          for (const { message } of chunk) onMessage(message.data);
          if (from >= all.length) answer({ messages: all.length, isComplete: true });
          else this.#clock.after(READ_MS, next);
        }),
      );
    };
    next();
  }
}
