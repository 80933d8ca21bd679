/** A session in time: how fast it may send, how often it may err, and with which code it ends. */
import { describe, expect, it } from "vitest";
import type { ErrorCode } from "../../proto/errors.ts";
import type { ClientFrame } from "../../proto/frames.ts";
import type { PrincipalId } from "../../proto/ids.ts";
import { BAD_FRAMES_MAX, FRAMES_PER_SESSION_PER_S_MAX } from "../../proto/limits.ts";
import type { Principal } from "../base/principal.ts";
import { FRAMES_BURST, deadline, openSession, step } from "./session.ts";
import type { Session, SessionEffect, SessionMsg } from "./session.ts";

const T0 = 1_800_000_000_000;
const principal: Principal = {
  ...{ role: "customer", subject: "cus_1" as PrincipalId, expiresAt: T0 + 600_000 },
};
const hello = (version = 1): ClientFrame => ({
  ...({ type: "hello", token: "t", client: "c" } as const),
  version,
});
const ask = (ref: number): ClientFrame => ({ type: "track", ref }) as unknown as ClientFrame;
/** A frame that nobody waits an answer for. */
const ping = { type: "ping" } as unknown as ClientFrame;

function drive() {
  let state: Session = openSession(T0);
  const told: SessionEffect[] = [];
  const send = (msg: SessionMsg, atMs = 0): readonly SessionEffect[] => {
    const [next, ...effects] = step(state, msg, T0 + atMs);
    state = next;
    told.push(...effects);
    return effects;
  };
  const frame = (one: ClientFrame | null, atMs = 0): string[] =>
    send({ type: "frame", frame: one }, atMs).map(wordOf);
  return { send, frame, state: () => state };
}
function wordOf(effect: SessionEffect): string {
  if (effect.do === "close") return `close ${effect.reason}`;
  if (effect.do !== "send") return effect.do;
  return effect.frame.type === "error" ? `error ${effect.frame.code}` : effect.frame.type;
}
const ready = () => {
  const session = drive();
  session.frame(hello());
  session.send({ type: "verified", principal });
  return session;
};

describe("before the welcome", () => {
  it("another version of the protocol is told that it is one", () => {
    expect(drive().frame(hello(2))).toEqual(["close wrong_version"]);
  });

  it("frames that come too soon are complained of, and the fifth ends it", () => {
    const session = drive();
    session.frame(hello());
    const answers = Array.from({ length: BAD_FRAMES_MAX }, () => session.frame(ask(1)));
    expect(answers.slice(0, -1).flat()).toEqual(Array(4).fill("error bad_request"));
    expect(answers.at(-1)).toEqual(["close bad_frame"]);
  });

  it.each([
    ["unauthorized", "close unauthorized"],
    ["token_expired", "close token_expired"],
    ["overloaded", "close overloaded"],
    ["rate_limited", "close overloaded"],
    ["unavailable", "close internal"],
  ] as const)("a credential refused as %s ends it by %s", (code: ErrorCode, word) => {
    const session = drive();
    session.frame(hello());
    expect(session.send({ type: "refused", code }).map(wordOf).at(-1)).toBe(word);
  });
});

describe("a session", () => {
  it("ends with its credential, to the millisecond", () => {
    const session = ready();
    expect(deadline(session.state())).toBe(principal.expiresAt);
    expect(session.send({ type: "woke" }, 599_999)).toEqual([]);
    expect(session.frame(ask(1), 600_000)).toEqual(["close token_expired", "leave"]);
  });

  it("has its burst at once, then fifty frames a second and no more", () => {
    const session = ready();
    const served = (count: number, atMs: number): number =>
      Array.from({ length: count }, (_, i) => session.frame(ask(i), atMs)[0]).filter(
        (word) => word === "serve",
      ).length;
    expect(served(FRAMES_BURST + 10, 0)).toBe(FRAMES_BURST);
    expect(served(FRAMES_PER_SESSION_PER_S_MAX + 10, 1_000)).toBe(FRAMES_PER_SESSION_PER_S_MAX);
    expect(served(10, 1_100)).toBe(5);
    // A clock that steps back gives nothing.
    expect(served(5, 0)).toBe(0);
  });

  it("answers each refused request, and of refused pings the first and then one in fifty", () => {
    const session = ready();
    for (let i = 0; i < FRAMES_BURST; i++) session.frame(ping);
    expect(session.frame(ask(7))).toEqual(["error rate_limited"]);
    const answers = Array.from({ length: 120 }, () => session.frame(ping).length);
    expect(answers.filter((count) => count > 0)).toHaveLength(2);
    expect(session.frame(null)).toEqual([]);
  });
});
