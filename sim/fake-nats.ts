/**
 * NATS in memory, behind the port `Bus` and, with `fake-streams.ts`, behind the streams: subjects
 * with wildcards, queue groups, requests, "no responders". Between two connections messages keep
 * their order, as over TCP; everything that may go wrong on a network is asked of `Trouble` for
 * each message. It passes the contract suite that the real one passes
 * (`engine/io/contract/bus.ts`).
 */
import type { CellsLog } from "../engine/cells/reader.ts";
import type { Bus, BusMessage, BusStatus, Unsubscribe } from "../engine/io/nats/nats.ts";
import { BusError } from "../engine/io/nats/nats.ts";
import { NATS_REQUEST_TIMEOUT_MS } from "../proto/limits.ts";
import type { SimClock } from "./clock.ts";
import { FakeStreams } from "./fake-streams.ts";
import type { Machine } from "./machine.ts";
import type { Network } from "./network.ts";
import { isWild, matches } from "./subject.ts";
import type { Message } from "./subject.ts";

type Sub = {
  readonly bus: SimBus;
  readonly tokens: readonly string[] | null;
  readonly subject: string;
  readonly queue: string | undefined;
  readonly onMessage: (message: BusMessage) => void;
  readonly onNoResponders: (() => void) | null;
  isOn: boolean;
};

const RECONNECT_MAX_MS = 200;
/** `ignoreAuthErrorAbort` in `engine/io/nats/connect.ts` keeps the client from it. */
const CLOSES_WHEN_REFUSED = false;
const NOTHING = new Uint8Array(0);
const NOBODY: readonly Sub[] = [];
const INBOX = "_INBOX.";

export class FakeNats {
  readonly clock: SimClock;
  readonly network: Network;
  readonly streams: FakeStreams;
  readonly #exact = new Map<string, Sub[]>();
  #wild: Sub[] = [];
  readonly #wildBySubject = new Map<string, readonly Sub[]>();
  #inboxes = 0;

  readonly #live = new Map<string, SimBus>();
  /** Who cannot be connected at the moment, and for how many reasons. */
  readonly #away = new Map<string, number>();

  constructor(clock: SimClock, network: Network, prefix: string) {
    this.clock = clock;
    this.network = network;
    this.streams = new FakeStreams(clock, network, prefix);
  }

  /** Reads CELLS for one process. */
  cellsLog(machine: Machine): CellsLog {
    return this.streams.cellsLog(machine);
  }

  /** A connection for one run of one process. */
  connect(machine: Machine): SimBus {
    const bus = new SimBus(this, machine);
    this.#live.set(machine.name, bus);
    return bus;
  }

  mayConnect(name: string): boolean {
    return (this.#away.get(name) ?? 0) === 0;
  }

  /**
   * The connection breaks; the client notices, drops what it is to publish, and tries again until
   * it may.
   */
  goAway(name: string): void {
    this.#away.set(name, (this.#away.get(name) ?? 0) + 1);
    this.#live.get(name)?.setConnected(false);
  }

  /** The client closes by itself, for good: nobody asked for it. */
  closeUnasked(name: string): boolean {
    const bus = this.#live.get(name);
    if (bus === undefined || bus.status() !== "connected") return false;
    bus.closeUnasked();
    return true;
  }

  /** The server does not take what the process shows of itself. */
  refuse(name: string): void {
    this.goAway(name);
    this.clock.after(this.network.random.between(0, 2 * RECONNECT_MAX_MS), () => {
      const isClosing = CLOSES_WHEN_REFUSED && !this.mayConnect(name);
      if (isClosing) this.#live.get(name)?.closeUnasked();
    });
  }

  reconnectSpread(name: string): void {
    this.#away.set(name, Math.max(0, (this.#away.get(name) ?? 0) - 1));
    this.clock.after(this.network.random.between(0, RECONNECT_MAX_MS), () => {
      if (this.mayConnect(name)) this.#live.get(name)?.setConnected(true);
    });
  }

  inbox(): string {
    return `${INBOX}${++this.#inboxes}`;
  }

  add(sub: Sub): void {
    if (sub.tokens !== null) {
      this.#wild.push(sub);
      this.#wildBySubject.clear();
    } else {
      const subs = this.#exact.get(sub.subject);
      if (subs === undefined) this.#exact.set(sub.subject, [sub]);
      else subs.push(sub);
    }
  }

  remove(sub: Sub): void {
    sub.isOn = false;
    if (sub.tokens !== null) {
      this.#wild = this.#wild.filter((other) => other !== sub);
      this.#wildBySubject.clear();
      return;
    }
    const left = (this.#exact.get(sub.subject) ?? []).filter((other) => other !== sub);
    if (left.length === 0) this.#exact.delete(sub.subject);
    else this.#exact.set(sub.subject, left);
  }

  /** From a connection to the server, and on to whoever listens. */
  publish(from: Machine, message: Message): void {
    this.network.send(from.name, null, () => {
      if (this.streams.isQuestion(message.subject)) {
        const answer = this.streams.answer(message);
        if (answer !== null) this.#ack(from.name, message, answer);
        return;
      }
      const stream = this.streams.of(message.subject);
      const receivers = this.#receivers(message.subject);
      for (const sub of receivers) this.#deliver(from.name, sub, message);
      if (stream?.isWriting() === false) return;
      if (stream !== null && stream.isLed())
        return this.#ack(from.name, message, stream.take(message));
      if (receivers.length > 0 || message.reply === undefined) return;
      for (const sub of this.#receivers(message.reply)) this.#noResponders(sub);
    });
  }

  #ack(from: string, { reply }: Message, ack: string): void {
    if (reply === undefined) return;
    const message = { subject: reply, data: Buffer.from(ack), reply: undefined, id: undefined };
    for (const sub of this.#receivers(reply)) this.#deliver(from, sub, message);
  }

  #noResponders(sub: Sub): void {
    this.network.send(null, sub.bus.machine.name, () =>
      sub.bus.hear(sub, () => {
        if (sub.onNoResponders !== null) return sub.onNoResponders();
        sub.onMessage(asBusMessage(sub.bus, { subject: sub.subject, data: NOTHING }));
      }),
    );
  }

  #deliver(from: string, sub: Sub, message: Message): void {
    const { bus } = sub;
    if (this.network.isBlocked(from, bus.machine.name)) return;
    this.network.send(null, bus.machine.name, () =>
      bus.hear(sub, () => sub.onMessage(asBusMessage(bus, message))),
    );
  }

  /** All plain subscribers, and one of each queue group. */
  #receivers(subject: string): readonly Sub[] {
    const exact = this.#exact.get(subject) ?? NOBODY;
    const wild = this.#wildOf(subject);
    const all = wild.length === 0 ? exact : [...exact, ...wild];
    if (!all.some(({ queue }) => queue !== undefined)) return all;
    const groups = new Map<string, Sub[]>();
    for (const sub of all) {
      if (sub.queue !== undefined) groups.set(sub.queue, [...(groups.get(sub.queue) ?? []), sub]);
    }
    const picked = [...groups.values()].map((members) => this.network.random.pick(members));
    return [...all.filter(({ queue }) => queue === undefined), ...picked];
  }

  /**
   * Most subjects are published on again and again: who listens is kept until wild subscriptions
   * change.
   */
  #wildOf(subject: string): readonly Sub[] {
    if (this.#wild.length === 0) return NOBODY;
    let found = this.#wildBySubject.get(subject);
    if (found === undefined) {
      const tokens = subject.split(".");
      found = this.#wild.filter((sub) => matches(sub.tokens ?? [], tokens));
      // An inbox is published to once.
      if (!subject.startsWith(INBOX)) this.#wildBySubject.set(subject, found);
    }
    return found;
  }
}

function asBusMessage(
  bus: SimBus,
  { subject, data, reply }: Pick<Message, "subject" | "data"> & { reply?: string | undefined },
): BusMessage {
  return {
    subject,
    data,
    wantsAnswer: reply !== undefined,
    respond: (answer) => {
      if (reply !== undefined) bus.publish(reply, answer);
    },
  };
}

export class SimBus implements Bus {
  readonly machine: Machine;
  readonly #nats: FakeNats;
  readonly #subs = new Set<Sub>();
  readonly #listeners: ((status: BusStatus) => void)[] = [];
  #status: BusStatus = "connected";

  constructor(nats: FakeNats, machine: Machine) {
    this.#nats = nats;
    this.machine = machine;
  }

  readonly publish = (subject: string, data: Uint8Array, reply?: string, id?: string): boolean => {
    if (this.#status !== "connected") return false;
    this.#nats.publish(this.machine, { subject, data, reply, id });
    return true;
  };

  readonly subscribe = (
    subject: string,
    onMessage: (message: BusMessage) => void,
    queue?: string,
  ): Unsubscribe => this.#listen(subject, onMessage, queue, null);

  #listen(
    subject: string,
    onMessage: (message: BusMessage) => void,
    queue: string | undefined,
    onNoResponders: (() => void) | null,
  ): Unsubscribe {
    const tokens = isWild(subject) ? subject.split(".") : null;
    const sub: Sub = { bus: this, tokens, subject, queue, onMessage, onNoResponders, isOn: true };
    this.#subs.add(sub);
    this.#nats.add(sub);
    return () => {
      this.#subs.delete(sub);
      if (sub.isOn) this.#nats.remove(sub);
    };
  }

  readonly request = (
    subject: string,
    data: Uint8Array,
    timeoutMs: number = NATS_REQUEST_TIMEOUT_MS,
  ): Promise<Uint8Array> =>
    new Promise((resolve, reject) => {
      if (this.#status !== "connected") return reject(new BusError("disconnected", subject));
      const reply = this.inbox();
      const end = (): void => {
        stop();
        cancel();
      };
      const cancel = this.machine.clock.after(timeoutMs, () => {
        end();
        reject(new BusError("timeout", subject));
      });
      const onAnswer = (answer: BusMessage): void => {
        end();
        resolve(answer.data);
      };
      const stop = this.#listen(reply, onAnswer, undefined, () => {
        end();
        reject(new BusError("no_responders", subject));
      });
      this.publish(subject, data, reply);
    });

  readonly requestMany = (
    subject: string,
    data: Uint8Array,
    { waitMs, max }: { readonly waitMs: number; readonly max: number },
  ): Promise<readonly Uint8Array[]> =>
    new Promise((resolve) => {
      const answers: Uint8Array[] = [];
      if (this.#status !== "connected") return resolve(answers);
      const reply = this.inbox();
      const end = (): void => {
        stop();
        cancel();
        resolve(answers);
      };
      const cancel = this.machine.clock.after(waitMs, end);
      const onAnswer = (answer: BusMessage): void => {
        answers.push(answer.data);
        if (answers.length >= max) end();
      };
      const stop = this.#listen(reply, onAnswer, undefined, end);
      this.publish(subject, data, reply);
    });

  readonly inbox = (): string => this.#nats.inbox();
  readonly status = (): BusStatus => this.#status;
  readonly onStatus = (listener: (status: BusStatus) => void): void =>
    void this.#listeners.push(listener);

  /** A round trip; while the connection is cut it waits, as the client does. */
  readonly flush = (): Promise<void> =>
    new Promise((resolve) => {
      const { network } = this.#nats;
      const { name } = this.machine;
      const back = (): void => network.send(null, name, () => this.machine.io(resolve), true);
      network.send(name, null, back, true);
    });

  /** Told when it closed and nobody asked: as `engine/io/nats/link.ts` tells its process. */
  onLost: () => void = () => undefined;

  closeUnasked(): void {
    if (this.#status === "closed") return;
    this.#drop();
    this.machine.io(() => {
      this.#set("closed");
      this.onLost();
    });
  }

  readonly close = (): Promise<void> => {
    this.#drop();
    this.#set("closed");
    return Promise.resolve();
  };

  /** The process is gone. */
  end(): void {
    this.#drop();
    this.#status = "closed";
  }

  #drop(): void {
    for (const sub of this.#subs) this.#nats.remove(sub);
    this.#subs.clear();
  }

  /** The client notices that it is cut off, or is back: it subscribes again by itself. */
  setConnected(isConnected: boolean): void {
    if (this.#status === "closed") return;
    this.machine.io(() => this.#set(isConnected ? "connected" : "disconnected"));
  }

  /**
   * What was sent before the connection was lost, or to a subscription that has ended, is nobody's.
   */
  hear(sub: Sub, run: () => void): void {
    if (this.#status !== "connected") return;
    this.machine.io(() => {
      if (sub.isOn && this.#status === "connected") run();
    });
  }

  #set(status: BusStatus): void {
    if (this.#status === status) return;
    this.#status = status;
    for (const listener of this.#listeners) listener(status);
  }
}
