import { describe, expect, it } from "vitest";
import { steadyTime } from "./clock.ts";

const HOUR_MS = 3_600_000;

/** A machine: its wall clock can be set, its other one cannot. */
function machine() {
  const at = { wall: 1_700_000_000_000, elapsed: 500, slept: 0 };
  const now = steadyTime(
    () => at.wall,
    () => at.elapsed,
    () => at.slept,
  );
  return {
    now,
    at,
    pass: (ms: number): void => {
      at.wall += ms;
      at.elapsed += ms;
    },
  };
}

describe("the time of a process", () => {
  it("is the machine's while nobody sets that", () => {
    const { now, at, pass } = machine();
    for (let i = 0; i < 1_000; i++) {
      pass(7);
      expect(now()).toBe(at.wall);
    }
  });

  it.each([-HOUR_MS, -20_000, 20_000, HOUR_MS])("does not step when that is set by %d ms", (ms) => {
    const { now, at, pass } = machine();
    const before = now();
    at.wall += ms;
    expect(now()).toBe(before);
    pass(1_000);
    expect(now() - before).toBeGreaterThanOrEqual(900);
    expect(now() - before).toBeLessThanOrEqual(1_100);
  });

  it("has passed while the machine slept", () => {
    const { now, at, pass } = machine();
    at.wall += HOUR_MS;
    at.slept += HOUR_MS;
    now();
    pass(1_001);
    expect(at.wall - now()).toBeLessThan(2_000);
    pass(60_000);
    expect(now()).toBe(at.wall);
  });

  it.each([-20_000, 20_000])(
    "is the machine's again ten times as long after a step of %d ms",
    (ms) => {
      const { now, at, pass } = machine();
      at.wall += ms;
      let last = now();
      for (let i = 0; i < 210; i++) {
        pass(1_000);
        expect(now()).toBeGreaterThan(last);
        last = now();
      }
      expect(Math.abs(last - at.wall)).toBeLessThanOrEqual(1);
    },
  );
});
