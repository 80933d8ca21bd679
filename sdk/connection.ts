/**
 * The life of a client's connection as a pure machine: when to dial, when to give up on a silent
 * peer, how long to wait, when to stop for good. It owns no socket and no timer; `session.ts` is
 * the shell that does.
 *
 *   disconnected --start/deadline--> connecting --welcome--> connected
 *        ^                               |                       |
 *        +----- lost, retry is allowed --+-----------------------+
 *   any --stop, or a close code that forbids a retry--> closed --start--> connecting
 *
 * C1 The back-off starts over only after STABLE_MS of being connected: a peer that welcomes and
 * drops is no good peer.
 * C2 A close code says whether to come back (CLOSE_CODES); from 4500 on an unknown one means no.
 * C3 Silence is judged by incoming frames alone: a probe after half of the idle time, the end after
 * all of it.
 * C4 The first attempt after a loss that nobody explained falls anywhere within the span that the
 *    server gave: it is likely that thousands have lost the same gateway. A server that says how
 *    long to wait is obeyed, with the usual jitter on top.
 * C5 What arrives late (a close of an old socket, a welcome after stop) is the shell's to drop, by
 * socket.
 */
import { CLOSE_CODES } from "../proto/errors.ts";
import { backoffMs } from "./clock.ts";

/**
 * Reasons that the client itself gives; those of the server are in CLOSE_CODES, those of the
 * WebSocket from 1000.
 */
export const CLIENT_CODES = {
  idle: { code: 100, text: "Not started yet." },
  stopped: { code: 101, text: "The application closed the connection." },
  lost: { code: 102, text: "The connection was lost." },
  no_welcome: { code: 103, text: "The server did not answer the greeting in time." },
  silent: { code: 104, text: "Nothing was heard from the server for too long." },
  no_token: { code: 105, text: "No token could be had; trying again." },
  token_refused: { code: 106, text: "The application has no valid token any more." },
} as const;

export type Reason = { readonly code: number; readonly text: string };

/** Uptime after which the next loss starts with a short pause again. */
export const STABLE_MS = 5_000;
/** From dialling to `welcome`. */
export const WELCOME_TIMEOUT_MS = 10_000;

/** No server can send a client away for longer. */
const ADVISED_MAX_MS = 300_000;

export type Connection =
  | {
      readonly at: "disconnected";
      readonly reason: Reason;
      /** Attempts since the last stable connection. */
      readonly attempts: number;
      /** When to dial again; null before the start. */
      readonly retryAt: number | null;
    }
  | { readonly at: "connecting"; readonly attempts: number; readonly until: number }
  | {
      readonly at: "connected";
      readonly attempts: number;
      readonly since: number;
      readonly heardAt: number;
      readonly idleMs: number;
      readonly probed: boolean;
      /** C4: the span for the first attempt after an unexplained loss. */
      readonly comeBackWithinMs: number;
    }
  | { readonly at: "closed"; readonly reason: Reason };

export type ConnectionEvent =
  | { readonly type: "start" }
  | { readonly type: "stop" }
  /** The deadline has come. `random` in [0, 1) feeds the jitter. */
  | { readonly type: "woke"; readonly random: number }
  /** The network came back or the page is visible again: do not wait out the pause. */
  | { readonly type: "hurry" }
  | { readonly type: "welcome"; readonly idleMs: number; readonly comeBackWithinMs: number }
  | { readonly type: "heard" }
  /** C4: the span was set anew. */
  | { readonly type: "come_back"; readonly withinMs: number }
  /**
   * The socket closed or could not be opened; `code` from CLOSE_CODES, CLIENT_CODES or RFC 6455.
   * `retryAfterMs` is what the server said; without it the code's own pause counts.
   */
  | {
      readonly type: "lost";
      readonly reason: Reason;
      readonly random: number;
      readonly retryAfterMs?: number | undefined;
    };

export type ConnectionEffect = "dial" | "hang_up" | "probe";
export type ConnectionStep = readonly [Connection, ...ConnectionEffect[]];

export const initialConnection: Connection = {
  at: "disconnected",
  reason: CLIENT_CODES.idle,
  attempts: 0,
  retryAt: null,
};

/** C2: whether a client that was closed with `code` may come back by itself. */
export function mayRetry(code: number): boolean {
  const row = rowOf(code);
  if (row !== undefined) return row.retry;
  if (code === CLIENT_CODES.token_refused.code || code === CLIENT_CODES.stopped.code) return false;
  return code < 4500;
}

const rowOf = (code: number) => Object.values(CLOSE_CODES).find((row) => row.code === code);

/** Total over state and event; what no longer applies returns the same object. */
export function step(state: Connection, event: ConnectionEvent, now: number): ConnectionStep {
  if (event.type === "stop") {
    if (state.at === "closed") return [state];
    return [{ at: "closed", reason: CLIENT_CODES.stopped }, "hang_up"];
  }
  switch (state.at) {
    case "closed":
      return event.type === "start" ? dial(0, now) : [state];
    case "disconnected":
      return whileDisconnected(state, event, now);
    case "connecting":
      return whileConnecting(state, event, now);
    case "connected":
      return whileConnected(state, event, now);
  }
}

type In<At extends Connection["at"]> = Extract<Connection, { at: At }>;

function whileDisconnected(
  state: In<"disconnected">,
  event: ConnectionEvent,
  now: number,
): ConnectionStep {
  if (event.type === "start" && state.retryAt === null) return dial(0, now);
  if (state.retryAt === null) return [state];
  if (event.type === "hurry") return dial(state.attempts, now);
  if (event.type === "woke" && now >= state.retryAt) return dial(state.attempts, now);
  return [state];
}

function whileConnecting(
  state: In<"connecting">,
  event: ConnectionEvent,
  now: number,
): ConnectionStep {
  if (event.type === "welcome") {
    const { attempts } = state;
    const { idleMs, comeBackWithinMs } = event;
    const rest = { idleMs, comeBackWithinMs, probed: false };
    return [{ at: "connected", attempts, since: now, heardAt: now, ...rest }];
  }
  if (event.type === "lost") return lose(state.attempts, event, 0, now);
  if (event.type === "woke" && now >= state.until) {
    const lost = { reason: CLIENT_CODES.no_welcome, random: event.random };
    const [next] = lose(state.attempts, lost, 0, now);
    return [next, "hang_up"];
  }
  return [state];
}

function whileConnected(
  state: In<"connected">,
  event: ConnectionEvent,
  now: number,
): ConnectionStep {
  const attempts = now - state.since >= STABLE_MS ? 0 : state.attempts; // C1
  if (event.type === "heard") return [{ ...state, heardAt: now, probed: false }];
  if (event.type === "come_back") return [{ ...state, comeBackWithinMs: event.withinMs }];
  if (event.type === "lost") return lose(attempts, event, state.comeBackWithinMs, now);
  if (event.type !== "woke") return [state];
  if (now >= state.heardAt + state.idleMs) {
    const lost = { reason: CLIENT_CODES.silent, random: event.random };
    const [next] = lose(attempts, lost, state.comeBackWithinMs, now);
    return [next, "hang_up"];
  }
  if (state.probed || now < state.heardAt + state.idleMs / 2) return [state];
  return [{ ...state, probed: true }, "probe"];
}

const dial = (attempts: number, now: number): ConnectionStep => [
  { at: "connecting", attempts: attempts + 1, until: now + WELCOME_TIMEOUT_MS },
  "dial",
];

type Lost = Pick<Extract<ConnectionEvent, { type: "lost" }>, "reason" | "random" | "retryAfterMs">;

function lose(attempts: number, lost: Lost, withinMs: number, now: number): ConnectionStep {
  const { reason, random } = lost;
  if (!mayRetry(reason.code)) return [{ at: "closed", reason }];
  const row = rowOf(reason.code);
  const spreadMs = row === undefined ? Math.round(random * withinMs) : 0; // C4
  const pauseMs = Math.max(spreadMs, backoffMs(Math.max(1, attempts), random));
  const advisedMs = Math.min(ADVISED_MAX_MS, lost.retryAfterMs ?? row?.retryAfterMs ?? 0);
  return [{ at: "disconnected", reason, attempts, retryAt: now + advisedMs + pauseMs }];
}

/** When the shell must send `woke`, if ever. */
export function deadline(state: Connection): number | null {
  switch (state.at) {
    case "closed":
      return null;
    case "disconnected":
      return state.retryAt;
    case "connecting":
      return state.until;
    case "connected":
      return state.heardAt + (state.probed ? state.idleMs : state.idleMs / 2);
  }
}
