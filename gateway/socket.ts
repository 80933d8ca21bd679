/**
 * The one file that touches uWebSockets.js: an HTTP and WebSocket listener behind a small interface of our own.
 *
 * It owns the rules of that library, so that nobody else has to know them: a request is dead after the synchronous
 * part of its handler (everything is copied first), a response is dead after an abort or an end, chunks and messages
 * are detached after the callback, and a throw inside any callback ends the process, so each one is caught here and a
 * request answered with 500. It refuses two Content-Length headers, which the library lets pass.
 * It knows no route, no role and no frame.
 */
import * as uws from "uWebSockets.js";
import type { AddressOf } from "../engine/client-address.ts";
import { DispatchError } from "../proto/errors.ts";
import { SECURITY_HEADERS } from "./problem.ts";
import { nowUs } from "./now-us.ts";

/** Headers by lower-case name. A repeated header keeps its first value; X-Forwarded-For has all, in order. */
export type Headers = Readonly<Record<string, string | undefined>>;

/** One HTTP request and the way to answer it. Usable after awaits, unlike what lies underneath. */
export type HttpExchange = {
  /** As sent: methods are case-sensitive. */
  readonly method: string;
  /** As sent, percent-encoding and all, without the query. */
  readonly path: string;
  /** Without the question mark; empty when there is none. */
  readonly query: string;
  readonly headers: Headers;
  readonly remoteAddress: string;
  /** When it arrived, microseconds since 1970. */
  readonly receivedAtUs: number;
  /** The whole body. Must be called before the first await; rejects with `payload_too_large` above the cap. */
  readBody(capBytes: number): Promise<Uint8Array>;
  /** Answers, once: later calls and calls after an abort do nothing. Gives whether it was written. */
  respond(status: number, headers: Readonly<Record<string, string>>, body: Body | null): boolean;
};
export type Body = string | Uint8Array;

/** One open WebSocket. All methods are safe after its end. */
export type WsPeer = {
  readonly remoteAddress: string;
  /** "buffered" means sent later; "dropped" means never, the peer reads too slowly. */
  send(bytes: Uint8Array): "sent" | "buffered" | "dropped";
  close(code: number, reason: string): void;
  bufferedBytes(): number;
};

/** What the owner of a WebSocket gets to hear. `bytes` are valid only until the first await. */
export type WsReceiver = {
  message(bytes: Uint8Array, isBinary: boolean): void;
  closed(code: number): void;
};

/** The answer to an upgrade: the subprotocol, or the HTTP response that refuses it. */
export type UpgradeAnswer =
  | { readonly protocol: string }
  | {
      readonly status: number;
      readonly headers: Readonly<Record<string, string>>;
      readonly body: string;
    };

export type ListenerOptions = {
  readonly host: string;
  /** 0 takes any free port. */
  readonly port: number;
  /** Several processes listen on this port, and the kernel deals connections out among them; never with port 0. */
  readonly isShared: boolean;
  readonly socketPaths: readonly string[];
  readonly frameMaxBytes: number;
  readonly bufferMaxBytes: number;
  /** Seconds without any traffic after which a socket is closed; 8 to 960. */
  readonly idleS: number;
  /** Connections, sockets included, beyond which new ones are closed at once; 0: no bound. */
  readonly connectionsMax?: number;
  /** Called for each of those. */
  readonly onRefused?: () => void;
  /** From the peer's address and X-Forwarded-For to whose address counts. */
  readonly addressOf?: AddressOf;
  readonly onRequest: (exchange: HttpExchange) => Promise<void>;
  readonly onUpgrade: (headers: Headers, remoteAddress: string) => UpgradeAnswer;
  readonly onOpen: (peer: WsPeer) => WsReceiver;
  /** A throw or rejection of one of the handlers above: a bug, already answered with 500. */
  readonly onError: (error: unknown, where: string) => void;
};

export type Listener = {
  readonly port: number;
  /** From now on every answer carries `Connection: close` and ends its connection; new ones are served as before. */
  drain(): void;
  /** No new connections; those that are open live on. */
  stopListening(): void;
  /** Cuts everything that is still open. */
  close(): void;
};

const INTERNAL_PROBLEM = JSON.stringify({
  type: "about:blank",
  title: "Internal Server Error",
  status: 500,
  code: "internal",
});
const PROBLEM_HEADERS = {
  ...SECURITY_HEADERS,
  "content-type": "application/problem+json",
};

const REASONS: Readonly<Record<number, string>> = {
  200: "OK",
  201: "Created",
  202: "Accepted",
  204: "No Content",
  304: "Not Modified",
  400: "Bad Request",
  401: "Unauthorized",
  403: "Forbidden",
  404: "Not Found",
  405: "Method Not Allowed",
  409: "Conflict",
  413: "Content Too Large",
  415: "Unsupported Media Type",
  422: "Unprocessable Content",
  426: "Upgrade Required",
  429: "Too Many Requests",
  500: "Internal Server Error",
  503: "Service Unavailable",
};
const BODYLESS: ReadonlySet<number> = new Set([204, 304]);
/** A header value that would end its line. */
const LINE_BREAK = /[\r\n\0]/;

type PeerData = { remoteAddress: string; receiver: WsReceiver | null; peer: OwnPeer | null };
type Socket = uws.WebSocket<PeerData>;

/** Listens. Rejects when the port is taken or the address is not ours. */
export function listen(options: ListenerOptions): Promise<Listener> {
  // Removes the library's own header from every answer; the function is not in its types.
  (uws as unknown as { _cfg: (what: string) => void })._cfg("silent");
  const app = uws.App();
  const state: ListenerState = { isDraining: false, connections: 0 };
  app.filter((res, change) => countConnection(options, state, res, change));
  for (const path of options.socketPaths) app.ws<PeerData>(path, socketBehavior(options, state));
  app.any("/*", (res, req) => handleRequest(options, state, res, req));
  return new Promise((resolve, reject) => {
    const onListening = (token: uws.us_listen_socket | false): void => {
      if (token === false) {
        reject(new Error(`cannot listen on ${options.host}:${options.port}: is the port taken?`));
        return;
      }
      let isListening = true;
      const stopListening = (): void => {
        if (isListening) uws.us_listen_socket_close(token);
        isListening = false;
      };
      resolve({
        port: uws.us_socket_local_port(token as uws.us_socket),
        drain: () => void (state.isDraining = true),
        stopListening,
        close: () => {
          isListening = false;
          app.close();
        },
      });
    };
    // The types lack the form with host and options. The library shares a port (SO_REUSEPORT) unless told not to;
    // exclusive, or two gateways would share it unseen.
    const exclusive = (uws as unknown as { LIBUS_LISTEN_EXCLUSIVE_PORT: number })
      .LIBUS_LISTEN_EXCLUSIVE_PORT;
    type ListenWithFlags = {
      listen: (host: string, port: number, flags: number, done: typeof onListening) => void;
    };
    const { host, port, isShared } = options;
    const flags = isShared ? 0 : exclusive;
    (app as unknown as ListenWithFlags).listen(host, port, flags, onListening);
  });
}

type ListenerState = { isDraining: boolean; connections: number };

/** The library reports each connection as it opens and closes, and a socket's only as it opens. */
function countConnection(
  { connectionsMax = 0, onRefused }: ListenerOptions,
  state: ListenerState,
  res: uws.HttpResponse,
  change: number | bigint,
): void {
  state.connections += change > 0 ? 1 : -1;
  if (change < 0 || connectionsMax === 0 || state.connections <= connectionsMax) return;
  onRefused?.();
  res.close();
}

/** Never throws: the library would end the process. */
function handleRequest(
  options: ListenerOptions,
  state: ListenerState,
  res: uws.HttpResponse,
  req: uws.HttpRequest,
): void {
  let exchange: Exchange | null = null;
  const fail = (error: unknown): void => {
    options.onError(error, "request");
    exchange?.respond(500, PROBLEM_HEADERS, INTERNAL_PROBLEM);
  };
  try {
    exchange = new Exchange(res, req, state, options.addressOf);
    if (exchange.hasTwoLengths) {
      exchange.refuse(400, "Two Content-Length headers.");
      return;
    }
    options.onRequest(exchange).catch(fail);
  } catch (error) {
    fail(error);
    if (exchange === null) res.close();
  }
}

class Exchange implements HttpExchange {
  readonly method: string;
  readonly path: string;
  readonly query: string;
  readonly headers: Headers;
  readonly remoteAddress: string;
  readonly receivedAtUs = nowUs();
  readonly hasTwoLengths: boolean;
  readonly #res: uws.HttpResponse;
  readonly #state: ListenerState;
  #isOver = false;
  #onAbort: (() => void) | null = null;

  constructor(
    res: uws.HttpResponse,
    req: uws.HttpRequest,
    state: ListenerState,
    addressOf: AddressOf = asItIs,
  ) {
    this.#state = state;
    res.onAborted(() => {
      this.#isOver = true;
      this.#onAbort?.();
    });
    this.#res = res;
    this.method = req.getCaseSensitiveMethod();
    this.path = req.getUrl();
    this.query = req.getQuery() ?? "";
    const [headers, hasTwoLengths] = copyHeaders(req);
    this.headers = headers;
    this.hasTwoLengths = hasTwoLengths;
    const peer = addressText(res.getRemoteAddressAsText());
    this.remoteAddress = addressOf(peer, headers[FORWARDED]);
  }

  readBody(capBytes: number): Promise<Uint8Array> {
    const announced = Number(this.headers["content-length"] ?? 0);
    if (announced > capBytes) return Promise.reject(new DispatchError("payload_too_large"));
    return new Promise((resolve, reject) => {
      const chunks: Uint8Array[] = [];
      let size = 0;
      // After an abort nobody can be answered; the promise still ends, so that nothing waits for ever.
      this.#onAbort = () => reject(new DispatchError("bad_request", "The request was cut off."));
      this.#res.onData((chunk, isLast) => {
        size += chunk.byteLength;
        if (size > capBytes) {
          chunks.length = 0;
          reject(new DispatchError("payload_too_large"));
          return;
        }
        // Copied: the memory behind a chunk is gone after this callback.
        chunks.push(new Uint8Array(chunk.slice(0)));
        if (isLast)
          resolve(chunks.length === 1 ? (chunks[0] as Uint8Array) : Buffer.concat(chunks));
      });
    });
  }

  respond(status: number, headers: Readonly<Record<string, string>>, body: Body | null): boolean {
    if (this.#isOver) return false;
    this.#isOver = true;
    const res = this.#res;
    // The rest of a body that is too large is not read: the connection ends with the answer.
    const closes = status === 413 || this.#state.isDraining;
    res.cork(() => {
      res.writeStatus(`${status} ${REASONS[status] ?? "Status"}`);
      for (const name in headers) {
        const value = headers[name] as string;
        res.writeHeader(name, LINE_BREAK.test(value) ? "" : value);
      }
      if (body === null || BODYLESS.has(status)) {
        if (BODYLESS.has(status)) res.endWithoutBody(undefined, closes);
        else res.end("", closes);
      } else if (this.method === "HEAD") res.endWithoutBody(Buffer.byteLength(body), closes);
      else res.end(body, closes);
    });
    return true;
  }

  /** An answer to what never reaches a route. */
  refuse(status: number, detail: string): void {
    const problem = { type: "about:blank", title: REASONS[status], status, code: "bad_request" };
    this.respond(status, PROBLEM_HEADERS, JSON.stringify({ ...problem, detail }));
  }
}

function copyHeaders(req: uws.HttpRequest): [Headers, boolean] {
  const headers: Record<string, string> = Object.create(null) as Record<string, string>;
  let lengths = 0;
  req.forEach((name, value) => {
    if (name === "content-length") lengths++;
    if (headers[name] === undefined) headers[name] = value;
    // A proxy may add a line of its own below the client's: only both together are the chain.
    else if (name === FORWARDED) headers[name] += `,${value}`;
  });
  return [headers, lengths > 1];
}

class OwnPeer implements WsPeer {
  readonly remoteAddress: string;
  #ws: Socket | null;

  constructor(ws: Socket, remoteAddress: string) {
    this.#ws = ws;
    this.remoteAddress = remoteAddress;
  }

  send(bytes: Uint8Array): "sent" | "buffered" | "dropped" {
    if (this.#ws === null) return "dropped";
    const status = this.#ws.send(bytes, true);
    if (status === 1) return "sent";
    return status === 0 ? "buffered" : "dropped";
  }

  close(code: number, reason: string): void {
    this.#ws?.end(code, reason);
  }

  bufferedBytes(): number {
    return this.#ws === null ? 0 : this.#ws.getBufferedAmount();
  }

  /** The library forbids any use from the close event on. */
  detach(): void {
    this.#ws = null;
  }
}

function socketBehavior(
  options: ListenerOptions,
  state: ListenerState,
): uws.WebSocketBehavior<PeerData> {
  /** Runs a callback so that its throw ends this socket and not the process. */
  const guard = (ws: Socket | null, where: string, run: () => void): void => {
    try {
      run();
    } catch (error) {
      options.onError(error, where);
      ws?.getUserData().peer?.close(1011, "internal error");
    }
  };
  return {
    maxPayloadLength: options.frameMaxBytes,
    maxBackpressure: options.bufferMaxBytes,
    idleTimeout: options.idleS,
    sendPingsAutomatically: true,
    upgrade: (res, req, context) =>
      guard(null, "upgrade", () => upgrade(options, res, req, context)),
    open: (ws) =>
      guard(ws, "open", () => {
        const data = ws.getUserData();
        data.peer = new OwnPeer(ws, data.remoteAddress);
        data.receiver = options.onOpen(data.peer);
      }),
    message: (ws, message, isBinary) =>
      guard(ws, "message", () =>
        ws.getUserData().receiver?.message(new Uint8Array(message), isBinary),
      ),
    close: (ws, code) =>
      guard(null, "close", () => {
        state.connections--;
        const { peer, receiver } = ws.getUserData();
        peer?.detach();
        receiver?.closed(code);
      }),
  };
}

function upgrade(
  options: ListenerOptions,
  res: uws.HttpResponse,
  req: uws.HttpRequest,
  context: uws.us_socket_context_t,
): void {
  const [headers] = copyHeaders(req);
  const { addressOf = asItIs } = options;
  const peer = addressText(res.getRemoteAddressAsText());
  const remoteAddress = addressOf(peer, headers[FORWARDED]);
  let answer: UpgradeAnswer;
  try {
    answer = options.onUpgrade(headers, remoteAddress);
  } catch (error) {
    options.onError(error, "upgrade");
    answer = { status: 500, headers: PROBLEM_HEADERS, body: INTERNAL_PROBLEM };
  }
  if ("protocol" in answer) {
    const data: PeerData = { remoteAddress, receiver: null, peer: null };
    const key = headers["sec-websocket-key"] ?? "";
    const extensions = headers["sec-websocket-extensions"] ?? "";
    res.upgrade(data, key, answer.protocol, extensions, context);
    return;
  }
  const { status, headers: out, body } = answer;
  res.cork(() => {
    res.writeStatus(`${status} ${REASONS[status] ?? "Status"}`);
    for (const name in out) res.writeHeader(name, out[name] as string);
    res.end(body, true);
  });
}

const FORWARDED = "x-forwarded-for";
const asItIs: AddressOf = (peer) => peer;

/** The library gives the text as bytes. */
const addressText = (bytes: ArrayBuffer): string => Buffer.from(bytes).toString("latin1");
