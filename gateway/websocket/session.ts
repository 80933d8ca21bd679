/**
 * One WebSocket connection as a pure machine: what it may do, when it must end, with which code. No
 * socket, no clock, no promise: `gateway/websocket/connections.ts` runs it.
 *
 *   awaiting_hello --hello--> verifying --verified--> ready --stop--> draining
 *         |                       |                     |                |
 *         +------- any reason to close (CLOSE_CODES) ---+----------------+--> closed
 *
 * Rules: the hello comes first and in time (S1); nothing is served before the credential is
 * verified (S2); nothing is served after it expired (S3); a session that entered leaves exactly
 * once (S4); unreadable and too many frames end a session, after warnings (S5); closed is closed,
 * whatever still arrives (S6).
 */
import type { CloseReason, ErrorCode } from "../../proto/errors.ts";
import { ERRORS } from "../../proto/errors.ts";
import { PROTOCOL_VERSION } from "../../proto/frames.ts";
import type { ClientFrame, ServerFrame } from "../../proto/frames.ts";
import type { Millis } from "../../proto/ids.ts";
import {
  BAD_FRAMES_MAX,
  EXCESS_FRAMES_MAX,
  FRAMES_PER_SESSION_PER_S_MAX,
  HELLO_TIMEOUT_MS,
} from "../../proto/limits.ts";
import type { Principal } from "../base/principal.ts";

/** Frames at once after a rest. */
export const FRAMES_BURST = 2 * FRAMES_PER_SESSION_PER_S_MAX;

export type Session =
  | { readonly at: "awaiting_hello"; readonly until: Millis }
  | { readonly at: "verifying"; readonly until: Millis; readonly bad: number }
  | {
      readonly at: "ready";
      readonly principal: Principal;
      /** Unreadable frames so far. */
      readonly bad: number;
      /** Frames beyond the rate so far. */
      readonly excess: number;
      /** Token bucket of frames: what was left at `since`. */
      readonly tokens: number;
      readonly since: Millis;
    }
  | { readonly at: "draining"; readonly principal: Principal; readonly until: Millis }
  | { readonly at: "closed" };

export type SessionMsg =
  /** Null: it could not be read. */
  | { readonly type: "frame"; readonly frame: ClientFrame | null }
  | { readonly type: "verified"; readonly principal: Principal }
  | { readonly type: "refused"; readonly code: ErrorCode }
  | { readonly type: "woke" }
  /** The same courier has a newer connection. */
  | { readonly type: "replaced" }
  /** Its credential was revoked. */
  | { readonly type: "revoked" }
  /** A frame that may not be lost was dropped. */
  | { readonly type: "lagged" }
  /** The gateway ends; close at `closeAt`. */
  | { readonly type: "stop"; readonly closeAt: Millis }
  /** The socket is gone. */
  | { readonly type: "gone" };

export type SessionEffect =
  | { readonly do: "verify"; readonly credential: string }
  | { readonly do: "enter"; readonly principal: Principal }
  | { readonly do: "serve"; readonly frame: ClientFrame }
  | { readonly do: "send"; readonly frame: ServerFrame }
  | { readonly do: "announceEnd" }
  | { readonly do: "close"; readonly reason: CloseReason }
  | { readonly do: "leave"; readonly principal: Principal };
export type SessionStep = readonly [Session, ...SessionEffect[]];

export const openSession = (now: Millis): Session => ({
  at: "awaiting_hello",
  until: now + HELLO_TIMEOUT_MS,
});

/** When the shell must send `woke`, if ever. */
export function deadline(s: Session): Millis | null {
  if (s.at === "closed") return null;
  return s.at === "ready" ? s.principal.expiresAt : s.until;
}

/**
 * Total over state and message. What comes late changes nothing: the very same state comes back.
 */
export function step(s: Session, msg: SessionMsg, now: Millis): SessionStep {
  if (s.at === "closed") return [s];
  if (msg.type === "gone") return leave(s);
  if (msg.type === "lagged") return close(s, "slow_reader");
  switch (s.at) {
    case "awaiting_hello":
      return awaitingHello(s, msg, now);
    case "verifying":
      return verifying(s, msg, now);
    case "ready":
      return ready(s, msg, now);
    case "draining":
      return draining(s, msg, now);
  }
}

type At<K extends Session["at"]> = Extract<Session, { at: K }>;

function awaitingHello(s: At<"awaiting_hello">, msg: SessionMsg, now: Millis): SessionStep {
  switch (msg.type) {
    case "frame": {
      const { frame } = msg;
      if (frame?.type !== "hello") return close(s, "bad_frame");
      if (frame.version !== PROTOCOL_VERSION) return close(s, "wrong_version");
      const next = { at: "verifying", until: s.until, bad: 0 } as const;
      return [next, { do: "verify", credential: frame.token }];
    }
    case "woke":
      return now < s.until ? [s] : close(s, "hello_timeout");
    case "stop":
      return close(s, "going_away");
    default:
      return [s];
  }
}

function verifying(s: At<"verifying">, msg: SessionMsg, now: Millis): SessionStep {
  switch (msg.type) {
    case "verified": {
      const { principal } = msg;
      if (principal.expiresAt <= now) return close(s, "token_expired");
      const next = { at: "ready", principal, bad: s.bad, excess: 0 } as const;
      return [
        { ...next, tokens: FRAMES_BURST, since: now },
        { do: "enter", principal },
      ];
    }
    case "refused":
      return refused(s, msg.code);
    case "frame":
      if (s.bad + 1 >= BAD_FRAMES_MAX) return close(s, "bad_frame");
      return [{ ...s, bad: s.bad + 1 }, complaint("bad_request", "Wait for the welcome.")];
    case "woke":
      return now < s.until ? [s] : close(s, "hello_timeout");
    case "stop":
      return close(s, "going_away");
    default:
      return [s];
  }
}

function refused(s: At<"verifying">, code: ErrorCode): SessionStep {
  if (code === "token_expired") return close(s, "token_expired");
  if (code === "unauthorized") return close(s, "unauthorized");
  // Not now, or we could not tell: the client shall come back and ask again.
  const isTooMuch = code === "overloaded" || code === "rate_limited";
  const [closed, ...effects] = close(s, isTooMuch ? "overloaded" : "internal");
  return [closed, complaint(code), ...effects];
}

function ready(s: At<"ready">, msg: SessionMsg, now: Millis): SessionStep {
  switch (msg.type) {
    case "frame":
      if (now >= s.principal.expiresAt) return close(s, "token_expired");
      return readyFrame(s, msg.frame, now);
    case "woke":
      return now < s.principal.expiresAt ? [s] : close(s, "token_expired");
    case "replaced":
    case "revoked":
      return close(s, msg.type);
    case "stop": {
      const next = { at: "draining", principal: s.principal, until: msg.closeAt } as const;
      return [next, { do: "announceEnd" }];
    }
    default:
      return [s];
  }
}

function readyFrame(s: At<"ready">, frame: ClientFrame | null, now: Millis): SessionStep {
  const elapsedS = Math.max(0, now - s.since) / 1000;
  const refilled = s.tokens + elapsedS * FRAMES_PER_SESSION_PER_S_MAX;
  const tokens = Math.min(FRAMES_BURST, refilled);
  if (tokens < 1) {
    const excess = s.excess + 1;
    if (excess >= EXCESS_FRAMES_MAX) return close(s, "too_many_frames");
    const next = { ...s, tokens, since: now, excess };
    const ref = frame !== null && "ref" in frame ? frame.ref : null;
    // A flood of pings is answered once in a while; a request that waits for its answer, always.
    const isTold = ref !== null || excess % FRAMES_PER_SESSION_PER_S_MAX === 1;
    return isTold ? [next, complaint("rate_limited", undefined, ref)] : [next];
  }
  const next = { ...s, tokens: tokens - 1, since: now };
  if (frame !== null && frame.type !== "hello") return [next, { do: "serve", frame }];
  if (s.bad + 1 >= BAD_FRAMES_MAX) return close(s, "bad_frame");
  return [{ ...next, bad: s.bad + 1 }, complaint("bad_request")];
}

function draining(s: At<"draining">, msg: SessionMsg, now: Millis): SessionStep {
  switch (msg.type) {
    case "frame": {
      const { frame } = msg;
      // What is not served here is answered, so that the app asks again at its next gateway.
      const ref = frame !== null && "ref" in frame ? frame.ref : null;
      return ref === null ? [s] : [s, complaint("unavailable", undefined, ref)];
    }
    case "woke":
      return now < s.until ? [s] : close(s, "going_away");
    case "replaced":
    case "revoked":
      return close(s, msg.type);
    default:
      return [s];
  }
}

const CLOSED = { at: "closed" } as const;

function close(s: Session, reason: CloseReason): SessionStep {
  const [next, ...effects] = leave(s);
  return [next, { do: "close", reason }, ...effects];
}

/** S4: only who entered leaves. */
const leave = (s: Session): SessionStep =>
  s.at === "ready" || s.at === "draining"
    ? [CLOSED, { do: "leave", principal: s.principal }]
    : [CLOSED];

const complaint = (
  code: ErrorCode,
  text: string = ERRORS[code].text,
  ref: number | null = null,
): SessionEffect => ({
  do: "send",
  frame: {
    type: "error",
    ref,
    code,
    text,
    retryAfterS: ERRORS[code].retryable ? 1 : null,
    pointer: null,
  },
});
