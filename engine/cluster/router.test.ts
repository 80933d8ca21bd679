import { beforeEach, describe, expect, it } from "vitest";
import type { CourierId, DeliveryId, ShardId } from "../../proto/ids.ts";
import { streamMessages } from "../../proto/messages.ts";
import { decodePosts, encodePosts } from "../../proto/posts.ts";
import type { Posted } from "../../proto/posts.ts";
import { subjectsFor } from "../../proto/subjects.ts";
import type { Reply } from "../host/ports.ts";
import { newDeliveryId } from "../ids.ts";
import type { Bus, BusMessage } from "../io/nats/nats.ts";
import { VirtualClock } from "../io/virtual-clock.ts";
import { Router } from "./router.ts";
import { shardOfCourier } from "./shards.ts";

const OURS = 3 as ShardId;
const THEIRS = 5 as ShardId;
const OUR_DELIVERY = newDeliveryId(OURS, 0);
const THEIR_DELIVERY = newDeliveryId(THEIRS, 0);
const COURIER = "cur_a" as CourierId;

const wake = (id: string): Posted => ({
  kind: "delivery",
  id,
  msg: { type: "wake", courier: COURIER },
});

let clock: VirtualClock;
let delivered: string[];
let replies: (Reply | undefined)[];
let published: string[];
let counts: string[];
let answers: string[];
let router: Router;

beforeEach(() => {
  clock = new VirtualClock();
  delivered = [];
  replies = [];
  published = [];
  counts = [];
  answers = [];
  router = new Router({
    clock,
    bus: {
      publish: (subject: string, data: Uint8Array) => {
        const ids = decodePosts(data)?.posts.map(({ id }) => id) ?? [];
        published.push(`${subject}: ${ids.length}`);
        return true;
      },
    } as unknown as Bus,
    subjects: subjectsFor("t"),
    shards: 8,
    shardResolution: 6,
    owns: (shard) => shard === OURS,
    see: ({ epoch }) => epoch >= 5,
    deliver: ({ id }, shard, message, reply) => {
      delivered.push(`${id} ${shard} ${message.type}`);
      replies.push(reply);
    },
    onCount: (what, messages) => void counts.push(`${what} ${messages}`),
  });
});

const incoming = (data: Uint8Array, wantsAnswer = false): BusMessage => ({
  subject: "",
  data,
  wantsAnswer,
  respond: (bytes) => {
    const answer = streamMessages.decode(bytes);
    if (answer?.type === "answer") answers.push(`${answer.code} ${answer.online}`);
  },
});

describe("a message from an actor", () => {
  it("for a shard of this node goes to its host, without NATS", async () => {
    router.send(wake(OUR_DELIVERY), null);
    await clock.settle();
    expect(delivered).toEqual([`${OUR_DELIVERY} 3 wake`]);
    expect(published).toEqual([]);
  });

  it("for another node waits for its neighbours of the same turn", async () => {
    for (let i = 0; i < 501; i++) router.send(wake(THEIR_DELIVERY), null);
    await clock.settle();
    expect(published).toEqual(["t.shard.5: 500", "t.shard.5: 1"]);
  });

  it("for an id that is none goes nowhere", () => {
    router.send(wake("del_x"), null);
    expect(counts).toEqual(["misrouted 1"]);
  });
});

describe("messages from outside", () => {
  it("reach the actors of the shard, and no others", () => {
    const posts = [wake(OUR_DELIVERY), wake(THEIR_DELIVERY), wake("del_*")];
    router.receive(OURS, incoming(encodePosts(posts)));
    expect(delivered).toEqual([`${OUR_DELIVERY} 3 wake`]);
    expect(counts).toEqual(["misrouted 1", "misrouted 1"]);
  });

  it("that are no messages are counted", () => {
    router.receive(OURS, incoming(Buffer.from("hello")));
    expect(counts).toEqual(["malformed 1"]);
  });

  it("as a request are answered by the actor", () => {
    router.receive(OURS, incoming(encodePosts([wake(OUR_DELIVERY)]), true));
    expect(answers).toEqual([]);
    replies[0]?.("ok", true);
    expect(answers).toEqual(["ok true"]);
  });

  it("as a request must be exactly one, of this shard", () => {
    router.receive(OURS, incoming(encodePosts([wake(OUR_DELIVERY), wake(OUR_DELIVERY)]), true));
    router.receive(OURS, incoming(encodePosts([wake(THEIR_DELIVERY)]), true));
    router.receive(OURS, incoming(Buffer.from("hello"), true));
    expect(answers).toEqual(["bad_request null", "bad_request null", "bad_request null"]);
    expect(delivered).toEqual([]);
  });
});

it("the shard of a courier follows from its id", () => {
  expect(router.shardOf("courier", COURIER)).toBe(shardOfCourier(COURIER, 8));
  expect(router.shardOf("delivery", OUR_DELIVERY as DeliveryId)).toBe(OURS);
});
