/**
 * NATS behind a small port, `Bus`, with the client options that the failover measurements ask for: reconnect for ever,
 * notice a dead server within two seconds, short timeouts. Core publishes made while disconnected are dropped
 * here at once, because the client would buffer them without bound and then discard them all the same; what
 * must arrive is a request, or is in the database. The gate at the end refuses servers that would silently drop
 * features we ask for.
 */
import { ClosedConnectionError, connect, ConnectionError } from "@nats-io/transport-node";
import { createInbox, headers, NoRespondersError, TimeoutError } from "@nats-io/transport-node";
import { credsAuthenticator, nkeyAuthenticator } from "@nats-io/transport-node";
import type { Authenticator, Msg, MsgHdrs, NatsConnection } from "@nats-io/transport-node";
import { readFileSync } from "node:fs";
import { NATS_REQUEST_TIMEOUT_MS, NATS_VERSION_MIN } from "../../proto/limits.ts";

/** A message as a subscriber sees it. `respond` does nothing when nobody waits for an answer. */
export type BusMessage = {
  readonly subject: string;
  readonly data: Uint8Array;
  readonly wantsAnswer: boolean;
  readonly respond: (data: Uint8Array) => void;
};

/** Ends a subscription. */
export type Unsubscribe = () => void;

export type BusStatus = "connected" | "disconnected" | "closed";

/** Why a request got no answer. After `timeout` it may have been done all the same. */
export type BusFailure = "no_responders" | "timeout" | "disconnected";

export class BusError extends Error {
  override readonly name = "BusError";
  readonly reason: BusFailure;

  constructor(reason: BusFailure, subject: string, cause?: unknown) {
    super(`no answer on ${subject}: ${reason}`, { cause });
    this.reason = reason;
  }
}

export type Bus = {
  /**
   * False when it was dropped because the connection is down. `reply` is where answers go; a stream takes a message
   * of the same `messageId` only once; `more` are further headers.
   */
  readonly publish: (
    subject: string,
    data: Uint8Array,
    reply?: string,
    messageId?: string,
    more?: Readonly<Record<string, string>>,
  ) => boolean;
  /** `onMessage` must not throw. With `queue`, one member of that group gets each message. */
  readonly subscribe: (
    subject: string,
    onMessage: (message: BusMessage) => void,
    queue?: string,
  ) => Unsubscribe;
  /** The first answer. Rejects with BusError. */
  readonly request: (subject: string, data: Uint8Array, timeoutMs?: number) => Promise<Uint8Array>;
  /** All answers that come within `waitMs`, at most `max`; an empty list when nobody answers. */
  readonly requestMany: (
    subject: string,
    data: Uint8Array,
    options: { readonly waitMs: number; readonly max: number },
  ) => Promise<readonly Uint8Array[]>;
  /** A fresh subject that only this connection listens on. */
  readonly inbox: () => string;
  readonly status: () => BusStatus;
  /** Called at each change of the status. */
  readonly onStatus: (listener: (status: BusStatus) => void) => void;
  /** What was published has reached the server. */
  readonly flush: () => Promise<void>;
  readonly close: () => Promise<void>;
};

export type NatsOptions = {
  readonly url: string;
  /** Shown in the server's list of connections. */
  readonly name: string;
  /** A file with an nkey's seed, or a .creds file; absent or null where the server asks for none. */
  readonly credentials?: string | null;
};

const CONNECT_TIMEOUT_MS = 5_000;
const RECONNECT_WAIT_MS = 200;
const HEARTBEAT_MS = 1_000;
const HEARTBEATS_MISSED_MAX = 2;

/** A connection that passed the gate. Rejects with UnfitServerError, or the client's own error when nobody answers. */
export async function connectNats(options: NatsOptions): Promise<NatsConnection> {
  const nc = await connect({
    servers: options.url.split(",").map((url) => url.trim()),
    name: options.name,
    timeout: CONNECT_TIMEOUT_MS,
    maxReconnectAttempts: -1,
    reconnectTimeWait: RECONNECT_WAIT_MS,
    pingInterval: HEARTBEAT_MS,
    maxPingOut: HEARTBEATS_MISSED_MAX,
    ...authOf(options.credentials ?? null),
  });
  try {
    checkServer(nc.info?.version ?? "0.0.0", nc.info?.jetstream === true);
  } catch (error) {
    await nc.close();
    throw error;
  }
  return nc;
}

/**
 * What a connection shows of itself. The file is read at each connect, so that a new key is taken without a restart.
 * Throws when the file cannot be read.
 */
export function authOf(file: string | null): { readonly authenticator?: Authenticator } {
  if (file === null) return {};
  readFileSync(file);
  return { authenticator: (nonce) => authenticatorOf(readFileSync(file))(nonce) };
}

const authenticatorOf = (content: Buffer): Authenticator => {
  const text = content.toString("utf8").trim();
  const bytes = new TextEncoder().encode(text);
  return text.includes("BEGIN NATS USER JWT")
    ? credsAuthenticator(bytes)
    : nkeyAuthenticator(bytes);
};

/** The server is too old or has no JetStream: the operator's to mend. */
export class UnfitServerError extends Error {
  override readonly name = "UnfitServerError";
}

/** Throws UnfitServerError. An older server accepts stream settings that it does not know and drops them silently. */
export function checkServer(version: string, hasJetStream: boolean): void {
  if (!isAtLeast(version, NATS_VERSION_MIN)) {
    throw new UnfitServerError(`nats-server is ${version}; ${NATS_VERSION_MIN} or newer is needed`);
  }
  if (!hasJetStream) throw new UnfitServerError("nats-server runs without JetStream; turn it on");
}

/** Whether version `a` is `b` or newer; what follows the third number is ignored. */
export function isAtLeast(a: string, b: string): boolean {
  const numbers = (version: string): number[] => version.split(/[.+-]/).slice(0, 3).map(Number);
  const [left, right] = [numbers(a), numbers(b)];
  for (let i = 0; i < 3; i++) {
    const difference = (left[i] || 0) - (right[i] || 0);
    if (difference !== 0) return difference > 0;
  }
  return true;
}

/** The bus over one NATS connection. */
export function natsBus(nc: NatsConnection): Bus {
  let status: BusStatus = "connected";
  const listeners: ((status: BusStatus) => void)[] = [];
  void followStatus(nc, (next) => {
    if (next === status) return;
    status = next;
    for (const listener of listeners) listener(next);
  });

  return {
    publish(subject, data, reply, messageId, more) {
      if (status !== "connected" || nc.isClosed()) return false;
      nc.publish(subject, data, {
        ...(reply === undefined ? {} : { reply }),
        ...(messageId === undefined ? {} : { headers: headersOf(messageId, more) }),
      });
      return true;
    },
    subscribe(subject, onMessage, queue) {
      const subscription = nc.subscribe(subject, {
        ...(queue === undefined ? {} : { queue }),
        callback: (error, message) => {
          if (error === null) onMessage(asBusMessage(message));
        },
      });
      return () => {
        if (!nc.isClosed()) subscription.unsubscribe();
      };
    },
    async request(subject, data, timeoutMs = NATS_REQUEST_TIMEOUT_MS) {
      if (status !== "connected") throw new BusError("disconnected", subject);
      try {
        return (await nc.request(subject, data, { timeout: timeoutMs })).data;
      } catch (error) {
        throw new BusError(failureOf(error), subject, error);
      }
    },
    requestMany: (subject, data, { waitMs, max }) =>
      status === "connected" ? requestMany(nc, subject, data, waitMs, max) : Promise.resolve([]),
    inbox: () => createInbox(),
    status: () => status,
    onStatus: (listener) => void listeners.push(listener),
    flush: () => nc.flush(),
    async close() {
      if (!nc.isClosed()) await nc.close();
    },
  };
}

function headersOf(messageId: string, more: Readonly<Record<string, string>> = {}): MsgHdrs {
  const all = headers();
  all.set("Nats-Msg-Id", messageId);
  for (const [name, value] of Object.entries(more)) all.set(name, value);
  return all;
}

function asBusMessage(message: Msg): BusMessage {
  return {
    subject: message.subject,
    data: message.data,
    wantsAnswer: message.reply !== undefined && message.reply !== "",
    respond: (data) => void message.respond(data),
  };
}

/** Whether the cause of an error is a connection or a server that did not answer, so that trying again may help. */
export const isConnectionProblem = (error: unknown): boolean => {
  for (let e = error; e instanceof Error; e = e.cause) {
    if (e instanceof NoRespondersError || e instanceof TimeoutError) return true;
    if (e instanceof ConnectionError || e instanceof ClosedConnectionError) return true;
  }
  return false;
};

/** The client reports errors of a request wrapped in others; the innermost says what happened. */
function failureOf(error: unknown): BusFailure {
  for (let e = error; e instanceof Error; e = e.cause) {
    if (e instanceof NoRespondersError) return "no_responders";
    if (e instanceof TimeoutError) return "timeout";
  }
  return "disconnected";
}

async function requestMany(
  nc: NatsConnection,
  subject: string,
  data: Uint8Array,
  waitMs: number,
  max: number,
): Promise<readonly Uint8Array[]> {
  const answers: Uint8Array[] = [];
  try {
    const options = { strategy: "timer", maxWait: waitMs, maxMessages: max } as const;
    for await (const message of await nc.requestMany(subject, data, options)) {
      answers.push(message.data);
      if (answers.length >= max) break;
    }
  } catch (error) {
    if (failureOf(error) === "disconnected") throw new BusError("disconnected", subject, error);
    // Nobody listens, or the time is over: what has come is the answer.
  }
  return answers;
}

async function followStatus(nc: NatsConnection, set: (status: BusStatus) => void): Promise<void> {
  for await (const event of nc.status()) {
    if (event.type === "disconnect") set("disconnected");
    if (event.type === "reconnect") set("connected");
  }
  set("closed");
}
