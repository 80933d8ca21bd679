import { beforeEach, describe, expect, it } from "vitest";
import { DispatchError } from "../../proto/errors.ts";
import { BLOCKED_KEEPS_MS } from "../../proto/limits.ts";
import type { Epoch, NodeId, ShardId } from "../../proto/ids.ts";
import { streamMessages } from "../../proto/messages.ts";
import { FailureDetector } from "./failure-detector.ts";
import type { BusMessage } from "../io/nats/nats.ts";
import { VirtualClock } from "../io/virtual-clock.ts";
import type { Beat } from "./membership.ts";
import { Ownership } from "./ownership.ts";

const ME = "node_me" as NodeId;
const SHARDS = [0, 1, 2] as ShardId[];

let clock: VirtualClock;
let said: Beat[];
let log: string[];
/** Whether what this node publishes comes back to it. */
let isEchoed: boolean;
/**
 * What the store says of epochs; a rejection when it is away, a promise that never ends when it
 * hangs.
 */
let owners: () => Promise<readonly { shard: ShardId; epoch: Epoch; node: string }[]>;
/** What Postgres says to the probe. */
let probe: () => Promise<void>;
let hear: (message: BusMessage) => void;
let ownership: Ownership;
let failureDetector: FailureDetector;

beforeEach(async () => {
  clock = new VirtualClock();
  [said, log, isEchoed] = [[], [], true];
  owners = () => Promise.resolve([]);
  probe = () => Promise.resolve();
  ownership = new Ownership({
    node: ME,
    store: {
      takeShards: (_node, expected) =>
        Promise.resolve(new Map([...expected].map(([s, e]) => [s, (e + 1) as Epoch]))),
      shardOwners: () => {
        log.push("read");
        return owners();
      },
      write: () => Promise.resolve({ outcome: "recorded" }),
    },
    listen: () => () => undefined,
    follow: () => () => undefined,
    onLost: (shard) => void log.push(`lost ${shard}`),
  });
  failureDetector = new FailureDetector({
    clock,
    bus: {
      subscribe: (_subject, onMessage) => {
        hear = onMessage;
        return () => undefined;
      },
      publish: (_subject, data) => {
        said.push(streamMessages.decode(data) as Beat);
        if (isEchoed) clock.after(1, () => hear({ data } as BusMessage));
        return true;
      },
    },
    subjects: { beat: "t.node.beat" },
    self: ME,
    shards: SHARDS,
    times: { beatMs: 100, suspectMs: 500, settleMs: 1_000 },
    ownership,
    probe: () => probe(),
    onFitness: (isAble) => void log.push(isAble ? "able" : "unable"),
    take: async (shards) => void (await ownership.take(shards)),
    handOver: (shards) => {
      ownership.yield(shards);
      ownership.yielded(shards);
      return Promise.resolve();
    },
    pause: () => void log.push("pause"),
    resume: () => void log.push("resume"),
    onSuspect: (node, isSuspect) => void log.push(`${node} ${isSuspect ? "silent" : "heard"}`),
    onDoubt: (why) => void log.push(why),
  });
  failureDetector.start();
  failureDetector.becomeReady();
  await clock.advance(200);
  log.length = 0;
});

const peerBeat = (
  number: number,
  owned: Beat["owned"] = [],
  blocked: boolean | null = null,
): BusMessage => {
  const beat = {
    type: "beat",
    node: "node_b" as NodeId,
    number,
    phase: "ready",
    lagMs: 0,
  } as const;
  return { data: streamMessages.encode({ ...beat, owned, blocked }) } as BusMessage;
};

/** The loop stands still: timers fire late. */
function stall(ms: number): Promise<void> {
  clock.jump(ms);
  return clock.advance(200);
}

describe("a failure detector", () => {
  it("takes what nobody has, and says so ten times a second", () => {
    expect(ownership.owned()).toEqual(SHARDS);
    expect(said.at(-1)?.owned).toEqual(SHARDS.map((shard) => ({ shard, epoch: 1 })));
    expect(said.length).toBeGreaterThanOrEqual(3);
  });

  it("gives way at once to a beat with a higher epoch", async () => {
    hear(peerBeat(1, [{ shard: 1, epoch: 2 }]));
    await clock.settle();
    expect(log).toContain("lost 1");
  });

  it("reads the epochs before it goes on after its loop stood still", async () => {
    owners = () => Promise.resolve([{ shard: 2 as ShardId, epoch: 9 as Epoch, node: "node_b" }]);
    await stall(700);
    expect(log.slice(0, 5)).toEqual(["pause", "read", "lost 2", "resume", "stalled"]);
  });

  it("doubts nothing after a short pause", async () => {
    await stall(300);
    expect(log).toEqual([]);
  });

  it("reads the epochs again and again while it does not hear itself, and goes on", async () => {
    isEchoed = false;
    await clock.advance(2_100);
    expect(log.filter((line) => line === "unheard").length).toBeGreaterThanOrEqual(2);
    expect(log.filter((line) => line === "pause").length).toBe(
      log.filter((line) => line === "resume").length,
    );
    expect(ownership.owned()).toEqual(SHARDS);
  });

  it("goes on when the store is away, because nobody can have taken anything", async () => {
    owners = () => Promise.reject(new DispatchError("unavailable"));
    await stall(700);
    expect(log).toEqual(["pause", "read", "resume", "stalled"]);
    expect(ownership.owned()).toEqual(SHARDS);
  });

  it("waits only a moment for a store that hangs", async () => {
    owners = () => new Promise(() => undefined);
    await stall(700);
    expect(log).toEqual(["pause", "read"]);
    await clock.advance(300);
    expect(log).toEqual(["pause", "read", "resume", "stalled"]);
  });

  it("says goodbye with a last beat", async () => {
    failureDetector.leave();
    await failureDetector.stop();
    expect(said.at(-1)?.phase).toBe("gone");
  });
});

describe("a node that Postgres does not answer", () => {
  it("says so in its beats, keeps what it has while nobody else can commit, and tries what nobody has", async () => {
    probe = () => Promise.reject(new DispatchError("unavailable"));
    await clock.advance(1_500);
    expect(said.at(-1)).toMatchObject({ blocked: true, phase: "ready" });
    expect(log).toEqual(["unable"]);
    expect(ownership.owned()).toEqual(SHARDS);
    for (let number = 1; number <= 60; number++) {
      hear(peerBeat(number, [], true));
      await clock.advance(100);
    }
    expect(ownership.owned()).toEqual(SHARDS);
    probe = () => Promise.resolve();
    await clock.advance(1_500);
    expect(said.at(-1)?.blocked).toBe(false);
    expect(log.filter((line) => line.endsWith("able"))).toEqual(["unable", "able"]);
  });

  it("and a probe that hangs are the same", async () => {
    probe = () => new Promise(() => undefined);
    await clock.advance(1_500);
    expect(said.at(-1)?.blocked).toBe(true);
  });

  it("loses its shards to one that can, which waits until it is sure", async () => {
    ownership.see(1 as ShardId, 7 as Epoch);
    expect(ownership.owned()).toEqual([0, 2]);
    const takes = async (blocked: boolean, ms: number): Promise<boolean> => {
      for (let passed = 0; passed < ms; passed += 100) {
        hear(peerBeat(++peerNumber, [{ shard: 1, epoch: 7 }], blocked));
        await clock.advance(100);
      }
      return ownership.owns(1 as ShardId);
    };
    let peerNumber = 0;
    expect(await takes(false, 5_000)).toBe(false);
    expect(await takes(true, BLOCKED_KEEPS_MS - 200)).toBe(false);
    // Said again in between that it can: the while begins anew.
    expect(await takes(false, 100)).toBe(false);
    expect(await takes(true, BLOCKED_KEEPS_MS - 200)).toBe(false);
    expect(await takes(true, 500)).toBe(true);
  });

  it("after an outage for everybody the first who can again takes nothing from the others", async () => {
    ownership.see(1 as ShardId, 7 as Epoch);
    let peerNumber = 0;
    const pass = async (ms: number, blocked: boolean): Promise<void> => {
      for (let passed = 0; passed < ms; passed += 100) {
        hear(peerBeat(++peerNumber, [{ shard: 1, epoch: 7 }], blocked));
        await clock.advance(100);
      }
    };
    probe = () => Promise.reject(new DispatchError("unavailable"));
    await pass(20_000, true);
    probe = () => Promise.resolve();
    await pass(BLOCKED_KEEPS_MS - 200, true);
    await pass(2_000, false);
    expect(ownership.owns(1 as ShardId)).toBe(false);
  });
});
