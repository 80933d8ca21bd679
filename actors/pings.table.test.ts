/** Suspicion: what jumps add, what time takes away, and when a courier is offered nothing. */
import { describe, expect, it } from "vitest";
import { DISPATCH_DEFAULTS } from "../proto/limits.ts";
import { NO_SUSPICION, isImplausible, judge } from "./pings.ts";
import type { Track } from "./pings.ts";

const S = DISPATCH_DEFAULTS;
const T0 = 1_000_000_000;
const HOME = { lng: -122.4, lat: 37.77 };
/** 300 km away. */
const FAR = { lng: -119.0, lat: 37.77 };
const FARTHER = { lng: -115.0, lat: 37.77 };
const NEAR = { lng: -122.401, lat: 37.77 };

type Fix = readonly [afterS: number, place: { lng: number; lat: number }, seq?: number];

const start: Track = {
  position: { ...HOME, at: T0 },
  heardAt: T0,
  seq: 1,
  doubt: null,
  suspicion: NO_SUSPICION,
};

/** The track after these pings, each `afterS` seconds after the start. */
function after(fixes: readonly Fix[], track = start): Track {
  return fixes.reduce((before, [afterS, place, seq], i) => {
    const at = T0 + afterS * 1_000;
    const ping = { ...place, at, seq: seq ?? i + 2, newest: true };
    return judge(before, ping, at, S).track;
  }, track);
}

describe("suspicion", () => {
  const cases: readonly (readonly [name: string, Fix[], points: number, implausible: boolean])[] = [
    ["nothing happened", [], 0, false],
    [
      "moves as one does",
      [
        [5, NEAR],
        [10, HOME],
      ],
      0,
      false,
    ],
    ["one jump", [[5, FAR]], 100, true],
    [
      "a jump of 300 km in 5 s, and back",
      [
        [5, FAR],
        [10, HOME],
      ],
      89.1,
      true,
    ],
    [
      "back for a half-life and a moment",
      [
        [5, FAR],
        [10, HOME],
        [36, HOME],
      ],
      48.9,
      false,
    ],
    [
      "back for ten minutes",
      [
        [5, FAR],
        [10, HOME],
        [610, HOME],
      ],
      0,
      false,
    ],
    [
      "to and fro",
      [
        [5, FAR],
        [6, HOME],
        [7, FAR],
        [8, HOME],
        [9, FAR],
      ],
      286.7,
      true,
    ],
    [
      "jumps that do not even agree",
      [
        [5, FAR],
        [6, FARTHER],
        [7, FAR],
      ],
      293.2,
      true,
    ],
    // A phone that was off during a flight: one jump, and the next pings only confirm it.
    [
      "really elsewhere",
      [
        [5, FAR],
        [10, FAR],
        [15, FAR],
      ],
      79.4,
      true,
    ],
    ["an old number, nowhere else", [[5, NEAR, 1]], 0, false],
  ];
  for (const [name, fixes, points, implausible] of cases) {
    it(`${name}: ${points}`, () => {
      const track = after(fixes);
      expect(track.suspicion.points).toBeCloseTo(points, 1);
      expect(isImplausible(track, S)).toBe(implausible);
    });
  }

  it("has an end however often somebody jumps, and is over after some half-lives", () => {
    const many = Array.from({ length: 200 }, (_, i): Fix => [i + 1, i % 2 === 0 ? FAR : FARTHER]);
    const track = after(many);
    expect(track.suspicion.points).toBeLessThanOrEqual(1_000);
    expect(track.position).toEqual(start.position);
    const later = after([[200 + 320, HOME, 300]], track);
    expect([later.suspicion, isImplausible(later, S)]).toEqual([NO_SUSPICION, false]);
  });

  it("can be switched off", () => {
    const track = after([
      [5, FAR],
      [6, HOME],
      [7, FAR],
    ]);
    expect(isImplausible(track, { ...S, PING_DOUBT_MAX: 1_000 })).toBe(false);
  });

  it("forgives nothing to a clock that steps back", () => {
    const track = after([[5, FAR]]);
    const { track: next } = judge(track, { ...HOME, at: T0 + 6_000, seq: 9, newest: true }, T0, S);
    expect(next.suspicion.points).toBe(100);
  });
});
