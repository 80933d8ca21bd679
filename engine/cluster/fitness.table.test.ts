/**
 * Whether a node says that it can commit: the full table, and the stories of cuts, flapping and
 * outages for all.
 */
import { describe, expect, it } from "vitest";
import { ABLE_AFTER_MAX_MS, ABLE_AFTER_MS, UNABLE_AFTER_MS } from "../../proto/limits.ts";
import { ableAfterMs, newFitness, stepFitness } from "./fitness.ts";
import type { Fitness, FitnessEvent } from "./fitness.ts";

const STEP_MS = 100;

class Node {
  now = 1_000_000;
  state: Fitness = newFitness(this.now);
  othersCan = true;
  changes: string[] = [];

  on(event: FitnessEvent): this {
    const before = this.state.at;
    this.state = stepFitness(this.state, event, this.now);
    if (before !== this.state.at) this.changes.push(this.state.at);
    return this;
  }

  /** Time passes: a tick each 100 ms, and the answers as they come. */
  pass(ms: number, answer: "answered" | "failed" | null): this {
    for (let passed = 0; passed < ms; passed += STEP_MS) {
      this.now += STEP_MS;
      if (answer !== null) this.on({ type: answer });
      this.on({ type: "tick", lagMs: 0, othersCan: this.othersCan });
    }
    return this;
  }
}

type Kind = FitnessEvent["type"] | "tick after silence";
const TABLE: Readonly<Record<Fitness["at"], Readonly<Record<Kind, Fitness["at"]>>>> = {
  able: { answered: "able", failed: "able", tick: "able", "tick after silence": "unable" },
  unable: { answered: "unable", failed: "unable", tick: "unable", "tick after silence": "unable" },
};

describe("the table", () => {
  for (const at of ["able", "unable"] as const) {
    for (const kind of ["answered", "failed", "tick", "tick after silence"] as const) {
      it(`${at} + ${kind}`, () => {
        const node = new Node();
        if (at === "unable") node.pass(UNABLE_AFTER_MS + STEP_MS, "failed");
        if (kind === "tick after silence") node.now += UNABLE_AFTER_MS + 1;
        const type = kind === "tick after silence" ? "tick" : kind;
        node.on(type === "tick" ? { type, lagMs: 0, othersCan: true } : { type });
        expect(node.state.at).toBe(TABLE[at][kind]);
      });
    }
  }
});

describe("a node", () => {
  it("that gets no answer, or refusals, says so after a second and not before", () => {
    for (const answer of [null, "failed"] as const) {
      const node = new Node().pass(10_000, "answered").pass(UNABLE_AFTER_MS, answer);
      expect(node.changes).toEqual([]);
      expect(node.pass(STEP_MS, answer).changes).toEqual(["unable"]);
    }
  });

  it("whose own loop stood still, or whose clock was set, blames nobody for it (F1)", () => {
    const stalled = new Node().pass(1_000, "answered");
    stalled.now += 5_000;
    stalled.on({ type: "tick", lagMs: 4_900, othersCan: true });
    expect(stalled.changes).toEqual([]);
    stalled.now -= 60_000;
    expect(stalled.pass(500, "answered").changes).toEqual([]);
  });

  it("is able again after a while of good answers, and a failure begins the while anew", () => {
    const node = new Node().pass(3_000, "failed").pass(ABLE_AFTER_MS - STEP_MS, "answered");
    node.pass(STEP_MS, "failed").pass(ABLE_AFTER_MS, "answered");
    expect(node.changes).toEqual(["unable"]);
    expect(node.pass(STEP_MS, "answered").changes).toEqual(["unable", "able"]);
  });

  it("that flaps waits twice as long each time: its shards do not go to and fro (F2)", () => {
    const node = new Node();
    for (let i = 0; i < 600; i++) node.pass(3_000, "answered").pass(3_000, "failed");
    // An hour of flapping: a handful of moves, and not six hundred.
    expect(node.changes.length).toBeLessThan(12);
    expect(ableAfterMs(1_000)).toBe(ABLE_AFTER_MAX_MS);
    // Well for five minutes and more, it begins anew (F3).
    node.pass(ABLE_AFTER_MAX_MS + 400_000, "answered");
    expect(node.state.relapses).toBe(0);
  });

  it("waits no longer for outages that were everybody's (F2)", () => {
    const node = new Node();
    node.othersCan = false;
    for (let i = 0; i < 20; i++) node.pass(3_000, "failed").pass(1_000, "answered");
    expect(node.state.relapses).toBe(0);
    expect(node.changes.length).toBe(40);
  });
});
