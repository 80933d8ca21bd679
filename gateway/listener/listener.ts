/**
 * The contract of a public listener: HTTP exchanges and WebSockets, whichever library is
 * underneath. Routes, roles and frames are unknown here; whatever a handler does, the process lives
 * and the client gets an answer or a close.
 *
 * Two implementations keep it: `listener-node.ts` (node:http and ws, the default) and
 * `listener-uws.ts` (uWebSockets.js, for the cheapest fan-out behind a proxy that normalises
 * requests). docs/decisions/0012-front-door.md says why.
 */
import type { AddressOf } from "../../engine/client-address.ts";
import type { Headers } from "./request-head.ts";

export type { Headers };

/** One HTTP request and the way to answer it. Usable after awaits. */
export type HttpExchange = {
  /** As sent: methods are case-sensitive. */
  readonly method: string;
  /** As sent, percent-encoding and all, without the query; `*` for `OPTIONS *`. */
  readonly path: string;
  /** Without the question mark; empty when there is none. */
  readonly query: string;
  readonly headers: Headers;
  readonly remoteAddress: string;
  /** When it arrived, microseconds since 1970. */
  readonly receivedAtUs: number;
  /**
   * The whole body. Must be called before the first await; rejects with `payload_too_large` above
   * the cap.
   */
  readBody(capBytes: number): Promise<Uint8Array>;
  /**
   * Answers, once: later calls and calls after an abort do nothing. Gives whether it was written.
   */
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
  /** Once, at the end, with the code that ended it: ours when it was us; 1006 when it broke. */
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
  /**
   * Several processes listen on this port, and the kernel deals connections out among them; never
   * with port 0.
   */
  readonly isShared: boolean;
  readonly socketPaths: readonly string[];
  readonly frameMaxBytes: number;
  readonly bufferMaxBytes: number;
  /**
   * Seconds without any traffic after which a socket is closed; 8 to 960. Pings are sent before
   * that.
   */
  readonly idleS: number;
  /** From the peer's address and X-Forwarded-For to whose address counts. */
  readonly addressOf?: AddressOf;
  /**
   * Open connections of one peer's address, whatever they carry; 0: no cap. Not for the machine
   * itself and proxies.
   */
  readonly connectionsPerAddressMax?: number;
  /**
   * Open connections in all, sockets included, beyond which new ones are closed at once; 0: no cap.
   */
  readonly connectionsMax?: number;
  /** Called for each of those. */
  readonly onRefused?: () => void;
  /** Whether a peer is a proxy of ours, by its address. */
  readonly isProxy?: (address: string) => boolean;
  /** On answers that the listener itself gives. */
  readonly securityHeaders?: Readonly<Record<string, string>>;
  readonly onRequest: (exchange: HttpExchange) => Promise<void>;
  readonly onUpgrade: (headers: Headers, remoteAddress: string) => UpgradeAnswer;
  readonly onOpen: (peer: WsPeer) => WsReceiver;
  /** A throw or rejection of one of the handlers above: a bug, already answered with 500. */
  readonly onError: (error: unknown, where: string) => void;
};

export type Listener = {
  readonly port: number;
  /**
   * From now on every answer ends its connection, so that clients find another gateway; nothing
   * else changes.
   */
  drain(): void;
  /** No new connections; those that are open live on. */
  stopListening(): void;
  /** Cuts everything that is still open. */
  close(): void;
};

export type Listen = (options: ListenerOptions) => Promise<Listener>;
