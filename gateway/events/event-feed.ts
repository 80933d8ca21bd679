/**
 * A worker's place in the EVENTS stream: a durable consumer that all gateways pull from, so that
 * each event is with one of them and the place is kept when they all die. Whatever goes wrong, a
 * server that went silent included, it is asked anew, four times a second: the consumer has copies
 * on several servers, and only its new leader can answer. Now and then it is made sure of, which
 * the leader of all JetStream must answer, who may be in an election of its own.
 */
import { AckPolicy, DeliverPolicy, jetstream, jetstreamManager } from "@nats-io/jetstream";
import type { Consumer, ConsumerMessages, JsMsg } from "@nats-io/jetstream";
import type { NatsConnection } from "@nats-io/transport-node";
import { backOffMs } from "../../engine/io/clock.ts";
import type { Clock } from "../../engine/io/clock.ts";
import { ensureDurable } from "../../engine/io/nats/durable.ts";
import { errorFields } from "../../engine/io/log.ts";
import type { Log } from "../../engine/io/log.ts";
import { OutageLog } from "../../engine/io/outage-log.ts";
import { decodeEvent } from "../../proto/events.ts";
import type { DeliveryEvent } from "../../proto/events.ts";
import { EVENT_ACK_WAIT_MS } from "../../proto/limits.ts";
import { streamName, subjectsFor } from "../../proto/subjects.ts";

export type FeedEvent = {
  readonly event: DeliveryEvent;
  /** Of the subject: whose delivery it is. */
  readonly owner: string;
  /** How often it has been given, this time included. */
  readonly tries: number;
};
/** Done with it, or once more after so long. */
export type Verdict = "done" | { readonly againInMs: number };

export type FeedOptions = {
  readonly nats: NatsConnection;
  readonly prefix: string;
  /** Of the consumer; the same in all gateways. */
  readonly name: string;
  readonly clock: Clock;
  readonly log: Log;
  /** One verdict for each event, in order. When it rejects, all of them come again. */
  readonly onBatch: (events: readonly FeedEvent[]) => Promise<readonly Verdict[]>;
};

const BATCH_EVENTS = 500;
/**
 * So long the first event of a batch waits for others: what looks outwards need not be quick, and
 * each batch costs a statement.
 */
const GATHER_MS = 50;
/** The server gives a sign of life twice in this time. */
const PULL_MS = 2_000;
const FAILED_AGAIN_MS = 1_000;
const RETRY_FIRST_MS = 100;
const RETRY_MAX_MS = 250;
/** Failures in a row after which the consumer may not be there any more. */
const MAKE_SURE_EVERY_FAILURES = 8;
const API_TIMEOUT_MS = 1_000;
const ACK_PENDING_MAX = 1_000;
const NANOS_PER_MS = 1_000_000;
const OWNER_TOKEN = 2;

export class EventFeed {
  readonly #options: FeedOptions;
  readonly #outages: OutageLog;
  #isStopped = false;
  #consumer: Consumer | null = null;
  #wake: () => void = () => undefined;
  readonly #loop: Promise<void>;

  constructor(options: FeedOptions) {
    this.#options = options;
    this.#outages = new OutageLog(options.log, options.clock);
    this.#loop = this.#run();
  }

  /** Ends after the batch under way. */
  async stop(): Promise<void> {
    this.#isStopped = true;
    this.#wake();
    await this.#loop;
  }

  async #run(): Promise<void> {
    const { name, log } = this.#options;
    let failures = 0;
    while (!this.#isStopped) {
      try {
        await this.#follow(() => {
          failures = 0;
        });
      } catch (error) {
        failures += 1;
        if (this.#isStopped) return;
        if (failures % MAKE_SURE_EVERY_FAILURES === 0) this.#consumer = null;
        const level = failures === 1 ? "warn" : "debug";
        log[level]({ feed: name, ...errorFields(error) }, "a feed of events stopped; it goes on");
        await this.#pause(backOffMs(failures, RETRY_FIRST_MS, RETRY_MAX_MS));
      }
    }
  }

  /** Makes the consumer, or finds it as it is. */
  async #makeSure(): Promise<Consumer> {
    const { nats, prefix, name } = this.#options;
    const api = await jetstreamManager(nats, { checkAPI: false, timeout: API_TIMEOUT_MS });
    const info = await ensureDurable(api, streamName(prefix, "EVENTS"), {
      durable_name: name,
      filter_subject: subjectsFor(prefix).eventsAll,
      deliver_policy: DeliverPolicy.All,
      ack_policy: AckPolicy.Explicit,
      ack_wait: EVENT_ACK_WAIT_MS * NANOS_PER_MS,
      max_ack_pending: ACK_PENDING_MAX,
    });
    return jetstream(nats).consumers.getConsumerFromInfo(info);
  }

  async #follow(onWorking: () => void): Promise<void> {
    this.#consumer ??= await this.#makeSure();
    const messages = await this.#consumer.consume({
      max_messages: BATCH_EVENTS,
      expires: PULL_MS,
      abort_on_missing_resource: true,
      // Else the client asks for the consumer's state after a reconnect, and goes deaf where nobody
      // answers.
      bind: true,
    });
    this.#wake = () => messages.stop();
    void watch(messages);
    const waiting: JsMsg[] = [];
    let pumping: Promise<void> | null = null;
    // What comes while a batch is handled is the next batch.
    const pump = async (): Promise<void> => {
      while (waiting.length > 0) {
        await this.#gather();
        await this.#handle(waiting.splice(0));
      }
      pumping = null;
    };
    for await (const message of messages) {
      onWorking();
      waiting.push(message);
      pumping ??= pump();
    }
    await pumping;
    if (!this.#isStopped) throw new Error("the consumer went silent");
  }

  /** Also while it stops: what has come is handled. */
  #gather(): Promise<void> {
    return new Promise((resolve) => void this.#options.clock.after(GATHER_MS, resolve));
  }

  async #handle(messages: readonly JsMsg[]): Promise<void> {
    const known: { message: JsMsg; event: FeedEvent }[] = [];
    for (const message of messages) {
      const event = decodeEvent(message.data);
      const owner = message.subject.split(".")[OWNER_TOKEN] ?? "";
      // What is not ours cannot be understood later either.
      if (event === null) message.term("not an event");
      else known.push({ message, event: { event, owner, tries: message.info.deliveryCount } });
    }
    if (known.length === 0) return;
    const verdicts = await this.#verdicts(known.map(({ event }) => event));
    known.forEach(({ message }, i) => {
      const verdict = verdicts[i] ?? { againInMs: FAILED_AGAIN_MS };
      if (verdict === "done") message.ack();
      else message.nak(verdict.againInMs);
    });
  }

  /** Never rejects: what failed as a whole comes again as a whole. */
  async #verdicts(events: readonly FeedEvent[]): Promise<readonly Verdict[]> {
    const { name, onBatch } = this.#options;
    try {
      return await onBatch(events);
    } catch (error) {
      this.#outages.tell(error, { feed: name }, "events could not be handled; they come again");
      return [];
    }
  }

  #pause(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const cancel = this.#options.clock.after(ms, resolve);
      this.#wake = () => {
        cancel();
        resolve();
      };
    });
  }
}

/** Nothing there, or nobody who could speak for it. */
const GIVE_UP: ReadonlySet<string> = new Set([
  "no_responders",
  "consumer_deleted",
  "consumer_not_found",
  "stream_not_found",
]);

/** Two signs of life missed, or nobody there any more: the consumer is asked anew. */
async function watch(messages: ConsumerMessages): Promise<void> {
  for await (const status of messages.status()) {
    const isSilent = status.type === "heartbeats_missed" && status.count > 1;
    if (isSilent || GIVE_UP.has(status.type)) messages.stop();
  }
}
