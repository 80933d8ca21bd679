/**
 * The public listener on uWebSockets.js: the one file that touches it, loaded only when it is
 * chosen.
 *
 * It owns the rules of that library, so that nobody else has to know them: a request is dead after
 * the synchronous part of its handler (everything is copied first), a response is dead after an
 * abort or an end, chunks and messages are detached after the callback, and a throw inside any
 * callback ends the process, so each one is caught here and a request answered with 500.
 *
 * Its build has known faults, which is why it is not the default
 * (docs/decisions/0012-front-door.md): a request line in two segments and HTTP/1.0 are refused with
 * pages of its own, and what follows a chunked body may be taken for a request. So a chunked
 * request ends its connection, and it belongs behind a proxy that normalises requests.
 */
import { STATUS_CODES } from "node:http";
import * as uws from "uWebSockets.js";
import { plain } from "../../engine/client-address.ts";
import { DispatchError } from "../../proto/errors.ts";
import { BODYLESS, LINE_BREAK, refusalAnswer } from "./answers.ts";
import type { Body, HttpExchange, Listener, ListenerOptions } from "./listener.ts";
import type { UpgradeAnswer, WsPeer, WsReceiver } from "./listener.ts";
import { nowUs } from "../base/now-us.ts";
import { isRefusal, readHead } from "./request-head.ts";
import type { Head, Headers, Refusal } from "./request-head.ts";

type PeerData = { remoteAddress: string; receiver: WsReceiver | null; peer: OwnPeer | null };
type Socket = uws.WebSocket<PeerData>;
/** What the handlers of one listener share. */
type House = ListenerOptions & { isDraining: boolean; connections: number };

const NO_HEAD: Head = { path: "", query: "", headers: {} };
const INTERNAL: Refusal = { code: "internal" };

/** Listens. Rejects when the port is taken or the address is not ours. */
export function listen(options: ListenerOptions): Promise<Listener> {
  // Removes the library's own header from every answer; the function is not in its types.
  (uws as unknown as { _cfg: (what: string) => void })._cfg("silent");
  const house: House = { ...options, isDraining: false, connections: 0 };
  const app = uws.App();
  app.filter((res, change) => countConnection(house, res, change));
  for (const path of options.socketPaths) app.ws<PeerData>(path, socketBehavior(house));
  app.any("/*", (res, req) => handleRequest(house, res, req));
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
        drain: () => {
          house.isDraining = true;
        },
        stopListening,
        close: () => {
          isListening = false;
          app.close();
        },
      });
    };
    // The types lack the form with host and options. The library shares a port (SO_REUSEPORT)
    // unless told not to; exclusive, or two gateways would share it unseen.
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

/**
 * The library reports each connection as it opens and as it closes, and one that became a socket
 * only as it opens.
 */
function countConnection(house: House, res: uws.HttpResponse, change: number | bigint): void {
  house.connections += change > 0 ? 1 : -1;
  const { connectionsMax = 0, onRefused } = house;
  if (change < 0 || connectionsMax === 0 || house.connections <= connectionsMax) return;
  onRefused?.();
  res.close();
}

/** Never throws: the library would end the process. */
function handleRequest(house: House, res: uws.HttpResponse, req: uws.HttpRequest): void {
  let exchange: Exchange | null = null;
  const fail = (error: unknown): void => {
    house.onError(error, "request");
    exchange?.refuse(INTERNAL);
  };
  try {
    const head = headOf(req);
    exchange = new Exchange(house, res, req.getCaseSensitiveMethod(), head);
    if (isRefusal(head)) exchange.refuse(head);
    else house.onRequest(exchange).catch(fail);
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
  readonly #house: House;
  readonly #res: uws.HttpResponse;
  #isOver = false;
  /** The connection ends with the answer. */
  #closes: boolean;
  #onAbort: (() => void) | null = null;

  constructor(house: House, res: uws.HttpResponse, method: string, head: Head | Refusal) {
    res.onAborted(() => {
      this.#isOver = true;
      this.#onAbort?.();
    });
    this.#house = house;
    this.#res = res;
    this.method = method;
    const { path, query, headers } = isRefusal(head) ? NO_HEAD : head;
    this.path = path;
    this.query = query;
    this.headers = headers;
    // After such a head, and behind a chunked body, the library may take anything for the next
    // request.
    this.#closes = isRefusal(head) || headers["transfer-encoding"] !== undefined;
    this.remoteAddress = addressOf(house, res, headers);
  }

  readBody(capBytes: number): Promise<Uint8Array> {
    const announced = Number(this.headers["content-length"] ?? 0);
    if (announced > capBytes) return Promise.reject(new DispatchError("payload_too_large"));
    return new Promise((resolve, reject) => {
      const chunks: Uint8Array[] = [];
      let size = 0;
      // After an abort nobody can be answered; the promise still ends, so that nothing waits for
      // ever.
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
    const closes =
      this.#closes || status === 413 || this.#house.isDraining || headers["connection"] === "close";
    res.cork(() => {
      res.writeStatus(`${status} ${STATUS_CODES[status] ?? "Status"}`);
      for (const name in headers) {
        if (name === "connection") continue;
        const value = headers[name] as string;
        res.writeHeader(name, LINE_BREAK.test(value) ? "" : value);
      }
      if (closes) res.writeHeader("Connection", "close");
      this.#end(status, body, closes);
    });
    return true;
  }

  #end(status: number, body: Body | null, closes: boolean): void {
    const res = this.#res;
    if (BODYLESS.has(status)) {
      // Without arguments: the library takes any, undefined as well, for a length and waits for
      // that many bytes.
      res.endWithoutBody();
      if (closes) res.close();
    } else if (this.method === "HEAD") {
      res.endWithoutBody(body === null ? 0 : Buffer.byteLength(body), closes);
    } else res.end(body ?? "", closes);
  }

  /** An answer to what never reaches a route. */
  refuse(refusal: Refusal): void {
    const answer = refusalAnswer(refusal, this.path, this.#house.securityHeaders);
    this.respond(answer.status, answer.headers, answer.body);
  }
}

/** The library tells no version: it lets 1.1 pass, and nothing else. */
function headOf(req: uws.HttpRequest): Head | Refusal {
  const fields: string[] = [];
  req.forEach((name, value) => void fields.push(name, value));
  const query = req.getQuery() as string | undefined;
  const target = query === undefined ? req.getUrl() : `${req.getUrl()}?${query}`;
  return readHead({ method: req.getCaseSensitiveMethod(), target, version: "1.1", fields });
}

/** The library gives the text of the peer's address as bytes. */
function addressOf(house: House, res: uws.HttpResponse, headers: Headers): string {
  const peer = plain(Buffer.from(res.getRemoteAddressAsText()).toString("latin1"));
  return house.addressOf?.(peer, headers["x-forwarded-for"]) ?? peer;
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

function socketBehavior(options: House): uws.WebSocketBehavior<PeerData> {
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
        options.connections--;
        const { peer, receiver } = ws.getUserData();
        peer?.detach();
        receiver?.closed(code);
      }),
  };
}

function upgrade(
  house: House,
  res: uws.HttpResponse,
  req: uws.HttpRequest,
  context: uws.us_socket_context_t,
): void {
  const head = headOf(req);
  if (isRefusal(head)) return refuseUpgrade(res, refusalAnswer(head, "", house.securityHeaders));
  const { headers } = head;
  const remoteAddress = addressOf(house, res, headers);
  let answer: UpgradeAnswer;
  try {
    answer = house.onUpgrade(headers, remoteAddress);
  } catch (error) {
    house.onError(error, "upgrade");
    answer = refusalAnswer(INTERNAL, head.path, house.securityHeaders);
  }
  if (!("protocol" in answer)) return refuseUpgrade(res, answer);
  const data: PeerData = { remoteAddress, receiver: null, peer: null };
  const key = headers["sec-websocket-key"] ?? "";
  const extensions = headers["sec-websocket-extensions"] ?? "";
  res.upgrade(data, key, answer.protocol, extensions, context);
}

function refuseUpgrade(
  res: uws.HttpResponse,
  { status, headers, body }: Exclude<UpgradeAnswer, { readonly protocol: string }>,
): void {
  res.cork(() => {
    res.writeStatus(`${status} ${STATUS_CODES[status] ?? "Status"}`);
    for (const name in headers) res.writeHeader(name, headers[name] as string);
    res.writeHeader("Connection", "close");
    res.end(body, true);
  });
}
