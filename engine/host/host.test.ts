import { beforeEach, describe, expect, it } from "vitest";
import type { Actor, Effect, Step } from "../../actors/actor.ts";
import { DispatchError } from "../../proto/errors.ts";
import type { DeliveryId, ShardId } from "../../proto/ids.ts";
import type { ActorKey, Posted } from "../../proto/posts.ts";
import type { ActorWrite, WriteOutcome } from "../../proto/writes.ts";
import { Host } from "./host.ts";
import type { HostCount, HostMessage, HostPorts } from "./ports.ts";
import { SERVER_CASES, failureOf } from "../io/postgres/verdict-cases.ts";
import { VirtualClock } from "../io/virtual-clock.ts";

/**
 * A toy actor: its messages carry the effects it shall ask for, its state is the list of what it
 * saw.
 */
type Toy = { readonly seen: readonly string[]; readonly wakeAt: number | null };
type ToyMessage = HostMessage & {
  readonly name?: string;
  readonly effects?: readonly Effect[];
  readonly wakeAt?: number | null;
};

const toy: Actor<Toy, ToyMessage> = {
  step: (state, m): Step<Toy> => {
    if (m.type === "bomb") throw new Error("boom");
    const wakeAt = m.wakeAt === undefined ? (m.type === "woke" ? null : state.wakeAt) : m.wakeAt;
    return [{ seen: [...state.seen, m.name ?? m.type], wakeAt }, ...(m.effects ?? [])];
  },
  deadline: (state) => state.wakeAt,
  mayPassivate: (state) => state.wakeAt === null,
};
/** Never moves its deadline. */
const stuck: Actor<Toy, ToyMessage> = { ...toy, deadline: () => 0 };

const SHARD = 3 as ShardId;
const A: ActorKey = { kind: "delivery", id: "a" };
const B: ActorKey = { kind: "delivery", id: "b" };
const DELIVERY = "del_00000000000000000000000" as DeliveryId;
const write: ActorWrite = { kind: "unfilled", delivery: DELIVERY, reason: "search_deadline" };
const commit: Effect = { do: "commit", write };
const send = (id: string): Effect => ({
  do: "send",
  post: { kind: "cell", id, msg: { type: "leave", delivery: DELIVERY } },
});
const answer: Effect = { do: "answer", code: "ok", online: true };
const say = (
  name: string,
  effects: readonly Effect[] = [],
  wakeAt?: number | null,
): ToyMessage => ({
  type: "say",
  name,
  effects,
  ...(wakeAt === undefined ? {} : { wakeAt }),
});

type Deferred = { resolve: (outcome: WriteOutcome) => void; reject: (error: unknown) => void };

/** The world around a host; everything it does is in `log`. */
function drive(options: { mailboxMaxMsgs?: number; loads?: Map<string, HostMessage | null> } = {}) {
  const clock = new VirtualClock();
  const log: string[] = [];
  const counts: HostCount[] = [];
  const writes: Deferred[] = [];
  const states = new Map<string, Toy | null>();
  const hooks = { onSend: (): void => undefined, onState: (_id: string): void => undefined };
  const kind = (actor: Actor<Toy, ToyMessage>, loads?: Map<string, HostMessage | null>) => ({
    actorFor: () => actor,
    initial: () => ({ seen: [], wakeAt: null }),
    begins: (m: HostMessage) => m.type === "say" || m.type === "resumed",
    load: loads === undefined ? null : (id: string) => Promise.resolve(loads.get(id) ?? null),
    observe: (id: string, state: unknown) => {
      states.set(id, state as Toy | null);
      hooks.onState(id);
    },
  });
  const ports: HostPorts = {
    clock,
    kinds: { delivery: kind(toy, options.loads), courier: kind(stuck), cell: kind(toy) },
    write: () => new Promise((resolve, reject) => writes.push({ resolve, reject })),
    send: (post: Posted) => {
      log.push(`send ${post.id}`);
      hooks.onSend();
    },
    search: () => ({ radiusM: 1, candidates: [], gates: {} }),
    onLedger: () => void log.push("ledger"),
    onIndex: () => void log.push("index"),
    onNotify: () => void log.push("notify"),
    onHistory: () => void log.push("history"),
    onRecorded: () => void log.push("recorded"),
    onFenced: (shard) => void log.push(`fenced ${shard}`),
    onCount: (what) => void counts.push(what),
    onStep: () => undefined,
    onTrouble: (what, at) => void log.push(`${what} ${at.id} ${at.message}`),
  };
  const host = new Host(ports, { mailboxMaxMsgs: options.mailboxMaxMsgs ?? 1_024, idleMs: 1_000 });
  const ask = (key: ActorKey, message: HostMessage): void =>
    host.deliver(key, SHARD, message, (code, online) => void log.push(`answer ${code} ${online}`));
  const seen = (id: string): readonly string[] | undefined => states.get(id)?.seen;
  return Object.assign(hooks, { host, clock, log, counts, writes, seen, ask, states });
}

let world: ReturnType<typeof drive>;
beforeEach(() => {
  world = drive();
});

describe("the order of a step", () => {
  it("effects are done in the host's order, whatever the order they were asked for in", async () => {
    const ledger: Effect = { do: "ledger", delivery: DELIVERY, lines: [] };
    world.ask(A, say("x", [answer, send("c1"), send("c2"), ledger]));
    await world.clock.settle();
    expect(world.log).toEqual(["ledger", "send c1", "send c2", "answer ok true"]);
  });

  it("nothing runs within the call that delivers", async () => {
    world.host.deliver(A, SHARD, say("x"));
    expect(world.seen("a")).toBeUndefined();
    await world.clock.settle();
    expect(world.seen("a")).toEqual(["x"]);
  });

  it("the answer to a search comes before whatever was queued", async () => {
    const query = { delivery: DELIVERY } as Extract<Effect, { do: "search" }>["query"];
    world.host.deliver(A, SHARD, say("first", [{ do: "search", query }]));
    world.host.deliver(A, SHARD, say("second"));
    await world.clock.settle();
    expect(world.seen("a")).toEqual(["first", "candidates", "second"]);
  });
});

describe("a commit (H2)", () => {
  it("holds back state, effects and the mailbox of its actor, and of no other", async () => {
    world.ask(A, say("x", [commit, send("c1"), answer]));
    world.host.deliver(A, SHARD, say("after"));
    world.host.deliver(B, SHARD, say("other"));
    await world.clock.settle();
    expect(world.log).toEqual([]);
    expect(world.seen("a")).toBeUndefined();
    expect(world.seen("b")).toEqual(["other"]);
    expect(world.host.isQuiet()).toBe(false);
    world.writes[0]?.resolve({ outcome: "recorded" });
    await world.clock.settle();
    expect(world.log).toEqual(["send c1", "answer ok true", "recorded"]);
    expect(world.seen("a")).toEqual(["x", "after"]);
    expect(world.host.isQuiet()).toBe(true);
  });

  it("that was superseded leaves the old state and tells the actor before anything else", async () => {
    world.host.deliver(A, SHARD, say("x", [commit, send("c1")]));
    world.host.deliver(A, SHARD, say("after"));
    await world.clock.settle();
    world.writes[0]?.resolve({ outcome: "superseded", snapshot: null });
    await world.clock.settle();
    expect(world.log).toEqual([]);
    expect(world.seen("a")).toEqual(["superseded", "after"]);
  });

  it("H5: a request whose commit was superseded is answered by what stands then", async () => {
    world.ask(A, say("x", [commit, answer]));
    world.host.deliver(A, SHARD, say("after"));
    await world.clock.settle();
    world.writes[0]?.resolve({ outcome: "superseded", snapshot: null });
    await world.clock.settle();
    expect(world.log).toEqual([]);
    world.writes[1]?.resolve({ outcome: "recorded" });
    await world.clock.settle();
    expect(world.log).toEqual(["answer ok true", "recorded"]);
    expect(world.seen("a")).toEqual(["superseded", "x", "after"]);
  });

  it("is repeated with growing pauses while the store is away", async () => {
    world.host.deliver(A, SHARD, say("x", [commit]));
    await world.clock.settle();
    for (const pauseMs of [50, 100, 200]) {
      world.writes.at(-1)?.reject(new DispatchError("unavailable"));
      await world.clock.settle();
      const before = world.writes.length;
      await world.clock.advance(pauseMs - 1);
      expect(world.writes.length).toBe(before);
      await world.clock.advance(1);
      expect(world.writes.length).toBe(before + 1);
    }
    world.writes.at(-1)?.resolve({ outcome: "recorded" });
    await world.clock.settle();
    expect(world.seen("a")).toEqual(["x"]);
  });

  it("that was fenced gives the whole shard up and answers everybody who waits", async () => {
    world.ask(A, say("x", [commit, answer]));
    world.ask(A, say("after", [answer]));
    world.host.deliver(B, SHARD, say("other"));
    await world.clock.settle();
    world.writes[0]?.resolve({ outcome: "fenced" });
    await world.clock.settle();
    expect(world.log).toEqual(["answer unavailable null", "answer unavailable null", "fenced 3"]);
    expect(world.host.count("delivery")).toBe(0);
  });

  it("of a shard that was given up meanwhile has no effect here", async () => {
    world.ask(A, say("x", [commit, send("c1")]));
    await world.clock.settle();
    world.host.giveUp(SHARD);
    world.writes[0]?.resolve({ outcome: "recorded" });
    await world.clock.settle();
    expect(world.log).toEqual(["answer unavailable null"]);
  });

  it("D8: is not repeated for a shard that was given up: it may be this node's again, in a newer epoch", async () => {
    world.ask(A, say("x", [commit, answer]));
    await world.clock.settle();
    world.writes[0]?.reject(new DispatchError("unavailable"));
    await world.clock.settle();
    world.host.giveUp(SHARD);
    await world.clock.advance(5_000);
    expect(world.writes).toHaveLength(1);
    expect(world.log.at(-1)).toBe("answer unavailable null");
    expect(world.host.isQuiet()).toBe(true);
  });

  it.each([
    ["a mistake of ours", new Error("syntax error")],
    ["too much to do", new DispatchError("overloaded")],
    ["refused data", failureOf(SERVER_CASES.find(({ about }) => about === "command")!)],
  ])("that meets %s parks nobody: it is tried again until it is recorded", async (_, error) => {
    world.host.deliver(A, SHARD, say("x", [commit]));
    await world.clock.settle();
    for (let i = 0; i < 3; i++) {
      world.writes.at(-1)?.reject(error);
      await world.clock.advance(5_000);
    }
    expect([world.host.parked(), world.writes.length]).toEqual([[], 4]);
    world.writes.at(-1)?.resolve({ outcome: "recorded" });
    await world.clock.settle();
    expect(world.seen("a")).toEqual(["x"]);
  });
});

describe("a step that throws (H3)", () => {
  it("changes nothing, parks the actor and answers the request", async () => {
    world.host.deliver(A, SHARD, say("x"));
    world.ask(A, { type: "bomb" });
    world.ask(A, say("after"));
    await world.clock.settle();
    expect(world.seen("a")).toEqual(["x"]);
    expect(world.log).toEqual(["threw a bomb", "answer internal null", "answer internal null"]);
    expect(world.host.parked()).toEqual([A]);
  });

  it("leaves the actor deaf until it is loaded anew, from its first state", async () => {
    world.host.deliver(A, SHARD, { type: "bomb" });
    await world.clock.settle();
    world.ask(A, { type: "changed" });
    await world.clock.settle();
    expect(world.log.at(-1)).toBe("answer internal null");
    world.host.deliver(A, SHARD, { type: "resumed" });
    await world.clock.settle();
    expect(world.seen("a")).toEqual(["resumed"]);
    expect(world.host.parked()).toEqual([]);
  });
});

describe("alarms (H4)", () => {
  it("ring at the deadline that the state has, and follow it when it moves", async () => {
    const start = world.clock.now();
    world.host.deliver(A, SHARD, say("x", [], start + 500));
    world.host.deliver(B, SHARD, say("y", [], start + 300));
    await world.clock.advance(100);
    world.host.deliver(A, SHARD, say("moved", [], start + 200));
    world.host.deliver(B, SHARD, say("dropped", [], null));
    await world.clock.advance(99);
    expect(world.seen("a")).toEqual(["x", "moved"]);
    await world.clock.advance(1);
    expect(world.seen("a")).toEqual(["x", "moved", "woke"]);
    await world.clock.advance(1_000);
    expect(world.seen("a")).toEqual(["x", "moved", "woke"]);
    expect(world.seen("b")).toEqual(["y", "dropped"]);
    expect(world.clock.pending()).toBe(0);
  });

  it("wait for the commit that is under way", async () => {
    world.host.deliver(A, SHARD, say("x", [], world.clock.now() + 100));
    world.host.deliver(A, SHARD, say("y", [commit]));
    await world.clock.advance(500);
    expect(world.seen("a")).toEqual(["x"]);
    world.writes[0]?.resolve({ outcome: "recorded" });
    await world.clock.settle();
    expect(world.seen("a")).toEqual(["x", "y", "woke"]);
  });

  it("of an actor that never moves its deadline do not spin", async () => {
    world.host.deliver({ kind: "courier", id: "s" }, SHARD, say("x"));
    await world.clock.advance(1_000);
    const woken = world.seen("s")?.length ?? 0;
    expect(woken).toBeGreaterThan(5);
    expect(woken).toBeLessThan(15);
    expect(world.counts).toContain("stuck_deadline");
  });
});

describe("overload (H6)", () => {
  it("what was begun is finished before anything new, even an alarm", async () => {
    const order: string[] = [];
    const post = { kind: "cell", id: "c", msg: { type: "leave", delivery: DELIVERY } } as const;
    world.onSend = () => {
      order.push("asked");
      world.host.deliver({ kind: "cell", id: "c" }, SHARD, say("reply"));
    };
    world.onState = (id) => void order.push(id);
    world.host.deliver(A, SHARD, say("x", [{ do: "send", post }], world.clock.now()));
    world.host.deliver(B, SHARD, say("new"));
    await world.clock.advance(1);
    expect(order).toEqual(["a", "asked", "c", "b", "a"]);
  });
});

describe("bounds", () => {
  it("a full mailbox refuses, and says so to whoever asked", async () => {
    world = drive({ mailboxMaxMsgs: 2 });
    for (const name of ["1", "2", "3"]) world.ask(A, say(name, [answer]));
    expect(world.log).toEqual(["answer overloaded null"]);
    await world.clock.settle();
    expect(world.seen("a")).toEqual(["1", "2"]);
    expect(world.counts).toEqual(["overloaded"]);
  });

  it("a request that the actor does not answer is answered all the same (H5)", async () => {
    world.ask(A, say("x"));
    await world.clock.settle();
    expect(world.log).toEqual(["unanswered a say", "answer internal null"]);
  });
});

describe("activation", () => {
  it("what is durable comes before the message that woke the actor", async () => {
    world = drive({ loads: new Map([["a", { type: "resumed" }]]) });
    world.host.deliver(A, SHARD, { type: "changed" });
    world.host.deliver(A, SHARD, { type: "wake" });
    await world.clock.settle();
    expect(world.seen("a")).toEqual(["resumed", "changed", "wake"]);
  });

  it("a message that begins an actor needs nothing loaded", async () => {
    world = drive({ loads: new Map() });
    world.host.deliver(A, SHARD, say("created"));
    await world.clock.settle();
    expect(world.seen("a")).toEqual(["created"]);
  });

  it("of something that does not exist drops the message and answers not_found", async () => {
    world = drive({ loads: new Map([["a", null]]) });
    world.ask(A, { type: "declined" });
    await world.clock.settle();
    expect(world.log).toEqual(["answer not_found null"]);
    expect(world.host.has("delivery", "a")).toBe(false);
  });

  it("an actor that asks for its row again gets it without waiting for it", async () => {
    world = drive({ loads: new Map([["a", { type: "resumed" }]]) });
    world.host.deliver(A, SHARD, say("x", [{ do: "reload", delivery: DELIVERY }]));
    world.host.deliver(A, SHARD, say("y"));
    await world.clock.settle();
    expect(world.seen("a")).toEqual(["x", "y", "resumed"]);
  });

  it("an idle actor leaves memory, unless it has a deadline to keep", async () => {
    world.host.deliver(A, SHARD, say("x"));
    world.host.deliver(B, SHARD, say("y", [], world.clock.now() + 60_000));
    await world.clock.advance(999);
    world.host.passivate();
    expect(world.host.count("delivery")).toBe(2);
    await world.clock.advance(1);
    world.host.passivate();
    expect(world.host.has("delivery", "a")).toBe(false);
    expect(world.states.get("a")).toBeNull();
    expect(world.host.has("delivery", "b")).toBe(true);
  });
});
