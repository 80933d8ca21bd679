/**
 * The public listener on `node:http` and `ws`: the default. It puts the library's bounds where ours
 * are, counts connections by address before any header, and hands requests to `http-connection.ts`
 * and upgrades to `node-sockets.ts`.
 *
 * What the library would answer by itself (bad bytes, bad versions, late or large heads) is
 * answered here, as a problem of ours. Its own checks of Host and Expect are off: `request-head.ts`
 * makes them for both listeners.
 */
import { createServer } from "node:http";
import type { IncomingMessage, Server } from "node:http";
import { Server as NetServer } from "node:net";
import type { AddressInfo, Socket } from "node:net";
import { isLoopback, plain } from "../../engine/client-address.ts";
import type { ErrorCode } from "../../proto/errors.ts";
import * as limits from "../../proto/limits.ts";
import { HttpConnection } from "./http-connection.ts";
import type { ConnectionHouse } from "./http-connection.ts";
import { refusalAnswer } from "./answers.ts";
import type { Listener, ListenerOptions, UpgradeAnswer } from "./listener.ts";
import type { NodeExchange } from "./node-exchange.ts";
import { NodeSockets } from "./node-sockets.ts";
import { isRefusal } from "./request-head.ts";
import type { Head, Refusal } from "./request-head.ts";
import { UntakenAnswers } from "./untaken.ts";

/** The first byte of a TLS handshake. Whoever sends it understands no answer of HTTP. */
const TLS_HANDSHAKE = 0x16;
const WEBSOCKET_KEY = /^[+/0-9A-Za-z]{22}==$/;
const SPEAKS_WEBSOCKET = /(^|,)\s*websocket\s*(,|$)/i;
/** Fields that belong to an upgrade and not to the request without it. */
const UPGRADE_FIELDS: ReadonlySet<string> = new Set(["upgrade", "http2-settings"]);
/** What the parser says, as our codes; everything else that it says is a bad request. */
const PARSER_ERRORS: Readonly<Record<string, ErrorCode>> = {
  HPE_HEADER_OVERFLOW: "headers_too_large",
  HPE_CHUNK_EXTENSIONS_OVERFLOW: "payload_too_large",
  HPE_INVALID_VERSION: "version_unsupported",
  HPE_PAUSED_H2_UPGRADE: "version_unsupported",
  ERR_HTTP_REQUEST_TIMEOUT: "request_timeout",
};

/**
 * Listens. Rejects when the port is taken, the address is not ours, or a port cannot be shared
 * here.
 */
export async function listen(options: ListenerOptions): Promise<Listener> {
  if (options.isShared && !canShare(process.versions.node)) {
    throw new Error(
      "HEXDISPATCH_PUBLIC_PORT_SHARED=yes needs Node 22.12 or later; with this one " +
        `(${process.versions.node}) put a balancer in front or set HEXDISPATCH_LISTENER=uws`,
    );
  }
  const listener = new NodeListener(options);
  await listener.open();
  return listener;
}

/** Whether `net.Server.listen` knows `reusePort`. */
export function canShare(version: string): boolean {
  const [major = 0, minor = 0] = version.split(".").map(Number);
  return major > 22 || (major === 22 && minor >= 12);
}

class NodeListener implements Listener {
  readonly #options: ListenerOptions;
  readonly #server: Server;
  readonly #sockets: NodeSockets;
  readonly #house: ConnectionHouse;
  readonly #connections = new Map<Socket, HttpConnection>();
  readonly #byAddress = new Map<string, number>();
  readonly #look: NodeJS.Timeout;
  #isDraining = false;
  #waiting = 0;

  constructor(options: ListenerOptions) {
    this.#options = options;
    this.#sockets = new NodeSockets(options);
    const untaken = new UntakenAnswers();
    this.#look = setInterval(() => untaken.look(), limits.REQUEST_LOOK_MS);
    this.#look.unref();
    this.#house = {
      untaken,
      isDraining: () => this.#isDraining,
      isProxy: (address) => options.isProxy?.(address) ?? false,
      addressOf: options.addressOf ?? ((peer) => peer),
      refusalAnswer: (refusal, path) => refusalAnswer(refusal, path, options.securityHeaders),
      serve: (exchange) => this.#serve(exchange),
      waits: (by) => {
        this.#waiting += by;
        return this.#waiting <= limits.PIPELINED_ALL_MAX_REQUESTS;
      },
    };
    this.#server = this.#createServer();
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  open(): Promise<void> {
    const { host, port, isShared } = this.#options;
    const how = isShared ? { reusePort: true } : { exclusive: true };
    return new Promise((resolve, reject) => {
      this.#server.once("error", (cause) => {
        this.#sockets.close();
        reject(new Error(`cannot listen on ${host}:${port}: is the port taken?`, { cause }));
      });
      this.#server.listen({ host, port, backlog: limits.BACKLOG_MAX_CONNECTIONS, ...how }, () => {
        this.#server.removeAllListeners("error");
        this.#server.on("error", (error) => this.#options.onError(error, "listen"));
        resolve();
      });
    });
  }

  drain(): void {
    this.#isDraining = true;
  }

  stopListening(): void {
    // Of http's own close connections at rest would be cut, and a request may be on its way on one
    // of them.
    if (this.#server.listening) NetServer.prototype.close.call(this.#server);
  }

  close(): void {
    clearInterval(this.#look);
    if (this.#server.listening) this.#server.close();
    this.#sockets.close();
    for (const socket of this.#connections.keys()) socket.destroy();
  }

  #createServer(): Server {
    const server = createServer({
      maxHeaderSize: limits.HEAD_MAX_BYTES,
      headersTimeout: limits.HEAD_TIMEOUT_MS,
      requestTimeout: limits.REQUEST_TIMEOUT_MS,
      connectionsCheckingInterval: limits.REQUEST_LOOK_MS,
      keepAliveTimeout: limits.KEEP_ALIVE_MS,
      requireHostHeader: false,
      insecureHTTPParser: false,
      noDelay: true,
    });
    server.timeout = limits.CONNECTION_STALLED_MS;
    // The library would drop what is beyond its count unseen.
    server.maxHeadersCount = 0;
    // A client may end its side after its request and still gets the answer (RFC 9112, 9.6).
    (server as Server & { httpAllowHalfOpen: boolean }).httpAllowHalfOpen = true;
    const unknown: Refusal = { code: "expectation_failed" };
    // Before the library's own listener.
    server.prependListener("connection", (socket: Socket) => this.#accept(socket));
    server.on("request", (req, res) => this.#of(req.socket)?.request(req, res));
    server.on("checkContinue", (req, res) => this.#of(req.socket)?.request(req, res));
    server.on("checkExpectation", (req, res) => this.#of(req.socket)?.request(req, res, unknown));
    server.on("clientError", (error: ParserError, socket) => this.#broken(error, socket as Socket));
    server.on("upgrade", (req, socket, head) => this.#upgrade(req, socket as Socket, head));
    server.on("connect", (req, socket) => this.#refuseTunnel(req, socket as Socket));
    return server;
  }

  #of = (socket: Socket): HttpConnection | undefined => this.#connections.get(socket);

  #accept(socket: Socket): void {
    // Seen a second time after an upgrade that was none.
    if (this.#connections.has(socket)) return;
    const address = plain(socket.remoteAddress ?? "");
    const { connectionsPerAddressMax: most = 0, isProxy } = this.#options;
    const isFree = most === 0 || isLoopback(address) || isProxy?.(address) === true;
    const count = this.#byAddress.get(address) ?? 0;
    if (this.#isFull()) {
      this.#options.onRefused?.();
      socket.on("error", () => undefined);
      socket.destroy();
      return;
    }
    if (address === "" || (!isFree && count >= most)) {
      socket.on("error", () => undefined);
      socket.destroy();
      return;
    }
    this.#byAddress.set(address, count + 1);
    this.#connections.set(socket, new HttpConnection(this.#house, socket, address));
    socket.on("close", () => {
      this.#connections.delete(socket);
      const left = (this.#byAddress.get(address) ?? 1) - 1;
      if (left > 0) this.#byAddress.set(address, left);
      else this.#byAddress.delete(address);
    });
  }

  /**
   * Beyond this nothing could be opened for the connections that are there, nor for the admin door.
   */
  #isFull(): boolean {
    const { connectionsMax: most = 0 } = this.#options;
    return most > 0 && this.#connections.size >= most;
  }

  #serve(exchange: NodeExchange): void {
    const fail = (error: unknown): void => {
      this.#options.onError(error, "request");
      const { status, headers, body } = this.#house.refusalAnswer(INTERNAL, exchange.path);
      exchange.respond(status, headers, body);
    };
    try {
      this.#options.onRequest(exchange).catch(fail);
    } catch (error) {
      fail(error);
    }
  }

  #broken(error: ParserError, socket: Socket): void {
    const connection = this.#connections.get(socket);
    const { code = "" } = error;
    const isParser = code.startsWith("HPE_") || code === "ERR_HTTP_REQUEST_TIMEOUT";
    if (connection === undefined || !isParser) {
      socket.destroy();
      return;
    }
    const isTls = error.rawPacket?.[0] === TLS_HANDSHAKE && error.bytesParsed === 0;
    connection.broken(isTls ? null : { code: PARSER_ERRORS[code] ?? "bad_request" });
  }

  #refuseTunnel(request: IncomingMessage, socket: Socket): void {
    const connection = this.#connections.get(socket);
    const refusal: Refusal = { code: "method_not_allowed", detail: "This is no proxy." };
    connection?.afterwards(() => connection.end(this.#house.refusalAnswer(refusal)));
  }

  #upgrade(request: IncomingMessage, socket: Socket, rest: Buffer): void {
    const connection = this.#connections.get(socket);
    connection?.afterwards(() => {
      const head = connection.head(request);
      if (isRefusal(head)) this.#refuseSocket(connection, head);
      else if (this.#isForSockets(request, head)) this.#open(connection, request, head, rest);
      else this.#withoutUpgrade(request, socket, rest);
    });
  }

  #isForSockets({ method, httpVersion }: IncomingMessage, { path, headers }: Head): boolean {
    if (method !== "GET" || httpVersion !== "1.1") return false;
    const isSpoken = SPEAKS_WEBSOCKET.test(headers["upgrade"] ?? "");
    return isSpoken && this.#options.socketPaths.includes(path);
  }

  /**
   * An upgrade to anything else, or elsewhere, is ignored (RFC 9110, 7.8): the same request without
   * the field that asks for it goes through the parser again, and what came behind it.
   */
  #withoutUpgrade(request: IncomingMessage, socket: Socket, rest: Buffer): void {
    const { method, url, httpVersion, rawHeaders } = request;
    const lines = [`${method} ${url} HTTP/${httpVersion}`];
    for (let i = 0; i + 1 < rawHeaders.length; i += 2) {
      const name = rawHeaders[i] as string;
      if (!UPGRADE_FIELDS.has(name.toLowerCase())) lines.push(`${name}: ${rawHeaders[i + 1]}`);
    }
    const head = Buffer.from(`${lines.join("\r\n")}\r\n\r\n`, "latin1");
    socket.unshift(Buffer.concat([head, rest]));
    this.#server.emit("connection", socket);
  }

  #open(connection: HttpConnection, request: IncomingMessage, known: Head, head: Buffer): void {
    const { headers } = known;
    if (headers["transfer-encoding"] !== undefined || Number(headers["content-length"] ?? 0) > 0) {
      return this.#refuseSocket(connection, {
        code: "bad_request",
        detail: "An upgrade has no body.",
      });
    }
    if (headers["sec-websocket-version"] !== "13") {
      const detail = "Sec-WebSocket-Version must be 13.";
      return this.#refuseSocket(connection, { code: "bad_request", detail }, VERSION_FIELD);
    }
    if (!WEBSOCKET_KEY.test(headers["sec-websocket-key"] ?? "")) {
      const detail = "Sec-WebSocket-Key is missing or not well-formed.";
      return this.#refuseSocket(connection, { code: "bad_request", detail });
    }
    const forwarded = headers["x-forwarded-for"];
    const remoteAddress = this.#house.addressOf(connection.peer, forwarded);
    const answer = this.#answerUpgrade(headers, remoteAddress);
    if (!("protocol" in answer)) return connection.end(answer);
    const { socket } = connection;
    const accepted = { request, socket, head, protocol: answer.protocol, remoteAddress };
    this.#sockets.accept(accepted, (detail) =>
      this.#refuseSocket(connection, { code: "bad_request", detail }),
    );
  }

  #answerUpgrade(...args: Parameters<ListenerOptions["onUpgrade"]>): UpgradeAnswer {
    try {
      return this.#options.onUpgrade(...args);
    } catch (error) {
      this.#options.onError(error, "upgrade");
      return this.#house.refusalAnswer(INTERNAL);
    }
  }

  #refuseSocket(connection: HttpConnection, refusal: Refusal, more: Fields = {}): void {
    const answer = this.#house.refusalAnswer(refusal, this.#options.socketPaths[0]);
    connection.end({ ...answer, headers: { ...answer.headers, ...more } });
  }
}

type ParserError = Error & {
  readonly code?: string;
  readonly rawPacket?: Buffer;
  readonly bytesParsed?: number;
};
type Fields = Readonly<Record<string, string>>;
const INTERNAL: Refusal = { code: "internal" };
const VERSION_FIELD: Fields = { "sec-websocket-version": "13" };
