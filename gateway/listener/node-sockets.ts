/**
 * The WebSockets of the listener on Node, spoken by the package `ws`: upgrades, back-pressure,
 * idleness, closes. There are tens of thousands of them, so the handlers are shared functions, and
 * one timer looks at all of them.
 */
import type { IncomingMessage } from "node:http";
import type { Socket } from "node:net";
import { WebSocketServer } from "ws";
import type { RawData, WebSocket } from "ws";
import { SOCKET_CLOSE_MS } from "../../proto/limits.ts";
import type { ListenerOptions, WsPeer, WsReceiver } from "./listener.ts";

type SocketOptions = Pick<
  ListenerOptions,
  "frameMaxBytes" | "bufferMaxBytes" | "idleS" | "onOpen" | "onError"
>;

const LOOKS_PER_IDLE = 16;
/** The last part of the idle time is for the answer to a ping. */
const PING_AFTER = 0.75;
const BINARY = { binary: true, compress: false } as const;
const BUG = 1011;
const BROKE = 1006;

export class NodeSockets {
  readonly options: SocketOptions;
  readonly #server: WebSocketServer;
  readonly #peers = new Set<NodePeer>();
  readonly #look: NodeJS.Timeout;
  /** Read for each message: the time of the last look is exact enough for idleness. */
  now = performance.now();

  constructor(options: SocketOptions) {
    this.options = options;
    this.#server = new WebSocketServer({
      noServer: true,
      clientTracking: false,
      perMessageDeflate: false,
      maxPayload: options.frameMaxBytes,
      closeTimeout: SOCKET_CLOSE_MS,
      handleProtocols: (_, request) => (request as AcceptedRequest).protocol ?? false,
    } as ConstructorParameters<typeof WebSocketServer>[0]);
    const everyMs = (options.idleS * 1_000) / LOOKS_PER_IDLE;
    this.#look = setInterval(() => this.#lookAtAll(everyMs), everyMs);
    this.#look.unref();
  }

  get size(): number {
    return this.#peers.size;
  }

  /** Answers 101 and opens. `refuse` is called instead when the handshake is not well-formed. */
  accept(accepted: Accepted, refuse: (detail: string) => void): void {
    const { socket, head, remoteAddress } = accepted;
    const request = Object.assign(accepted.request, { protocol: accepted.protocol });
    this.#server.once("wsClientError", (error) => refuse(error.message));
    this.#server.handleUpgrade(request, socket, head, (ws) => this.#open(ws, remoteAddress));
    this.#server.removeAllListeners("wsClientError");
  }

  /** Cuts all. */
  close(): void {
    clearInterval(this.#look);
    for (const peer of this.#peers) peer.cut();
    this.#server.close();
  }

  forget(peer: NodePeer): void {
    this.#peers.delete(peer);
  }

  #open(ws: WebSocket, remoteAddress: string): void {
    const peer = new NodePeer(this, ws, remoteAddress);
    this.#peers.add(peer);
    peer.guard("open", () => peer.setReceiver(this.options.onOpen(peer)));
  }

  #lookAtAll(everyMs: number): void {
    this.now = performance.now();
    const idleMs = this.options.idleS * 1_000;
    for (const peer of this.#peers) peer.look(this.now, idleMs * PING_AFTER, idleMs, everyMs);
  }
}

export type Accepted = {
  readonly request: IncomingMessage;
  readonly socket: Socket;
  readonly head: Buffer;
  readonly protocol: string;
  readonly remoteAddress: string;
};
type AcceptedRequest = IncomingMessage & { readonly protocol?: string };
type OwnSocket = WebSocket & { [PEER]?: NodePeer };
const PEER = Symbol("peer");

class NodePeer implements WsPeer {
  readonly remoteAddress: string;
  readonly #home: NodeSockets;
  readonly #ws: OwnSocket;
  #receiver: WsReceiver | null = null;
  #seenAt: number;
  #isPinged = false;
  /** Ours, once we have closed it. */
  #code = 0;
  #isOver = false;

  constructor(home: NodeSockets, ws: OwnSocket, remoteAddress: string) {
    this.#home = home;
    this.#ws = ws;
    this.remoteAddress = remoteAddress;
    this.#seenAt = home.now;
    ws[PEER] = this;
    ws.on("message", onMessage);
    ws.on("ping", onSign);
    ws.on("pong", onSign);
    ws.on("close", onClose);
    // The close that follows tells the code.
    ws.on("error", onSign);
  }

  setReceiver(receiver: WsReceiver): void {
    this.#receiver = receiver;
  }

  send(bytes: Uint8Array): "sent" | "buffered" | "dropped" {
    if (this.#isOver || this.#code !== 0) return "dropped";
    const ws = this.#ws;
    if (ws.bufferedAmount + bytes.length > this.#home.options.bufferMaxBytes) return "dropped";
    ws.send(bytes, BINARY);
    return ws.bufferedAmount === 0 ? "sent" : "buffered";
  }

  close(code: number, reason: string): void {
    if (this.#isOver || this.#code !== 0) return;
    this.#code = code;
    this.#ws.close(code, reason);
  }

  bufferedBytes(): number {
    return this.#isOver ? 0 : this.#ws.bufferedAmount;
  }

  /** Something came from the other side. */
  sign(): void {
    this.#seenAt = this.#home.now;
    this.#isPinged = false;
  }

  message(data: Buffer, isBinary: boolean): void {
    this.sign();
    if (this.#isOver || this.#code !== 0) return;
    this.guard("message", () => this.#receiver?.message(data, isBinary));
  }

  ended(code: number): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#home.forget(this);
    this.guard("close", () => this.#receiver?.closed(this.#code === 0 ? code : this.#code));
  }

  cut(): void {
    this.ended(BROKE);
    this.#ws.terminate();
  }

  look(now: number, pingAfterMs: number, idleMs: number, everyMs: number): void {
    const silentMs = now - this.#seenAt;
    if (silentMs > idleMs + everyMs) this.#ws.terminate();
    if (silentMs < pingAfterMs || this.#isPinged || this.#code !== 0) return;
    this.#isPinged = true;
    this.#ws.ping();
  }

  /** A throw ends this socket and not the process. */
  guard(where: string, run: () => void): void {
    try {
      run();
    } catch (error) {
      this.#home.options.onError(error, where);
      this.close(BUG, "internal error");
    }
  }
}

function onMessage(this: WebSocket, data: RawData, isBinary: boolean): void {
  (this as OwnSocket)[PEER]?.message(data as Buffer, isBinary);
}
function onSign(this: WebSocket): void {
  (this as OwnSocket)[PEER]?.sign();
}
function onClose(this: WebSocket, code: number): void {
  (this as OwnSocket)[PEER]?.ended(code);
}
