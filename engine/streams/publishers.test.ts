import { beforeEach, describe, expect, it } from "vitest";
import { EventPublisher, isStreamAway, refusalIn } from "./event-publisher.ts";
import type { Bus, BusMessage, BusStatus } from "../io/nats/nats.ts";
import { VirtualClock } from "../io/virtual-clock.ts";
import { StreamPublisher } from "./stream-publisher.ts";

const ACK = '{"stream":"HD_EVENTS","seq":7}';
const REFUSAL = '{"error":{"code":503,"description":"no space"},"stream":"HD_EVENTS","seq":0}';

type Sent = { readonly reply: string; readonly id: string | undefined };

let clock: VirtualClock;
let sent: Sent[];
let isConnected: boolean;
let hear: (message: BusMessage) => void;
let tellStatus: (status: BusStatus) => void;
let bus: Bus;

beforeEach(() => {
  clock = new VirtualClock();
  sent = [];
  isConnected = true;
  bus = {
    publish: (_subject: string, _data: Uint8Array, reply = "", id?: string) => {
      if (isConnected) sent.push({ reply, id });
      return isConnected;
    },
    subscribe: (_subject: string, onMessage: typeof hear) => {
      hear = onMessage;
      return () => undefined;
    },
    inbox: () => "inbox",
    onStatus: (listener: typeof tellStatus) => {
      tellStatus = listener;
    },
  } as unknown as Bus;
});

const ack = (reply: string, text: string): void =>
  hear({
    subject: reply,
    data: Buffer.from(text),
    wantsAnswer: false,
    respond: () => undefined,
  });
const DATA = new Uint8Array(1);

describe("publishing with acks", () => {
  const outcomes = async (...promises: readonly Promise<unknown>[]): Promise<string[]> =>
    (await Promise.allSettled(promises)).map((p) =>
      p.status === "fulfilled" ? "taken" : (p.reason as Error).message,
    );

  it("each message has its own ack, in whatever order they come", async () => {
    const publisher = new EventPublisher(bus, clock, 3_000);
    const both = outcomes(publisher.publish("s", DATA, "1"), publisher.publish("s", DATA, "2"));
    expect(sent.map(({ id }) => id)).toEqual(["1", "2"]);
    ack(sent[1]!.reply, REFUSAL);
    ack(sent[0]!.reply, ACK);
    expect(await both).toEqual(["taken", expect.stringContaining("no space")]);
  });

  it("an ack that does not come is waited for no longer than it must", async () => {
    const publisher = new EventPublisher(bus, clock, 3_000);
    const one = outcomes(publisher.publish("s", DATA, "1"));
    await clock.advance(3_100);
    expect(await one).toEqual(["no ack in time"]);
    ack(sent[0]!.reply, ACK);
    expect(clock.pending()).toBe(0);
  });

  it("is refused at once while NATS is away", async () => {
    isConnected = false;
    const publisher = new EventPublisher(bus, clock, 3_000);
    expect(await outcomes(publisher.publish("s", DATA, "1"))).toEqual(["NATS is away"]);
  });

  it("awaits no ack over a connection that broke, and goes on over the next", async () => {
    const publisher = new EventPublisher(bus, clock, 3_000);
    const both = outcomes(publisher.publish("s", DATA, "1"), publisher.publish("s", DATA, "2"));
    tellStatus("disconnected");
    expect(await both).toEqual(["NATS went away", "NATS went away"]);
    tellStatus("connected");
    const again = outcomes(publisher.publish("s", DATA, "1"));
    ack(sent[2]!.reply, ACK);
    expect(await again).toEqual(["taken"]);
  });

  it("knows a stream that is away from one that refuses", async () => {
    const publisher = new EventPublisher(bus, clock, 3_000);
    const wrong = async (text: string): Promise<boolean> => {
      const failure = publisher.publish("s", DATA, "1").catch((error: unknown) => error);
      ack(sent.at(-1)!.reply, text);
      return isStreamAway(await failure);
    };
    expect(await wrong(REFUSAL)).toBe(false);
    expect(await wrong("")).toBe(true);
    const silent = publisher.publish("s", DATA, "1").catch((error: unknown) => error);
    await clock.advance(3_100);
    expect(isStreamAway(await silent)).toBe(true);
  });
});

describe("publishing without waiting", () => {
  it("drops what is too much until acks come, or have been lost", async () => {
    const counts: string[] = [];
    const publisher = new StreamPublisher(bus, clock, 2, (what) => void counts.push(what));
    const publish = (): boolean => publisher.publish("s", DATA);
    expect([publish(), publish(), publish()]).toEqual([true, true, false]);
    ack("inbox", ACK);
    expect([publish(), publish()]).toEqual([true, false]);
    await clock.advance(5_000);
    expect(publish()).toBe(true);
    ack("inbox", REFUSAL);
    expect(counts.filter((what) => what !== "published")).toEqual([
      "dropped",
      "dropped",
      "refused",
    ]);
  });
});

it("where acks speak for several messages, only one of them asks", () => {
  const publisher = new StreamPublisher(bus, clock, 1, () => undefined, 3);
  const publish = (): boolean => publisher.publish("s", DATA);
  expect([publish(), publish(), publish(), publish()]).toEqual([true, true, true, false]);
  expect(sent.map(({ reply }) => reply)).toEqual(["", "", "inbox"]);
  expect(publisher.outstanding()).toBe(1);
  ack("inbox", ACK);
  expect(publish()).toBe(true);
});

it("an ack says whether the message was taken", () => {
  expect(refusalIn(Buffer.from(ACK))).toBeNull();
  expect(refusalIn(Buffer.from(REFUSAL))).toContain("refused");
  expect(refusalIn(new Uint8Array())).toContain("no such stream");
});
