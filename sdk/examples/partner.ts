/**
 * A partner's backend in one file: it asks for deliveries over NATS and follows their events, and
 * survives being killed at any moment, or the server being killed, without losing or doubling
 * either.
 *
 *   npm run -s partner -- add acme > acme.nk
 *   node --import tsx sdk/examples/partner.ts --name acme --key acme.nk --orders 3
 *
 * Two rules make it safe. A create is repeated under the same `Nats-Msg-Id` until it is answered,
 * so however often it is sent there is one delivery. An event is written to disk before it is
 * acknowledged, and one whose number is known already is dropped; so what is written is complete
 * and in order, whatever is repeated on the way.
 *
 * The file stands for your database: one line of JSON for each order and for each event.
 */
import { existsSync, fsyncSync, openSync, readFileSync, writeSync } from "node:fs";
import { truncateSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { parseArgs } from "node:util";
import { AckPolicy, jetstream } from "@nats-io/jetstream";
import type { ConsumerMessages, JsMsg } from "@nats-io/jetstream";
import { connect, headers, nkeyAuthenticator } from "@nats-io/transport-node";
import type { NatsConnection } from "@nats-io/transport-node";
import { partnerConsumer, streamName, subjectsFor } from "../../proto/subjects.ts";

const REQUEST_TIMEOUT_MS = 2_000;
const RETRY_MS = 300;
const BATCH_EVENTS = 50;
const WAIT_MS = 2_000;

type Order = { readonly order: number; readonly delivery: string };
type Event = { readonly delivery_id: string; readonly number: number; readonly status: string };

/** What this partner knows, on disk: every line is there before anybody is told that it is. */
class Book {
  readonly #file: number;
  readonly orders = new Map<number, string>();
  /** The number of the latest event of each delivery. */
  readonly latest = new Map<string, number>();

  constructor(path: string) {
    if (existsSync(path)) this.#load(path);
    this.#file = openSync(path, "a");
  }

  #load(path: string): void {
    const text = readFileSync(path, "utf8");
    // A kill in the middle of a write leaves half a line: it was never acknowledged, and comes
    // again.
    const whole = text.slice(0, text.lastIndexOf("\n") + 1);
    truncateSync(path, Buffer.byteLength(whole));
    for (const line of whole.split("\n").filter(Boolean)) {
      const entry = JSON.parse(line) as Order | Event;
      if ("order" in entry) this.orders.set(entry.order, entry.delivery);
      else this.latest.set(entry.delivery_id, entry.number);
    }
  }

  addOrder(order: Order): void {
    this.orders.set(order.order, order.delivery);
    this.#write(order);
  }

  addEvent(event: Event): void {
    this.latest.set(event.delivery_id, event.number);
    this.#write(event);
  }

  #write(entry: object): void {
    writeSync(this.#file, `${JSON.stringify(entry)}\n`);
    fsyncSync(this.#file);
  }
}

type Settings = {
  readonly prefix: string;
  readonly name: string;
  readonly orders: number;
};

/** Asks for one delivery until there is an answer. Throws when the answer is no. */
async function create(nc: NatsConnection, { prefix, name }: Settings, order: number) {
  const subject = subjectsFor(prefix).partnerRequest(name, "create");
  const body = {
    origin: { lat: 37.7879, lng: -122.4075 },
    destination: { lat: 37.7599, lng: -122.4148 },
    package_size: "small",
    phone: "+1-415-555-0100",
    external_id: `order-${order}`,
  };
  const more = headers();
  more.set("Nats-Msg-Id", `order-${order}`);
  for (;;) {
    try {
      const options = { timeout: REQUEST_TIMEOUT_MS, headers: more };
      const reply = await nc.request(subject, JSON.stringify(body), options);
      const code = Number(reply.headers?.get("Nats-Service-Error-Code") || 0);
      if (code === 0) return reply.json<{ delivery_id: string }>().delivery_id;
      const isPassing = code === 409 || code === 429 || code >= 500;
      if (!isPassing) throw new Refusal(reply.headers?.get("Nats-Service-Error") ?? "refused");
    } catch (error) {
      if (error instanceof Refusal) throw error;
      // No answer: it may have been done all the same. The same key makes asking again harmless.
    }
    await sleep(RETRY_MS);
  }
}

class Refusal extends Error {
  override readonly name = "Refusal";
}

async function orderAll(nc: NatsConnection, settings: Settings, book: Book): Promise<void> {
  for (let order = 1; order <= settings.orders; order += 1) {
    if (book.orders.has(order)) continue;
    const delivery = await create(nc, settings, order);
    book.addOrder({ order, delivery });
    console.log(`order ${order} is ${delivery}`);
  }
}

/**
 * Follows the events for ever. The consumer keeps the place; it was made together with the partner.
 */
async function follow(nc: NatsConnection, { prefix, name }: Settings, book: Book): Promise<never> {
  const js = jetstream(nc, { apiPrefix: subjectsFor(prefix).partnerStream(name) });
  for (;;) {
    try {
      const consumer = js.consumers.getConsumerFromInfo({
        stream_name: streamName(prefix, "EVENTS"),
        name: partnerConsumer(name),
        config: { ack_policy: AckPolicy.Explicit },
      } as Parameters<typeof js.consumers.getConsumerFromInfo>[0]);
      // Bound: it pulls again without asking first, which nobody could answer during an election.
      const how = { max_messages: BATCH_EVENTS, expires: WAIT_MS, bind: true } as const;
      const messages = await consumer.consume(how);
      void stopWithoutLeader(messages);
      for await (const message of messages) take(message, book);
    } catch (error) {
      console.error((error as Error).message);
    }
    await sleep(RETRY_MS); // The server is away, or elects; the consumer waits where it was.
  }
}

/** Left to itself the client would notice after two missed signs of life. */
async function stopWithoutLeader(messages: ConsumerMessages): Promise<void> {
  for await (const { type } of messages.status()) if (type === "no_responders") messages.stop();
}

/**
 * Writes an event that is new, then acknowledges it. One that is too early for its delivery is
 * asked for again.
 */
function take(message: JsMsg, book: Book): void {
  const event = message.json<Event>();
  const latest = book.latest.get(event.delivery_id) ?? 0;
  if (event.number > latest + 1) return message.nak(RETRY_MS);
  if (event.number === latest + 1) {
    book.addEvent(event);
    console.log(`${event.delivery_id} #${event.number} ${event.status}`);
  }
  message.ack();
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      name: { type: "string" },
      key: { type: "string" },
      url: { type: "string", default: "nats://127.0.0.1:4222" },
      prefix: { type: "string", default: "hd" },
      orders: { type: "string", default: "1" },
      book: { type: "string" },
    },
  });
  const { name, key, url, prefix } = values;
  if (name === undefined || key === undefined) throw new Error("--name and --key are needed");
  const settings = { name, prefix, orders: Number(values.orders) };
  const book = new Book(values.book ?? `${name}.ndjson`);
  const seed = new TextEncoder().encode(readFileSync(key, "utf8").trim());
  const nc = await connect({
    servers: url.split(","),
    name: `partner ${name}`,
    authenticator: nkeyAuthenticator(seed),
    inboxPrefix: subjectsFor(prefix).partnerInbox(name),
    // Come back for ever, and notice a dead server within seconds.
    waitOnFirstConnect: true,
    maxReconnectAttempts: -1,
    reconnectTimeWait: 200,
    pingInterval: 1_000,
    maxPingOut: 2,
  });
  await Promise.all([orderAll(nc, settings, book), follow(nc, settings, book)]);
}

main().catch((error: unknown) => {
  console.error((error as Error).message);
  process.exit(1);
});
