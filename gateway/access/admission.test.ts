import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { CALM_MS, OPEN, admits, step } from "./admission.ts";
import type { Admission, Level, Pressure, RequestKind } from "./admission.ts";

const LIMITS = { lagMs: 100, requests: 10, statements: 20 };
const NONE: Pressure = { lagMs: 0, requests: 0, statements: 0 };
/** A pressure of so many times the limits, in each of its parts. */
const loads = (times: number): readonly Pressure[] => [
  { ...NONE, lagMs: 100 * times },
  { ...NONE, requests: 10 * times },
  { ...NONE, statements: 20 * times },
];
const at = (level: Level, calmSince: number | null = null): Admission => ({ level, calmSince });

describe("admission", () => {
  it("refuses reads first, then creates, accepts and statuses last", () => {
    const taken: Record<Level, readonly RequestKind[]> = {
      0: ["read", "create", "command"],
      1: ["create", "command"],
      2: ["command"],
      3: [],
    };
    for (const level of [0, 1, 2, 3] as const) {
      const kinds = (["read", "create", "command"] as const).filter((k) => admits(at(level), k));
      expect(kinds).toEqual(taken[level]);
    }
  });

  /** From each level: the level after a moment of that load. It never falls at once. */
  const table: readonly (readonly [load: number, after: Readonly<Record<Level, Level>>])[] = [
    [0, { 0: 0, 1: 1, 2: 2, 3: 3 }],
    [0.99, { 0: 0, 1: 1, 2: 2, 3: 3 }],
    [1, { 0: 1, 1: 1, 2: 2, 3: 3 }],
    [1.99, { 0: 1, 1: 1, 2: 2, 3: 3 }],
    [2, { 0: 2, 1: 2, 2: 2, 3: 3 }],
    [4, { 0: 3, 1: 3, 2: 3, 3: 3 }],
    [100, { 0: 3, 1: 3, 2: 3, 3: 3 }],
  ];
  it.each(table)("at %f times a limit the level rises at once", (load, after) => {
    for (const pressure of loads(load)) {
      for (const level of [0, 1, 2, 3] as const) {
        expect(step(at(level), pressure, LIMITS, 5).level).toBe(after[level]);
      }
    }
  });

  it("falls one step after a second of calm, and then another", () => {
    let state: Admission = at(2);
    const levels: number[] = [];
    for (let now = 0; now <= 3 * CALM_MS; now += CALM_MS / 2) {
      state = step(state, NONE, LIMITS, now);
      levels.push(state.level);
    }
    expect(levels).toEqual([2, 2, 1, 1, 0, 0, 0]);
    expect(step(OPEN, NONE, LIMITS, 9)).toBe(OPEN);
  });

  it("a pressure just below the step is no calm, and breaks one", () => {
    const [almost] = loads(0.8);
    let state = step(at(1), NONE, LIMITS, 0);
    expect(state.calmSince).toBe(0);
    state = step(state, almost!, LIMITS, 500);
    expect(state).toEqual(at(1));
    state = step(state, almost!, LIMITS, 60_000);
    expect(state.level).toBe(1);
  });

  it("never falls by more than a step within the time of calm, whatever comes", () => {
    const moments = fc.array(fc.tuple(fc.double({ min: 0, max: 6, noNaN: true }), fc.nat(400)));
    fc.assert(
      fc.property(moments, (all) => {
        let state: Admission = OPEN;
        let now = 0;
        let fellAt = -Infinity;
        for (const [load, ms] of all) {
          now += ms;
          const next = step(state, loads(load)[0]!, LIMITS, now);
          if (next.level < state.level) {
            expect(state.level - next.level).toBe(1);
            expect(now - fellAt).toBeGreaterThanOrEqual(CALM_MS);
            fellAt = now;
          }
          state = next;
        }
      }),
      { seed: 7 },
    );
  });
});
