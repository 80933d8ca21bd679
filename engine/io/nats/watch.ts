/**
 * What a connection to NATS says about itself: whether it is there, whether the server behind it
 * passes the gate (a reconnect may lead to an older one), which subjects it refuses us, and what
 * else it complains of. Nothing of it is swallowed: it is counted, logged once in a while, and part
 * of readiness.
 */
import { PermissionViolationError } from "@nats-io/transport-node";
import type { NatsConnection, Status } from "@nats-io/transport-node";
import {
  NATS_PAYLOAD_MIN_BYTES,
  NATS_PERMISSION_SHOWN_MS,
  NATS_REFUSED_RECONNECT_MAX_MS,
  NATS_TROUBLES_MAX,
  NATS_TROUBLE_LOG_MS,
} from "../../../proto/limits.ts";
import { checkServer, isRefusal } from "./connect.ts";

export type BusStatus = "connected" | "disconnected" | "closed";

/**
 * What went wrong: credentials refused, a subject refused, an unfit server, a message too large,
 * anything else.
 */
export const NATS_TROUBLES = ["refused", "permission", "unfit", "too_large", "other"] as const;
export type NatsTrouble = (typeof NATS_TROUBLES)[number];

export type NatsWatchPorts = {
  readonly log?: Readonly<
    Record<
      "info" | "warn" | "error",
      (fields: Readonly<Record<string, unknown>>, text: string) => void
    >
  >;
  readonly onTrouble?: (what: NatsTrouble) => void;
};

export class NatsWatch {
  readonly #nc: NatsConnection;
  readonly #ports: NatsWatchPorts;
  readonly #listeners: ((status: BusStatus) => void)[] = [];
  /** Texts of troubles, with the time of their last line. */
  readonly #logged = new Map<string, number>();
  /** Refused subjects, with the time when each was met last. */
  readonly #refused = new Map<string, number>();
  #status: BusStatus = "connected";
  #isUnfit = false;

  constructor(nc: NatsConnection, ports: NatsWatchPorts = {}) {
    this.#nc = nc;
    this.#ports = ports;
    this.#checkPayload();
    void this.#follow();
  }

  status(): BusStatus {
    return this.#status;
  }

  /** Called at each change of the status. */
  onStatus(listener: (status: BusStatus) => void): void {
    this.#listeners.push(listener);
  }

  /** What keeps a process from being ready, in words; empty when nothing does. */
  problems(): readonly string[] {
    if (this.#isUnfit) return ["nats server unfit"];
    if (this.#status !== "connected") return ["nats"];
    const since = performance.now() - NATS_PERMISSION_SHOWN_MS;
    for (const [subject, at] of this.#refused) if (at < since) this.#refused.delete(subject);
    return this.#refused.size === 0 ? [] : ["nats permissions"];
  }

  /** A message that does not fit was dropped. */
  tooLarge(subject: string, bytes: number): void {
    this.#trouble("too_large", "a message is larger than the NATS server takes", {
      ...{ subject, bytes, max: this.#nc.info?.max_payload },
    });
  }

  async #follow(): Promise<void> {
    for await (const status of this.#nc.status()) this.#take(status);
    this.#set("closed");
  }

  #take(status: Status): void {
    switch (status.type) {
      case "disconnect":
        return this.#set("disconnected");
      case "reconnect":
        return this.#reconnected();
      case "error":
        return this.#failed(status.error);
      case "ldm":
        this.#ports.log?.info({ server: status.server }, "a NATS server is about to end");
        return;
      case "slowConsumer":
        return this.#trouble("other", "a subscription is slow", {});
      default: // Pings, attempts and news of the cluster.
    }
  }

  /** The gate holds here too: a server that fails it is left, and the next one is tried. */
  #reconnected(): void {
    try {
      const { info } = this.#nc;
      checkServer(info?.version ?? "0.0.0", info?.jetstream === true);
    } catch (error) {
      this.#isUnfit = true;
      this.#trouble("unfit", (error as Error).message, { server: this.#nc.getServer() });
      setTimeout(() => this.#leave(), NATS_REFUSED_RECONNECT_MAX_MS).unref();
      return;
    }
    this.#isUnfit = false;
    this.#checkPayload();
    this.#set("connected");
  }

  #leave(): void {
    if (this.#isUnfit && !this.#nc.isClosed()) void this.#nc.reconnect();
  }

  #failed(error: Error): void {
    if (isRefusal(error)) {
      const fields = { why: error.message, server: this.#nc.getServer() };
      return this.#trouble("refused", "NATS refuses our credentials; it is tried again", fields);
    }
    if (!(error instanceof PermissionViolationError)) {
      return this.#trouble("other", "the NATS server complains", { why: error.message });
    }
    const { operation, subject } = error;
    if (this.#refused.size < NATS_TROUBLES_MAX || this.#refused.has(subject)) {
      this.#refused.set(subject, performance.now());
    }
    const text = `the NATS server does not permit a ${operation}`;
    this.#trouble("permission", text, { subject, operation });
  }

  #checkPayload(): void {
    const max = this.#nc.info?.max_payload;
    if (max === undefined || max >= NATS_PAYLOAD_MIN_BYTES) return;
    const text = "max_payload of the NATS server is small; what is larger is dropped or refused";
    this.#ports.log?.warn({ max, needed: NATS_PAYLOAD_MIN_BYTES }, text);
  }

  /** Counts each, and logs each kind with its subject once in a while. */
  #trouble(what: NatsTrouble, text: string, fields: Readonly<Record<string, unknown>>): void {
    this.#ports.onTrouble?.(what);
    const key = `${what} ${JSON.stringify(fields["subject"] ?? fields["why"])}`;
    const now = performance.now();
    if (now - (this.#logged.get(key) ?? -Infinity) < NATS_TROUBLE_LOG_MS) return;
    if (this.#logged.size >= NATS_TROUBLES_MAX) this.#logged.clear();
    this.#logged.set(key, now);
    this.#ports.log?.[what === "too_large" ? "warn" : "error"](fields, text);
  }

  #set(next: BusStatus): void {
    if (next === this.#status) return;
    this.#status = next;
    for (const listener of this.#listeners) listener(next);
  }
}
