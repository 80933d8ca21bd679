import { describe, expect, it } from "vitest";
import type { NodeId } from "../../proto/ids.ts";
import { alivePeers, isConnected, newMembership, stepMembership } from "./membership.ts";
import type { Beat, Membership, Phase } from "./membership.ts";

const TIMES = { beatMs: 100, suspectMs: 500 };
const [ME, A, B] = ["node_me", "node_a", "node_b"] as NodeId[] as [NodeId, NodeId, NodeId];
const START = 10_000;

/** Drives one observer: ticks every 100 ms, beats as the test says. */
class Observer {
  state: Membership = newMembership(ME, START);
  now = START;
  #numbers = new Map<NodeId, number>();

  hear(node: NodeId, phase: Phase = "ready", number?: number, blocked = false): this {
    const next = number ?? (this.#numbers.get(node) ?? 0) + 1;
    this.#numbers.set(node, next);
    const beat: Beat = { type: "beat", node, number: next, phase, lagMs: 0, owned: [], blocked };
    this.state = stepMembership(this.state, { type: "beat", beat }, this.now, TIMES);
    return this;
  }

  /** Time passes, with a tick each 100 ms, and these nodes beat before each. */
  pass(ms: number, ...beating: readonly NodeId[]): this {
    for (let passed = 0; passed < ms; passed += TIMES.beatMs) {
      this.now += TIMES.beatMs;
      for (const node of beating) this.hear(node);
      this.tick();
    }
    return this;
  }

  /** The observer itself stands still. */
  stall(ms: number): this {
    this.now += ms;
    return this.tick();
  }

  tick(): this {
    this.state = stepMembership(this.state, { type: "tick" }, this.now, TIMES);
    return this;
  }

  alive(): string[] {
    return alivePeers(this.state).map((peer) => peer.node);
  }
}

describe("a peer", () => {
  const cases: readonly (readonly [string, (o: Observer) => Observer, string[]])[] = [
    ["unheard: not there", (o) => o, []],
    ["unheard + beat: alive", (o) => o.hear(A), [A]],
    ["alive + silence up to the limit: alive", (o) => o.hear(A).pass(500, ME), [A]],
    ["alive + longer silence: suspect", (o) => o.hear(A).pass(600, ME), []],
    ["suspect + beat: alive", (o) => o.hear(A).pass(600, ME).hear(A), [A]],
    ["suspect + old beat: still suspect", (o) => o.hear(A).pass(600, ME).hear(A, "ready", 1), []],
    ["alive + last beat: gone", (o) => o.hear(A).hear(A, "gone"), []],
    ["starting: alive", (o) => o.hear(A, "starting"), [A]],
    ["one silent, one not", (o) => o.hear(A).hear(B).pass(600, ME, B), [B]],
  ];
  for (const [name, drive, alive] of cases) {
    it(name, () => expect(drive(new Observer()).alive()).toEqual(alive));
  }

  it("is alive since it was heard without a break", () => {
    const o = new Observer().hear(A).pass(300, ME, A);
    expect(o.state.peers.get(A)?.aliveSince).toBe(START);
    o.pass(700, ME).hear(A);
    expect(o.state.peers.get(A)?.aliveSince).toBe(o.now);
  });

  it("is forgotten after a long silence", () => {
    expect(new Observer().hear(A).pass(10_200, ME).state.peers.size).toBe(0);
  });
});

describe("an observer", () => {
  it("that stood still blames nobody for it (M1)", () => {
    const o = new Observer().pass(200, ME, A).stall(3_000);
    expect(o.alive()).toEqual([A]);
    expect(o.state.lagMs).toBe(2_900);
    expect(isConnected(o.state, TIMES)).toBe(true);
  });

  it("that does not hear itself suspects nobody, and knows it (M2)", () => {
    const o = new Observer().pass(200, ME, A).pass(700);
    expect(o.alive()).toEqual([A]);
    expect(isConnected(o.state, TIMES)).toBe(false);
    expect(isConnected(o.hear(ME).tick().state, TIMES)).toBe(true);
  });

  it("that hears itself again gives the others their time anew only by their beats", () => {
    const o = new Observer().pass(200, ME, A).pass(700).pass(100, ME);
    expect(o.alive()).toEqual([]);
    expect(o.hear(A).alive()).toEqual([A]);
  });

  it("takes beats in their order (M3)", () => {
    const o = new Observer().hear(A, "leaving", 5).hear(A, "ready", 4);
    expect(o.state.peers.get(A)?.phase).toBe("leaving");
  });

  it("whose clock is set back suspects nobody", () => {
    const o = new Observer().pass(200, ME, A);
    o.now -= 5_000;
    expect(o.tick().pass(300, ME, A).alive()).toEqual([A]);
  });
});
