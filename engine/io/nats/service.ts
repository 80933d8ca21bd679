/**
 * Requests with headers, for services that others call: what `Bus` leaves out because our own
 * processes do not need it. One file knows the client's types.
 */
import { headers } from "@nats-io/transport-node";
import type { Msg, NatsConnection } from "@nats-io/transport-node";
import type { Unsubscribe } from "./nats.ts";
import { keepSubscribed } from "./subscribe.ts";

export type HeaderValues = Readonly<Record<string, string>>;

export type ServiceRequest = {
  readonly subject: string;
  readonly data: Uint8Array;
  /** Names are compared without regard to case. */
  readonly header: (name: string) => string | undefined;
  /** Does nothing when nobody waits for an answer, or the connection is gone. */
  readonly respond: (data: Uint8Array, headers: HeaderValues) => void;
};

/** A header is one line. */
const LINE_ENDS = /[\r\n]+/g;

/** `onRequest` must not throw. With `queue`, one member of that group gets each request. */
export const serveRequests = (
  nc: NatsConnection,
  subject: string,
  queue: string | null,
  onRequest: (request: ServiceRequest) => void,
): Unsubscribe =>
  keepSubscribed(nc, subject, queue ?? undefined, (message) => onRequest(requestOf(nc, message)));

const requestOf = (nc: NatsConnection, message: Msg): ServiceRequest => ({
  subject: message.subject,
  data: message.data,
  header: (name) => headerOf(message, name),
  respond(data, values) {
    if (nc.isClosed()) return;
    const all = headers();
    for (const [name, value] of Object.entries(values)) {
      all.set(name, value.replaceAll(LINE_ENDS, " "));
    }
    message.respond(data, { headers: all });
  },
});

function headerOf(message: Msg, name: string): string | undefined {
  const wanted = name.toLowerCase();
  const found = message.headers?.keys().find((key) => key.toLowerCase() === wanted);
  return found === undefined ? undefined : message.headers?.get(found);
}
