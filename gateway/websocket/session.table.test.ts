/**
 * The whole table of the session machine: each state against each message. `same` is the very same
 * object.
 */
import { describe, expect, it } from "vitest";
import type { ClientFrame } from "../../proto/frames.ts";
import type { PrincipalId } from "../../proto/ids.ts";
import { BAD_FRAMES_MAX, EXCESS_FRAMES_MAX, HELLO_TIMEOUT_MS } from "../../proto/limits.ts";
import type { Principal } from "../base/principal.ts";
import { FRAMES_BURST, deadline, openSession, step } from "./session.ts";
import type { Session, SessionMsg } from "./session.ts";

const NOW = 1_000_000;
const END = NOW + 60_000;
const principal: Principal = { role: "customer", subject: "cus_1" as PrincipalId, expiresAt: END };
const hello: ClientFrame = { type: "hello", version: 1, token: "t", client: "c" };
const track = { type: "track", ref: 7, delivery: "del_x" } as unknown as ClientFrame;

const STATES = {
  awaiting_hello: openSession(NOW),
  verifying: { at: "verifying", until: NOW + HELLO_TIMEOUT_MS, bad: 0 },
  ready: { at: "ready", principal, bad: 0, excess: 0, tokens: FRAMES_BURST, since: NOW },
  draining: { at: "draining", principal, until: NOW + 100 },
  closed: { at: "closed" },
} as const satisfies Record<Session["at"], Session>;

const MESSAGES = {
  hello: { type: "frame", frame: hello },
  request: { type: "frame", frame: track },
  unreadable: { type: "frame", frame: null },
  verified: { type: "verified", principal },
  refused: { type: "refused", code: "unauthorized" },
  late: { type: "refused", code: "token_expired" },
  undecided: { type: "refused", code: "unavailable" },
  woke_early: { type: "woke" },
  replaced: { type: "replaced" },
  revoked: { type: "revoked" },
  lagged: { type: "lagged" },
  stop: { type: "stop", closeAt: NOW + 100 },
  gone: { type: "gone" },
} as const satisfies Record<string, SessionMsg>;

/** The next state, and the effects in order: their name and what tells them apart. */
type Outcome = readonly [Session["at"] | "same", ...string[]];
const LEAVES = ["closed", "leave"] as const;

const TABLE: Record<Session["at"], Record<keyof typeof MESSAGES, Outcome>> = {
  awaiting_hello: {
    hello: ["verifying", "verify t"],
    request: ["closed", "close bad_frame"],
    unreadable: ["closed", "close bad_frame"],
    verified: ["same"],
    refused: ["same"],
    late: ["same"],
    undecided: ["same"],
    woke_early: ["same"],
    replaced: ["same"],
    revoked: ["same"],
    lagged: ["closed", "close slow_reader"],
    stop: ["closed", "close going_away"],
    gone: ["closed"],
  },
  verifying: {
    hello: ["verifying", "send bad_request"],
    request: ["verifying", "send bad_request"],
    unreadable: ["verifying", "send bad_request"],
    verified: ["ready", "enter"],
    refused: ["closed", "close unauthorized"],
    late: ["closed", "close token_expired"],
    undecided: ["closed", "send unavailable", "close internal"],
    woke_early: ["same"],
    replaced: ["same"],
    revoked: ["same"],
    lagged: ["closed", "close slow_reader"],
    stop: ["closed", "close going_away"],
    gone: ["closed"],
  },
  ready: {
    hello: ["ready", "send bad_request"],
    request: ["ready", "serve track"],
    unreadable: ["ready", "send bad_request"],
    verified: ["same"],
    refused: ["same"],
    late: ["same"],
    undecided: ["same"],
    woke_early: ["same"],
    replaced: ["closed", "close replaced", "leave"],
    revoked: ["closed", "close revoked", "leave"],
    lagged: ["closed", "close slow_reader", "leave"],
    stop: ["draining", "announceEnd"],
    gone: LEAVES,
  },
  draining: {
    hello: ["same"],
    request: ["same", "send unavailable 7"],
    unreadable: ["same"],
    verified: ["same"],
    refused: ["same"],
    late: ["same"],
    undecided: ["same"],
    woke_early: ["same"],
    replaced: ["closed", "close replaced", "leave"],
    revoked: ["closed", "close revoked", "leave"],
    lagged: ["closed", "close slow_reader", "leave"],
    stop: ["same"],
    gone: LEAVES,
  },
  closed: {
    hello: ["same"],
    request: ["same"],
    unreadable: ["same"],
    verified: ["same"],
    refused: ["same"],
    late: ["same"],
    undecided: ["same"],
    woke_early: ["same"],
    replaced: ["same"],
    revoked: ["same"],
    lagged: ["same"],
    stop: ["same"],
    gone: ["same"],
  },
};

function outcome(state: Session, msg: SessionMsg, now: number): string[] {
  const [next, ...effects] = step(state, msg, now);
  const names = effects.map((effect) => {
    switch (effect.do) {
      case "verify":
        return `verify ${effect.credential}`;
      case "serve":
        return `serve ${effect.frame.type}`;
      case "send": {
        const { frame } = effect;
        if (frame.type !== "error") return `send ${frame.type}`;
        return `send ${frame.code}${frame.ref === null ? "" : ` ${frame.ref}`}`;
      }
      case "close":
        return `close ${effect.reason}`;
      default:
        return effect.do;
    }
  });
  return [next === state ? "same" : next.at, ...names];
}

describe("the session table", () => {
  for (const [at, row] of Object.entries(TABLE)) {
    for (const [name, expected] of Object.entries(row)) {
      it(`${at} + ${name} -> ${expected.join(", ")}`, () => {
        const state = STATES[at as Session["at"]];
        const msg = MESSAGES[name as keyof typeof MESSAGES];
        expect(outcome(state, msg, NOW)).toEqual(expected);
      });
    }
  }
});

describe("deadlines", () => {
  it("each state but the last has one, and it is acted on when it has come", () => {
    const woke = { type: "woke" } as const;
    const due = Object.values(STATES).map((state) => {
      const at = deadline(state);
      return at === null ? [state.at, "none"] : [state.at, outcome(state, woke, at)[1]];
    });
    expect(due).toEqual([
      ["awaiting_hello", "close hello_timeout"],
      ["verifying", "close hello_timeout"],
      ["ready", "close token_expired"],
      ["draining", "close going_away"],
      ["closed", "none"],
    ]);
  });

  it("S3: nothing is served after the token has ended, even if the alarm is late", () => {
    expect(outcome(STATES.ready, MESSAGES.request, END)).toEqual([
      "closed",
      "close token_expired",
      "leave",
    ]);
    expect(outcome(STATES.verifying, MESSAGES.verified, END)[1]).toBe("close token_expired");
  });
});

describe("S5: unreadable and too many frames", () => {
  const feed = (msg: SessionMsg, times: number, now: (i: number) => number) => {
    let state: Session = STATES.ready;
    const seen: string[] = [];
    for (let i = 0; i < times && state.at === "ready"; i++) {
      seen.push(...outcome(state, msg, now(i)).slice(1));
      [state] = step(state, msg, now(i));
    }
    return { state, seen };
  };

  it("the fifth unreadable frame ends the session", () => {
    const { state, seen } = feed(MESSAGES.unreadable, BAD_FRAMES_MAX, () => NOW);
    expect(state.at).toBe("closed");
    expect(seen.filter((s) => s === "send bad_request")).toHaveLength(BAD_FRAMES_MAX - 1);
    expect(seen).toContain("close bad_frame");
  });

  it("a burst is served, then requests are refused one by one, then the session ends", () => {
    const total = FRAMES_BURST + EXCESS_FRAMES_MAX;
    const { state, seen } = feed(MESSAGES.request, total, () => NOW);
    expect(state.at).toBe("closed");
    expect(seen.filter((s) => s === "serve track")).toHaveLength(FRAMES_BURST);
    expect(seen.filter((s) => s === "send rate_limited 7")).toHaveLength(EXCESS_FRAMES_MAX - 1);
    expect(seen).toContain("close too_many_frames");
  });

  it("whoever keeps to the rate is served for ever", () => {
    const { state, seen } = feed(MESSAGES.request, 2_000, (i) => NOW + i * 20);
    expect(state.at).toBe("ready");
    expect(seen.filter((s) => s === "serve track")).toHaveLength(2_000);
  });
});
