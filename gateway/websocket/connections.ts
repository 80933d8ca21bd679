/**
 * The sockets of this gateway: runs the session machine of each, welcomes who is verified, keeps
 * one session for each courier, and writes the frames that nodes send to sessions. Every rule about
 * when a session ends is in `gateway/websocket/session.ts`; what frames do is in
 * `gateway/websocket/frames.ts`.
 */
import { shardOfCourier } from "../../engine/cluster/shards.ts";
import { newSessionId } from "../../engine/ids.ts";
import { errorFields } from "../../engine/io/log.ts";
import { OutageLog } from "../../engine/io/outage-log.ts";
import { CLOSE_CODES } from "../../proto/errors.ts";
import type { CloseReason } from "../../proto/errors.ts";
import { PROTOCOL_VERSION, clientFrames, serverFrames } from "../../proto/frames.ts";
import type { ClientFrame, ServerFrame } from "../../proto/frames.ts";
import type { CourierId, Millis, SessionId } from "../../proto/ids.ts";
import { SEEN_EVERY_FRAMES, SERVER_SILENT_MS } from "../../proto/limits.ts";
import { decodeSessionPosts } from "../../proto/messages.ts";
import type { Auth } from "../access/auth.ts";
import { ReconnectSpread } from "./reconnect-spread.ts";
import { Connection, ConnectionLink } from "./connection.ts";
import type { ConnectionHome } from "./connection.ts";
import type { Principal } from "../base/principal.ts";
import type { Deps } from "../base/deps.ts";
import { errorFrame } from "./frames.ts";
import type { ServeFrame } from "./frames.ts";
import type { Link } from "../base/link.ts";
import type { ActorClient } from "../backend/actor-client.ts";
import { nowUs } from "../base/now-us.ts";
import { intervalMs, observe, startAdvice } from "./ping-advice.ts";
import { asDispatchError } from "../base/problem.ts";
import { deadline, openSession, step } from "./session.ts";
import type { SessionEffect, SessionMsg } from "./session.ts";
import type { WsPeer, WsReceiver } from "../listener/listener.ts";
import type { SocketCaps } from "../access/socket-caps.ts";
import { assignmentView } from "../views/delivery-view.ts";

const ASSIGNMENTS_MAX = 64;
/**
 * How often all deadlines are looked at: so late a session may end. A timer for each would cost
 * more than the rest of it.
 */
const DEADLINES_MS = 500;

export type ConnectionParts = {
  readonly deps: Deps;
  readonly auth: Auth;
  readonly actorClient: ActorClient;
  readonly caps: SocketCaps;
  /** Told when a session has ended. */
  readonly onLeave: (session: SessionId) => void;
};

export class Connections implements ConnectionHome {
  readonly #parts: ConnectionParts;
  readonly #deps: Deps;
  readonly #byId = new Map<SessionId, Connection>();
  readonly #byCourier = new Map<CourierId, Connection>();
  readonly #reconnectSpread = new ReconnectSpread(this.#byId);
  readonly #unsubscribe: () => void;
  #cancelLook: () => void;
  /** No deadline is earlier: most are hours away, so that mostly there is nothing to look at. */
  #soonest: Millis = 0;
  #serve: ServeFrame = () => undefined;
  #isDraining = false;

  readonly #outages: OutageLog;

  constructor(parts: ConnectionParts) {
    this.#parts = parts;
    this.#deps = parts.deps;
    this.#outages = new OutageLog(parts.deps.log, parts.deps.clock);
    const { bus, subjects, gateway } = parts.deps;
    this.#unsubscribe = bus.subscribe(subjects.gateway(gateway), ({ data }) => this.#deliver(data));
    this.#cancelLook = parts.deps.clock.after(DEADLINES_MS, () => this.#lookAtDeadlines());
  }

  /** Looks at no deadline any more; after `drain`. */
  stop(): void {
    this.#cancelLook();
  }

  get metrics(): Deps["metrics"] {
    return this.#deps.metrics;
  }

  /** Connects what frames do; once, before the first connection. */
  serveWith(serve: ServeFrame): void {
    this.#serve = serve;
  }

  get size(): number {
    return this.#byId.size;
  }

  /** A socket was opened. */
  open(peer: WsPeer): WsReceiver {
    const state = openSession(this.#deps.clock.now());
    const connection = new Connection(this, newSessionId(this.#deps.random), peer, state);
    this.#byId.set(connection.id, connection);
    this.#note(connection);
    this.#parts.caps.opened(peer.remoteAddress);
    if (this.#isDraining) this.#stopNow(connection);
    return connection;
  }

  received(connection: Connection, bytes: Uint8Array, isBinary: boolean): void {
    const frame = isBinary ? clientFrames.decode(bytes) : null;
    this.#deps.metrics.received(frame?.type ?? "bad");
    this.#run(connection, { type: "frame", frame });
  }

  ended(connection: Connection, code: number): void {
    this.#deps.metrics.disconnects.inc({ code: String(code) });
    this.#parts.caps.closed(connection.peer.remoteAddress);
    this.#run(connection, { type: "gone" });
  }

  lagged(connection: Connection): void {
    this.#run(connection, { type: "lagged" });
  }

  /** All pings of a session up to `seq` were handed on. */
  acknowledge(session: SessionId, seq: number): void {
    this.#byId.get(session)?.link?.offer(serverFrames.encode({ type: "ping_ack", seq }));
  }

  /** A node took these shards: tell it which couriers are connected here. */
  announce(shards: readonly number[]): void {
    const wanted = new Set(shards);
    for (const [courier, { id }] of this.#byCourier) {
      if (wanted.has(shardOfCourier(courier, this.#deps.config.shards)))
        this.#tellOpened(courier, id);
    }
  }

  /** Ends the sessions of those principals at once. */
  revoke(isRevoked: (principal: Principal) => boolean): void {
    for (const connection of this.#byId.values()) {
      const principal = connection.link?.principal;
      if (principal === undefined || !isRevoked(principal)) continue;
      this.#run(connection, { type: "revoked" });
    }
  }

  /**
   * Says goodbye to all and closes them in batches, so that they do not all come back at one
   * moment. Each is served until its own turn.
   */
  async drain(batch: number, pauseMs: number): Promise<void> {
    this.#isDraining = true;
    const { clock } = this.#deps;
    const all = [...this.#byId.values()];
    for (let from = 0; from < all.length; from += batch) {
      for (const connection of all.slice(from, from + batch)) this.#stopNow(connection);
      await new Promise<void>((resolve) => clock.after(pauseMs, resolve));
    }
    this.#unsubscribe();
  }

  #stopNow(connection: Connection): void {
    this.#run(connection, { type: "stop", closeAt: this.#deps.clock.now() });
  }

  #run(connection: Connection, msg: SessionMsg): void {
    const [next, ...effects] = step(connection.state, msg, this.#deps.clock.now());
    connection.state = next;
    for (const effect of effects) this.#perform(connection, effect);
    if (next.at === "closed") this.#byId.delete(connection.id);
    else this.#note(connection);
    if (next.at === "draining") this.#wakeIfDue(connection, this.#deps.clock.now());
  }

  #note({ state }: Connection): void {
    const at = deadline(state);
    if (at !== null && at < this.#soonest) this.#soonest = at;
  }

  #wakeIfDue(connection: Connection, now: Millis): void {
    const at = deadline(connection.state);
    if (at !== null && at <= now) this.#run(connection, { type: "woke" });
  }

  #lookAtDeadlines(): void {
    const { clock } = this.#deps;
    const now = clock.now();
    if (now >= this.#soonest) {
      this.#soonest = Number.MAX_SAFE_INTEGER;
      for (const connection of this.#byId.values()) {
        this.#wakeIfDue(connection, now);
        this.#note(connection);
      }
    }
    this.#reconnectSpread.look();
    this.#cancelLook = clock.after(DEADLINES_MS, () => this.#lookAtDeadlines());
  }

  #perform(connection: Connection, effect: SessionEffect): void {
    switch (effect.do) {
      case "verify":
        this.#verify(connection, effect.credential);
        return;
      case "enter":
        this.#enter(connection, effect.principal);
        return;
      case "serve":
        if (connection.link === null) return;
        this.passed(connection, effect.frame);
        this.#serve(connection.link, effect.frame);
        return;
      case "send":
        connection.peer.send(serverFrames.encode(effect.frame));
        return;
      case "announceEnd":
        sendBye(connection.peer, "going_away");
        return;
      case "close":
        sendBye(connection.peer, effect.reason);
        connection.peer.close(CLOSE_CODES[effect.reason].code, CLOSE_CODES[effect.reason].text);
        return;
      case "leave":
        this.#leave(connection, effect.principal);
        return;
    }
  }

  #verify(connection: Connection, credential: string): void {
    this.#parts.auth.verify(credential).then(
      (principal) => {
        if (this.#parts.caps.refuses(principal, this.#deps.clock.now())) {
          this.#deps.metrics.limited.inc({ scope: "principal sockets" });
          this.#run(connection, { type: "refused", code: "rate_limited" });
          return;
        }
        this.#run(connection, { type: "verified", principal });
      },
      (error: unknown) => {
        const { code } = asDispatchError(error);
        this.#deps.metrics.authFailures.inc({ code });
        if (code === "internal") this.#deps.log.error(errorFields(error), "a hello failed");
        this.#run(connection, { type: "refused", code });
      },
    );
  }

  #enter(connection: Connection, principal: Principal): void {
    this.#deps.metrics.connections.inc({ session_role: principal.role });
    this.#parts.caps.enter(principal);
    const link = new ConnectionLink(connection, principal);
    connection.link = link;
    if (principal.role !== "courier") {
      link.send(this.#welcome(connection, principal, null, []));
      return;
    }
    const older = this.#byCourier.get(principal.subject);
    this.#byCourier.set(principal.subject, connection);
    if (older !== undefined) this.#run(older, { type: "replaced" });
    this.#welcomeCourier(connection, principal, link).catch((error: unknown) => {
      this.#outages.tell(error, {}, "a courier could not be welcomed");
      if (!link.isOpen()) return;
      // Without its deliveries the app would show none: it shall come back and ask again.
      link.send(errorFrame(asDispatchError(error), null));
      this.#stopNow(connection);
    });
  }

  async #welcomeCourier(
    connection: Connection,
    principal: Extract<Principal, { role: "courier" }>,
    link: Link,
  ): Promise<void> {
    const { store } = this.#deps;
    const id = principal.subject;
    const [courier, rows] = await Promise.all([store.courier(id), store.activeOfCourier(id)]);
    if (!link.isOpen()) return;
    const assignments = rows.slice(0, ASSIGNMENTS_MAX).map(assignmentView);
    connection.advice = startAdvice(assignments);
    link.send(this.#welcome(connection, principal, courier?.online ?? null, assignments));
    // After the welcome, so that the offers that the actor shows again come behind it.
    this.#tellOpened(id, connection.id);
  }

  #welcome(
    connection: Connection,
    { role, subject }: Principal,
    online: boolean | null,
    assignments: readonly ReturnType<typeof assignmentView>[],
  ): ServerFrame {
    const { settings } = this.#deps.config;
    const { id, advice } = connection;
    return {
      type: "welcome",
      version: PROTOCOL_VERSION,
      session: id,
      role,
      subject,
      now: this.#deps.clock.now(),
      pingIntervalMs: intervalMs(advice?.why ?? "idle", settings),
      idleMs: SERVER_SILENT_MS,
      pingSpeedMaxMps: settings.PING_SPEED_MAX_MPS,
      online,
      assignments,
      seenEvery: SEEN_EVERY_FRAMES,
      comeBackWithinMs: this.#reconnectSpread.told(connection, role),
    };
  }

  /** Tells the courier's app when it should ping more or less often from now on. */
  passed(connection: Connection, frame: ClientFrame | ServerFrame): void {
    const { advice } = connection;
    if (advice === null) return;
    const { settings } = this.#deps.config;
    const next = observe(advice, frame, this.#deps.clock.now(), settings.PING_NEAR_M);
    connection.advice = next;
    if (next.why === advice.why) return;
    const after = { type: "ping_interval", why: next.why } as const;
    connection.link?.send({ ...after, intervalMs: intervalMs(next.why, settings) });
  }

  #tellOpened(courier: CourierId, session: SessionId): void {
    const { gateway } = this.#deps;
    this.#parts.actorClient.tellCourier(courier, { type: "opened", gateway, session });
  }

  #leave(connection: Connection, principal: Principal): void {
    this.#parts.onLeave(connection.id);
    this.#parts.caps.leave(principal);
    if (principal.role !== "courier") return;
    const courier = principal.subject;
    // A newer connection of the courier is not ours to take away.
    if (this.#byCourier.get(courier) === connection) this.#byCourier.delete(courier);
    this.#parts.actorClient.tellCourier(courier, { type: "closed", session: connection.id });
  }

  /**
   * Frames from nodes, each for one session. Those for sessions that have ended are nobody's any
   * more.
   */
  #deliver(data: Uint8Array): void {
    const posts = decodeSessionPosts(data);
    if (posts === null) {
      this.#deps.log.error("frames from a node could not be read");
      return;
    }
    for (const { session, frame, receivedAtUs, ordinal, shard, epoch } of posts) {
      if (!this.#deps.fence.admits(shard, epoch)) {
        this.#deps.metrics.fenced.inc({ what: "frame" });
        continue;
      }
      const link = this.#byId.get(session as SessionId)?.link ?? null;
      if (link === null) {
        this.#deps.metrics.dropped.inc({ reason: "gone" });
        continue;
      }
      link.send(frame);
      if (receivedAtUs > 0) this.#measure(receivedAtUs, ordinal);
    }
  }

  /**
   * From the receipt of the create to here, by the offer's ordinal: the first, the second, or a
   * later one.
   */
  #measure(receivedAtUs: number, ordinal: number): void {
    const delayS = Math.max(0, nowUs() - receivedAtUs) / 1_000_000;
    this.#deps.metrics.offerDelay.observe({ ordinal: String(Math.min(ordinal, 10)) }, delayS);
  }
}

/** Whoever is already behind learns it from the close code alone. */
function sendBye(peer: WsPeer, reason: CloseReason): void {
  const { code, retry, text, retryAfterMs } = CLOSE_CODES[reason];
  peer.send(serverFrames.encode({ type: "bye", code, retry, text, retryAfterMs }));
}
