// Somebody outside who follows all events, as a partner or our own webhooks do: by a durable
// consumer, through the client that the gateways use, over a connection that must come back by
// itself. It says how late each event was told and whether those of a delivery came in their order.

import type { EventFacts } from "../check/rules.ts";
import { systemClock } from "../../engine/io/clock.ts";
import { createLog } from "../../engine/io/log.ts";
import { connectNats } from "../../engine/io/nats/nats.ts";
import { EventFeed } from "../../gateway/events/event-feed.ts";
import type { FeedEvent, Verdict } from "../../gateway/events/event-feed.ts";
import type { DeliveryEvent } from "../../proto/events.ts";

/** What comes too early for its delivery is asked for again after this, as partners do. */
const AGAIN_MS = 100;

/**
 * The events of each delivery in their order, whatever is given how often. Pure but for its memory.
 */
export class EventOrder {
  readonly #last = new Map<string, number>();
  /** All that was told, in its order. */
  readonly facts = new Map<string, EventFacts[]>();
  readonly #replaced = new Set<string>();
  #newestAt = 0;
  /** Oldest first: when each new event was told, and how long after its commit. */
  readonly told: { readonly at: number; readonly lateMs: number }[] = [];

  /** `early`: one before it has not been told yet. */
  take(event: DeliveryEvent, now: number): "new" | "repeat" | "early" {
    const last = this.#last.get(event.delivery_id) ?? 0;
    if (event.number <= last) return "repeat";
    if (event.number > last + 1) return "early";
    this.#last.set(event.delivery_id, event.number);
    this.#keep(event);
    const committedAt = Date.parse(event.at);
    this.#newestAt = Math.max(this.#newestAt, committedAt);
    this.told.push({ at: now, lateMs: now - committedAt });
    return "new";
  }

  #keep({ delivery_id: delivery, number, type, status, reason, courier_id, at }: DeliveryEvent) {
    const list = this.facts.get(delivery) ?? [];
    this.facts.set(delivery, list);
    const fact = { delivery, number, type, status, reason, courier: courier_id };
    list.push({ ...fact, at: Date.parse(at) });
    if (type === "reassigned") this.#replaced.add(delivery);
  }

  /** Whether its courier was replaced, by what was told. */
  wasReplaced(delivery: string): boolean {
    return this.#replaced.has(delivery);
  }

  /** Whether an event has been told that was committed after this moment. */
  hasToldSince(since: number): boolean {
    return this.#newestAt >= since;
  }

  /** Deliveries that were not told of up to their last event. */
  missing(numbers: ReadonlyMap<string, number>): string[] {
    return [...numbers].flatMap(([delivery, number]) =>
      (this.#last.get(delivery) ?? 0) < number ? [delivery] : [],
    );
  }

  /** The latest that was told within these moments, ms. */
  latestMs(from: number, to: number): number {
    const some = this.told.filter(({ at }) => at >= from && at <= to);
    return some.reduce((worst, { lateMs }) => Math.max(worst, lateMs), 0);
  }
}

export class EventWatch {
  readonly order: EventOrder;
  readonly #stop: () => Promise<void>;

  private constructor(stop: () => Promise<void>, order: EventOrder) {
    this.#stop = stop;
    this.order = order;
  }

  static async open(
    natsUrl: string,
    prefix: string,
    credentials: string | null,
  ): Promise<EventWatch> {
    const order = new EventOrder();
    const nats = await connectNats({ url: natsUrl, name: "faults: events", credentials });
    const onBatch = (events: readonly FeedEvent[]): Promise<Verdict[]> =>
      Promise.resolve(
        events.map(({ event }) =>
          order.take(event, Date.now()) === "early" ? { againInMs: AGAIN_MS } : "done",
        ),
      );
    const feed = new EventFeed({
      nats,
      prefix,
      name: "faults",
      clock: systemClock,
      // What goes wrong with it is the subject of the run, and is seen in its figures.
      log: createLog("silent", {}),
      onBatch,
    });
    return new EventWatch(async () => {
      await feed.stop();
      await nats.close();
    }, order);
  }

  stop(): Promise<void> {
    return this.#stop();
  }
}
