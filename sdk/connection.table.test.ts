/** The full table of the connection machine: every state meets every event. */
import { describe, expect, test } from "vitest";
import { CLIENT_CODES, step } from "./connection.ts";
import type { Connection, ConnectionEvent } from "./connection.ts";

const NOW = 100_000;
const lost = { code: 1006, text: "" };
const states: Record<Connection["at"] | "idle", Connection> = {
  idle: { at: "disconnected", reason: CLIENT_CODES.idle, attempts: 0, retryAt: null },
  disconnected: { at: "disconnected", reason: lost, attempts: 2, retryAt: NOW },
  connecting: { at: "connecting", attempts: 2, until: NOW },
  connected: {
    at: "connected",
    attempts: 2,
    since: NOW - 60_000,
    heardAt: NOW - 60_000,
    idleMs: 60_000,
    probed: true,
    comeBackWithinMs: 0,
  },
  closed: { at: "closed", reason: lost },
};
const events: Record<ConnectionEvent["type"] | "lost for good", ConnectionEvent> = {
  start: { type: "start" },
  stop: { type: "stop" },
  woke: { type: "woke", random: 0.5 },
  hurry: { type: "hurry" },
  welcome: { type: "welcome", idleMs: 60_000, comeBackWithinMs: 0 },
  heard: { type: "heard" },
  come_back: { type: "come_back", withinMs: 9_000 },
  lost: { type: "lost", reason: lost, random: 0.5 },
  "lost for good": { type: "lost", reason: { code: 4500, text: "" }, random: 0.5 },
};

/** "same" is the very same object: the event does not apply. */
type Row = Record<keyof typeof events, string>;
const table: Record<keyof typeof states, Row> = {
  idle: {
    start: "connecting dial",
    stop: "closed hang_up",
    woke: "same",
    hurry: "same",
    welcome: "same",
    heard: "same",
    come_back: "same",
    lost: "same",
    "lost for good": "same",
  },
  disconnected: {
    start: "same",
    stop: "closed hang_up",
    woke: "connecting dial",
    hurry: "connecting dial",
    welcome: "same",
    heard: "same",
    come_back: "same",
    lost: "same",
    "lost for good": "same",
  },
  connecting: {
    start: "same",
    stop: "closed hang_up",
    woke: "disconnected hang_up",
    hurry: "same",
    welcome: "connected",
    heard: "same",
    come_back: "same",
    lost: "disconnected",
    "lost for good": "closed",
  },
  connected: {
    start: "same",
    stop: "closed hang_up",
    woke: "disconnected hang_up",
    hurry: "same",
    welcome: "same",
    heard: "connected",
    come_back: "connected",
    lost: "disconnected",
    "lost for good": "closed",
  },
  closed: {
    start: "connecting dial",
    stop: "same",
    woke: "same",
    hurry: "same",
    welcome: "same",
    heard: "same",
    come_back: "same",
    lost: "same",
    "lost for good": "same",
  },
};

describe("every state meets every event", () => {
  for (const [state, row] of Object.entries(table)) {
    for (const [event, expected] of Object.entries(row)) {
      test(`${state} + ${event} -> ${expected}`, () => {
        const before = states[state as keyof typeof states];
        const [after, ...effects] = step(before, events[event as keyof typeof events], NOW);
        const seen = after === before ? "same" : [after.at, ...effects].join(" ");
        expect(seen).toBe(expected);
      });
    }
  }
});

describe("the pauses", () => {
  const pauseAfter = (state: Connection, random: number): number => {
    const [after] = step(state, { type: "lost", reason: lost, random }, NOW);
    return after.at === "disconnected" ? (after.retryAt ?? 0) - NOW : -1;
  };

  test("grow from half a second to twenty with full jitter", () => {
    const after = (attempts: number, random: number): number =>
      pauseAfter({ at: "connecting", attempts, until: NOW + 1 }, random);
    expect([1, 2, 3, 7, 40].map((attempts) => after(attempts, 0.999_999))).toEqual([
      500, 1000, 2000, 20_000, 20_000,
    ]);
    expect(after(7, 0.1)).toBe(2000);
  });

  test("C4: after an unexplained loss fall anywhere within the span that the server gave", () => {
    const up: Connection = {
      at: "connected",
      attempts: 1,
      since: NOW - 60_000,
      heardAt: NOW,
      idleMs: 60_000,
      probed: false,
      comeBackWithinMs: 8_000,
    };
    expect([0.1, 0.5, 0.999_999].map((random) => pauseAfter(up, random))).toEqual([
      800, 4_000, 8_000,
    ]);
    const [later] = step(up, { type: "come_back", withinMs: 20_000 }, NOW);
    expect(pauseAfter(later, 0.5)).toBe(10_000);
    const told = (code: number, retryAfterMs?: number): number => {
      const reason = { code, text: "" };
      const [next] = step(up, { type: "lost", reason, random: 0.5, retryAfterMs }, NOW);
      return next.at === "disconnected" ? (next.retryAt ?? 0) - NOW : -1;
    };
    // A gateway that says goodbye spreads its clients itself, and a code may ask for patience.
    expect([told(4001), told(4005), told(4001, 3_000), told(4503)]).toEqual([
      250, 5_250, 3_250, -1,
    ]);
  });

  test("C1: start over after five seconds of being connected, not before", () => {
    const up = (ms: number): Connection => ({
      at: "connected",
      attempts: 6,
      since: NOW - ms,
      heardAt: NOW,
      idleMs: 60_000,
      probed: false,
      comeBackWithinMs: 0,
    });
    expect(pauseAfter(up(4_999), 0.999_999)).toBe(16_000);
    expect(pauseAfter(up(5_000), 0.999_999)).toBe(500);
  });

  test("C3: half of the idle time in silence asks for a sign of life before giving up", () => {
    const quiet: Connection = {
      at: "connected",
      attempts: 0,
      since: NOW - 30_000,
      heardAt: NOW - 30_000,
      idleMs: 60_000,
      probed: false,
      comeBackWithinMs: 0,
    };
    const [after, ...effects] = step(quiet, { type: "woke", random: 0 }, NOW);
    expect([after.at, effects]).toEqual(["connected", ["probe"]]);
  });
});
