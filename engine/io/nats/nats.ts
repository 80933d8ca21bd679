/**
 * NATS behind a small port, `Bus`. Core publishes made while disconnected are dropped here at once,
 * because the client would buffer them without bound and then discard them all the same; what must
 * arrive is a request, or is in the database. Connecting is `nats-connect.ts`, what a connection
 * says about itself `nats-watch.ts`.
 */
import {
  ClosedConnectionError,
  ConnectionError,
  InvalidArgumentError,
} from "@nats-io/transport-node";
import { createInbox, headers, NoRespondersError, TimeoutError } from "@nats-io/transport-node";
import type { Msg, MsgHdrs, NatsConnection } from "@nats-io/transport-node";
import { NATS_REQUEST_TIMEOUT_MS } from "../../../proto/limits.ts";
import { keepSubscribed } from "./subscribe.ts";
import { NatsWatch } from "./watch.ts";
import type { BusStatus } from "./watch.ts";

export { UnfitServerError, checkServer, connectNats, isAtLeast } from "./connect.ts";
export type { NatsOptions } from "./connect.ts";
export type { BusStatus } from "./watch.ts";

/** A message as a subscriber sees it. `respond` does nothing when nobody waits for an answer. */
export type BusMessage = {
  readonly subject: string;
  readonly data: Uint8Array;
  readonly wantsAnswer: boolean;
  readonly respond: (data: Uint8Array) => void;
};

/** Ends a subscription. */
export type Unsubscribe = () => void;

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
   * False when it was dropped because the connection is down. `reply` is where answers go; a stream
   * takes a message of the same `messageId` only once; `more` are further headers.
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

/**
 * The bus over one NATS connection. `watch` follows that connection; without one it makes its own.
 */
export function natsBus(nc: NatsConnection, watch: NatsWatch = new NatsWatch(nc)): Bus {
  const isUp = (): boolean => watch.status() === "connected" && !nc.isClosed();
  return {
    publish(subject, data, reply, messageId, more) {
      if (!isUp()) return false;
      try {
        nc.publish(subject, data, {
          ...(reply === undefined ? {} : { reply }),
          ...(messageId === undefined ? {} : { headers: headersOf(messageId, more) }),
        });
        return true;
      } catch (error) {
        if (!(error instanceof InvalidArgumentError)) throw error;
        watch.tooLarge(subject, data.length);
        return false;
      }
    },
    subscribe: (subject, onMessage, queue) =>
      keepSubscribed(nc, subject, queue, (message) => onMessage(asBusMessage(message))),
    async request(subject, data, timeoutMs = NATS_REQUEST_TIMEOUT_MS) {
      if (!isUp()) throw new BusError("disconnected", subject);
      try {
        return (await nc.request(subject, data, { timeout: timeoutMs })).data;
      } catch (error) {
        throw new BusError(failureOf(error), subject, error);
      }
    },
    requestMany: (subject, data, { waitMs, max }) =>
      isUp() ? requestMany(nc, subject, data, waitMs, max) : Promise.resolve([]),
    inbox: () => createInbox(),
    status: () => watch.status(),
    onStatus: (listener) => watch.onStatus(listener),
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

/**
 * Whether the cause of an error is a connection or a server that did not answer, so that trying
 * again may help.
 */
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
