/**
 * The shell around `connection.ts`: one WebSocket at a time, the greeting, timers, frames in and
 * out, and requests with their answers by `ref`. It refuses to queue: a request without a
 * connection fails at once with `unavailable`, and what was asked and not answered fails the same
 * way when the connection goes. Who asks decides whether to ask again (the commands of the protocol
 * are safe to repeat, D4).
 */
import { DispatchError, ERRORS } from "../proto/errors.ts";
import type { ErrorCode } from "../proto/errors.ts";
import { PROTOCOL_VERSION, SUBPROTOCOL, clientFrames, serverFrames } from "../proto/frames.ts";
import type { ClientFrame, ClientFrameOf, ServerFrame, ServerFrameOf } from "../proto/frames.ts";
import type { DeliveryId } from "../proto/ids.ts";
import { systemClock } from "./clock.ts";
import type { Clock, Timer } from "./clock.ts";
import { CLIENT_CODES, deadline, initialConnection, step } from "./connection.ts";
import type { Connection, ConnectionEvent, Reason } from "./connection.ts";
import { SeenCount } from "./seen-count.ts";

/**
 * The part of a WebSocket that is used: the browser's, Node 22's and the one of `ws` all have it.
 */
export type SocketLike = {
  binaryType: string;
  onopen: ((event: never) => void) | null;
  onmessage: ((event: { data: unknown }) => void) | null;
  onclose: ((event: { code: number; reason: string }) => void) | null;
  onerror: ((event: never) => void) | null;
  send(data: Uint8Array): void;
  close(code?: number): void;
};
export type WebSocketConstructor = new (url: string, protocols: string) => SocketLike;

/**
 * Gives a valid token. Reject with a DispatchError `unauthorized` when there is none any more: that
 * closes for good.
 */
export type GetToken = () => string | Promise<string>;

export type SessionOptions = {
  /** Base address of the public door, `http://127.0.0.1:8080`. */
  readonly url: string;
  readonly getToken: GetToken;
  /** Needed where there is no global WebSocket (Node 20): pass the one of `ws`. */
  readonly webSocket?: WebSocketConstructor | undefined;
  readonly clock?: Clock | undefined;
  /** In [0, 1); for jitter only. */
  readonly random?: (() => number) | undefined;
  /** Name of this application in the greeting, up to 64 characters. */
  readonly client?: string | undefined;
};

export type SessionEvents = {
  readonly onState: (state: Connection) => void;
  readonly onWelcome: (welcome: ServerFrameOf<"welcome">) => void;
  /** Every frame but welcome, ok, error with a ref, and bye. */
  readonly onFrame: (frame: ServerFrame) => void;
};

/** Frames that carry a `ref` and are answered. */
export type Request = Extract<ClientFrame, { ref: number }>;
export type RequestWithoutRef = Request extends infer R
  ? R extends Request
    ? Omit<R, "ref">
    : never
  : never;

export const REQUEST_TIMEOUT_MS = 5_000;
/** More requests than this in flight on one connection are refused here already. */
const REQUESTS_MAX = 256;
/**
 * Belongs to nobody; asking to stop following it changes nothing and is answered, which is all a
 * probe wants.
 */
const PROBE_DELIVERY = "del_00000000000000000000000" as DeliveryId;

type Pending = {
  readonly resolve: (result: object | null) => void;
  readonly reject: (error: DispatchError) => void;
  readonly timer: Timer;
};

export class Session {
  readonly #options: SessionOptions;
  readonly #events: SessionEvents;
  readonly #clock: Clock;
  readonly #random: () => number;
  readonly #pending = new Map<number, Pending>();
  #state: Connection = initialConnection;
  #socket: SocketLike | null = null;
  #alarm: Timer | null = null;
  #ref = 0;
  /** Why the server said it would close; it comes before the close itself. */
  #bye: (Reason & { readonly retryAfterMs: number | null }) | null = null;
  readonly #seen = new SeenCount();

  constructor(options: SessionOptions, events: SessionEvents) {
    this.#options = options;
    this.#events = events;
    this.#clock = options.clock ?? systemClock;
    this.#random = options.random ?? Math.random;
  }

  get state(): Connection {
    return this.#state;
  }
  get isConnected(): boolean {
    return this.#state.at === "connected";
  }

  start(): void {
    this.#apply({ type: "start" });
  }
  stop(): void {
    this.#apply({ type: "stop" });
  }
  /** Dials at once if it was waiting to: the network is back, or the page is visible again. */
  hurry(): void {
    this.#apply({ type: "hurry" });
  }

  /**
   * Sends a frame that is not answered by ref. False when there is no connection: nothing was sent.
   */
  send(frame: ClientFrame): boolean {
    if (!this.isConnected || this.#socket === null) return false;
    this.#socket.send(clientFrames.encode(frame));
    return true;
  }

  /**
   * Sends a request and gives the `result` of its `ok`. Rejects with the server's DispatchError, or
   * with `unavailable` when there is no connection, it went away, or no answer came within
   * `timeoutMs`.
   */
  request(frame: RequestWithoutRef, timeoutMs = REQUEST_TIMEOUT_MS): Promise<object | null> {
    const ref = (this.#ref = (this.#ref + 1) % 4_294_967_295);
    if (!this.isConnected) return Promise.reject(away("There is no connection."));
    if (this.#pending.size >= REQUESTS_MAX) {
      return Promise.reject(new DispatchError("overloaded", "Too many requests are unanswered."));
    }
    return new Promise((resolve, reject) => {
      const timer = this.#clock.setTimer(() => {
        this.#pending.delete(ref);
        reject(away("No answer came in time."));
      }, timeoutMs);
      this.#pending.set(ref, { resolve, reject, timer });
      this.send({ ...frame, ref } as ClientFrame);
    });
  }

  #apply(event: ConnectionEvent): void {
    const before = this.#state;
    const [next, ...effects] = step(before, event, this.#clock.now());
    this.#state = next;
    for (const effect of effects) {
      if (effect === "dial") void this.#dial();
      if (effect === "hang_up") this.#dropSocket(1000);
      if (effect === "probe") this.#probe();
    }
    if (before.at === "connected" && next.at !== "connected") this.#failPending();
    this.#arm();
    if (next.at !== before.at) this.#events.onState(next);
  }

  /**
   * One alarm, moved only when it would ring too late: frames come often, deadlines mostly move
   * away.
   */
  #arm(): void {
    if (this.#alarm !== null) this.#clock.clearTimer(this.#alarm);
    this.#alarm = null;
    const at = deadline(this.#state);
    if (at === null) return;
    const ms = Math.max(0, at - this.#clock.now());
    this.#alarm = this.#clock.setTimer(() => {
      this.#alarm = null;
      this.#apply({ type: "woke", random: this.#random() });
    }, ms);
  }

  async #dial(): Promise<void> {
    const dialling = this.#state;
    this.#bye = null;
    let token: string;
    try {
      token = await this.#options.getToken();
    } catch (error) {
      if (this.#state !== dialling) return;
      const refused = error instanceof DispatchError && error.retryAfterS === null;
      this.#lost(refused ? CLIENT_CODES.token_refused : CLIENT_CODES.no_token);
      return;
    }
    // Stopped, or timed out and dialling anew, while the token was being fetched.
    if (this.#state !== dialling) return;
    const Socket = this.#options.webSocket ?? globalSocket();
    const socket = new Socket(`${socketUrl(this.#options.url)}/v1/socket`, SUBPROTOCOL);
    socket.binaryType = "arraybuffer";
    this.#socket = socket;
    socket.onopen = () => {
      const client = this.#options.client ?? "hexdispatch-sdk";
      const hello: ClientFrameOf<"hello"> = {
        type: "hello",
        version: PROTOCOL_VERSION,
        token,
        client,
      };
      if (this.#socket === socket) socket.send(clientFrames.encode(hello));
    };
    socket.onmessage = (event) => {
      if (this.#socket === socket) this.#received(event.data);
    };
    // An error is always followed by a close, which carries the code.
    socket.onerror = () => undefined;
    socket.onclose = (event) => {
      if (this.#socket !== socket) return;
      this.#socket = null;
      const text = event.reason === "" ? CLIENT_CODES.lost.text : event.reason;
      const {
        code,
        text: why,
        retryAfterMs,
      } = this.#bye ?? { code: event.code, text, retryAfterMs: null };
      this.#lost({ code, text: why }, retryAfterMs);
    };
  }

  #lost(reason: Reason, retryAfterMs: number | null = null): void {
    const random = this.#random();
    this.#apply({ type: "lost", reason, random, retryAfterMs: retryAfterMs ?? undefined });
  }

  #received(data: unknown): void {
    const frame = data instanceof ArrayBuffer ? serverFrames.decode(new Uint8Array(data)) : null;
    // A frame of a newer server that we do not know is still a sign of life.
    if (frame === null) return this.#apply({ type: "heard" });
    if (frame.type === "welcome") {
      this.#seen.start(frame.seenEvery, this.#clock.now(), this.#random());
      const { idleMs, comeBackWithinMs } = frame;
      this.#apply({ type: "welcome", idleMs, comeBackWithinMs: comeBackWithinMs ?? 0 });
      if (this.isConnected) this.#events.onWelcome(frame);
      return;
    }
    this.#apply({ type: "heard" });
    if (frame.type === "positions" && this.#seen.isDue(this.#clock.now())) {
      this.send({ type: "seen", frames: this.#seen.frames });
    }
    if (frame.type === "come_back") return this.#apply(frame);
    if (frame.type === "bye") this.#bye = frame;
    else if (frame.type === "ok") this.#take(frame.ref)?.resolve(frame.result);
    else if (frame.type === "error" && frame.ref !== null) {
      this.#take(frame.ref)?.reject(errorOf(frame));
    } else this.#events.onFrame(frame);
  }

  /** The request that `ref` belongs to; undefined when it timed out before. */
  #take(ref: number): Pending | undefined {
    const pending = this.#pending.get(ref);
    if (pending === undefined) return undefined;
    this.#pending.delete(ref);
    this.#clock.clearTimer(pending.timer);
    return pending;
  }

  #failPending(): void {
    for (const ref of [...this.#pending.keys()]) {
      this.#take(ref)?.reject(away("The connection was lost before the answer."));
    }
  }

  #probe(): void {
    this.request({ type: "untrack", delivery: PROBE_DELIVERY }, REQUEST_TIMEOUT_MS).catch(() => {
      // Refused or unanswered, both are fine: what counts is whether anything was heard (C3).
    });
  }

  #dropSocket(code: number): void {
    const socket = this.#socket;
    this.#socket = null;
    if (socket === null) return;
    socket.onclose = null;
    socket.onmessage = null;
    socket.close(code);
  }
}

const away = (text: string): DispatchError => new DispatchError("unavailable", text);

/**
 * The DispatchError that an `error` frame stands for; a code of a newer server becomes `internal`.
 */
export function errorOf(frame: ServerFrameOf<"error">): DispatchError {
  const known = Object.hasOwn(ERRORS, frame.code);
  const code = known ? (frame.code as ErrorCode) : "internal";
  const text = known ? frame.text : `${frame.code}: ${frame.text}`;
  const errors =
    frame.pointer === null ? [] : [{ pointer: frame.pointer, code, detail: frame.text }];
  return new DispatchError(code, text, {
    errors,
    ...(frame.retryAfterS === null ? {} : { retryAfterS: frame.retryAfterS }),
  });
}

const socketUrl = (url: string): string => url.replace(/^http/, "ws").replace(/\/$/, "");

function globalSocket(): WebSocketConstructor {
  const found = (globalThis as { WebSocket?: unknown }).WebSocket;
  if (typeof found === "function") return found as WebSocketConstructor;
  throw new Error(
    "There is no global WebSocket here: pass `webSocket` (Node 20: the one of `ws`).",
  );
}

/**
 * Where there is a page: come back at once when the network or the page does. Returns how to stop
 * listening; does nothing in Node.
 */
export function hurryWithPage(session: Session): () => void {
  const page = globalThis as {
    addEventListener?: (type: string, run: () => void) => void;
    removeEventListener?: (type: string, run: () => void) => void;
  };
  const { addEventListener, removeEventListener } = page;
  if (addEventListener === undefined || removeEventListener === undefined) return () => undefined;
  const hurry = (): void => session.hurry();
  const types = ["online", "pageshow", "visibilitychange"];
  for (const type of types) addEventListener.call(globalThis, type, hurry);
  return () => {
    for (const type of types) removeEventListener.call(globalThis, type, hurry);
  };
}
