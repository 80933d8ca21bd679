/**
 * One socket of a gateway: what is known of it, and how a verified one is written to. There are
 * tens of thousands of them, so each is two flat objects: no closures, and no timer of its own
 * (`gateway/websocket/connections.ts` looks at all deadlines together).
 */
import { serverFrames } from "../../proto/frames.ts";
import type { ClientFrame, ServerFrame } from "../../proto/frames.ts";
import type { SessionId } from "../../proto/ids.ts";
import type { GatewayMetrics } from "../base/metrics.ts";
import type { Link } from "../base/link.ts";
import type { PingAdvice } from "./ping-advice.ts";
import type { Principal } from "../base/principal.ts";
import type { Session } from "./session.ts";
import type { WsPeer, WsReceiver } from "../listener/listener.ts";

/** A reader with more than this unsent gets no positions until it has caught up. */
const BEHIND_BYTES = 16_384;

/** What a socket has happen to it, told to whoever runs all of them. */
export type ConnectionHome = {
  readonly metrics: Pick<GatewayMetrics, "sent" | "dropped">;
  received(connection: Connection, bytes: Uint8Array, isBinary: boolean): void;
  ended(connection: Connection, code: number): void;
  /** A frame that may not be lost was dropped. */
  lagged(connection: Connection): void;
  /** A frame passed, either way. */
  passed(connection: Connection, frame: ClientFrame | ServerFrame): void;
};

export class Connection implements WsReceiver {
  readonly id: SessionId;
  readonly peer: WsPeer;
  readonly home: ConnectionHome;
  state: Session;
  /** Once it is verified. */
  link: Link | null = null;
  /** Of a courier: how often its app should ping. */
  advice: PingAdvice | null = null;
  /** What it was told last (`come-back.ts`); null before the welcome. */
  comeBackWithinMs: number | null = null;

  constructor(home: ConnectionHome, id: SessionId, peer: WsPeer, state: Session) {
    this.home = home;
    this.id = id;
    this.peer = peer;
    this.state = state;
  }

  message(bytes: Uint8Array, isBinary: boolean): void {
    this.home.received(this, bytes, isBinary);
  }

  closed(code: number): void {
    this.home.ended(this, code);
  }
}

export class ConnectionLink implements Link {
  readonly id: SessionId;
  readonly principal: Principal;
  readonly #connection: Connection;

  constructor(connection: Connection, principal: Principal) {
    this.id = connection.id;
    this.principal = principal;
    this.#connection = connection;
  }

  isOpen(): boolean {
    return this.#connection.state.at !== "closed";
  }

  send(frame: ServerFrame): void {
    this.sendBytes(serverFrames.encode(frame));
    this.#connection.home.passed(this.#connection, frame);
  }

  sendBytes(bytes: Uint8Array): void {
    const { state, peer, home } = this.#connection;
    if (state.at === "closed") return;
    home.metrics.sent(bytes);
    if (peer.send(bytes) !== "dropped") return;
    home.metrics.dropped.inc({ reason: "slow_reader" });
    home.lagged(this.#connection);
  }

  offer(bytes: Uint8Array): boolean {
    const { state, peer, home } = this.#connection;
    if (state.at === "closed") return false;
    if (peer.bufferedBytes() > BEHIND_BYTES) {
      home.metrics.dropped.inc({ reason: "behind" });
      return false;
    }
    home.metrics.sent(bytes);
    return peer.send(bytes) !== "dropped";
  }
}
