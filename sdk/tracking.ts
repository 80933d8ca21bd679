/**
 * One followed delivery: what came over the socket or by polling becomes one stream of events, in
 * which nothing older ever follows anything newer (D6). Its buffer is bounded: positions that
 * nobody has read yet give way to newer ones, changes of the delivery are few and are kept. It
 * opens no connection; `customer-client.ts` feeds it.
 */
import type { DeliveryEvent } from "../proto/events.ts";
import { isTerminal } from "../proto/status.ts";
import type { DeliveryView } from "../proto/views.ts";

export type TrackSource = "socket" | "polling";

/**
 * Where the courier is. The age now is `ageMs` plus what has passed since `receivedAt`, both in
 * milliseconds.
 */
export type TrackedPosition = {
  readonly lng: number;
  readonly lat: number;
  /** When the courier's phone measured it, milliseconds since 1970. */
  readonly at: number;
  readonly ageMs: number;
  readonly receivedAt: number;
};
/**
 * `passed`: statuses between the delivery that you have and the one that comes next, each numbered,
 * none missing. `gap`: there were some which could not be had any more; what comes next is right
 * all the same.
 */
export type TrackEvent =
  | {
      readonly type: "passed";
      readonly source: TrackSource;
      readonly events: readonly DeliveryEvent[];
    }
  | { readonly type: "gap"; readonly source: TrackSource }
  | { readonly type: "delivery"; readonly source: TrackSource; readonly delivery: DeliveryView }
  | { readonly type: "position"; readonly source: TrackSource; readonly position: TrackedPosition };

/** How old a position is by now, in milliseconds. */
export const positionAgeMs = (position: TrackedPosition, now: number): number =>
  position.ageMs + Math.max(0, now - position.receivedAt);

const BUFFER_MAX_EVENTS = 64;
/**
 * So many polls are waited for the socket to tell what was missed before the end: about half a
 * minute.
 */
const ENDING_POLLS_MAX = 6;

type Waiter = {
  readonly resolve: (result: IteratorResult<TrackEvent, undefined>) => void;
  readonly reject: (error: unknown) => void;
};

export class Tracking implements AsyncIterableIterator<TrackEvent, undefined> {
  readonly deliveryId: string;
  readonly #onEnd: (tracking: Tracking) => void;
  readonly #buffer: TrackEvent[] = [];
  readonly #waiters: Waiter[] = [];
  #delivery: DeliveryView | null = null;
  #positionAt = 0;
  /** Up to this version every status was told. */
  #toldVersion: number | null = null;
  #ended = false;
  #failure: unknown = null;
  /** Polls that said it is over while statuses are missing. */
  #endingPolls = 0;
  #stale = { socket: 0, polling: 0 };

  constructor(deliveryId: string, onEnd: (tracking: Tracking) => void) {
    this.deliveryId = deliveryId;
    this.#onEnd = onEnd;
  }

  /** The newest known state; null before the first answer. */
  get delivery(): DeliveryView | null {
    return this.#delivery;
  }
  /**
   * Up to this version every status was told; null when none was. To go on from after a reconnect.
   */
  get toldVersion(): number | null {
    return this.#toldVersion;
  }
  get isOver(): boolean {
    return this.#ended;
  }
  /**
   * Older states and positions that came after newer ones and were dropped. Over one socket there
   * should be none (D6).
   */
  get stale(): Readonly<{ socket: number; polling: number }> {
    return this.#stale;
  }

  /** A state of the delivery has arrived. A terminal one is the last event. */
  take(delivery: DeliveryView, source: TrackSource, now: number): void {
    if (this.#ended) return;
    const known = this.#delivery;
    if (known !== null && delivery.version < known.version) {
      this.#stale[source]++;
      return;
    }
    this.#delivery = delivery;
    // Polling may jump over a status: the socket is asked for it later.
    const told = this.#toldVersion;
    const hasJumped = source === "polling" && told !== null && delivery.version > told + 1;
    if (!hasJumped) this.#toldVersion = delivery.version;
    if (known === null || differs(known, delivery)) {
      this.#push({ type: "delivery", source, delivery });
    }
    const spot = delivery.courier_location;
    if (spot !== null) {
      const { lng, lat } = spot;
      const at = Date.parse(spot.updated_at);
      this.#move({ lng, lat, at, ageMs: spot.age_s * 1000, receivedAt: now }, source, true);
    }
    if (!isTerminal(delivery.status)) return;
    // It is over, but how it came to that is not told yet: the socket may still say.
    if (hasJumped && ++this.#endingPolls < ENDING_POLLS_MAX) return;
    if (hasJumped) this.#push({ type: "gap", source });
    this.#end();
  }

  /** What passed before the state that comes next; `recovered` false when it is not all there. */
  passed(events: readonly DeliveryEvent[], recovered: boolean): void {
    if (this.#ended) return;
    if (!recovered) return this.#push({ type: "gap", source: "socket" });
    const told = this.#toldVersion ?? 0;
    const news = events.filter(({ number }) => number > told);
    if (news.length === 0) return;
    this.#toldVersion = news.at(-1)?.number ?? told;
    this.#push({ type: "passed", source: "socket", events: news });
  }

  /** A position has arrived. */
  moved(position: TrackedPosition, source: TrackSource): void {
    if (!this.#ended) this.#move(position, source, false);
  }

  /** `asPart`: it came inside a delivery's state, where repeating the known position is normal. */
  #move(position: TrackedPosition, source: TrackSource, asPart: boolean): void {
    if (position.at <= this.#positionAt) {
      if (position.at < this.#positionAt && !asPart) this.#stale[source]++;
      return;
    }
    this.#positionAt = position.at;
    const event: TrackEvent = { type: "position", source, position };
    if (this.#buffer.at(-1)?.type === "position") this.#buffer[this.#buffer.length - 1] = event;
    else this.#push(event);
  }

  /** The server refused for good: the reader gets `error` after what came before. */
  fail(error: unknown): void {
    if (this.#ended) return;
    this.#failure = error;
    this.#end();
  }

  /** Stops following. */
  stop(): void {
    this.#end();
  }

  #push(event: TrackEvent): void {
    const waiter = this.#waiters.shift();
    if (waiter !== undefined) return waiter.resolve({ value: event, done: false });
    this.#buffer.push(event);
    if (this.#buffer.length <= BUFFER_MAX_EVENTS) return;
    const at = this.#buffer.findIndex((kept) => kept.type === "position");
    this.#buffer.splice(Math.max(0, at), 1);
  }

  #end(): void {
    if (this.#ended) return;
    this.#ended = true;
    for (const waiter of this.#waiters.splice(0)) {
      if (this.#failure === null) waiter.resolve({ value: undefined, done: true });
      else waiter.reject(this.#failure);
    }
    this.#onEnd(this);
  }

  next(): Promise<IteratorResult<TrackEvent, undefined>> {
    const event = this.#buffer.shift();
    if (event !== undefined) return Promise.resolve({ value: event, done: false });
    if (!this.#ended) {
      return new Promise((resolve, reject) => this.#waiters.push({ resolve, reject }));
    }
    if (this.#failure === null) return Promise.resolve({ value: undefined, done: true });
    const failure = this.#failure;
    this.#failure = null;
    return Promise.reject(failure as Error);
  }

  return(): Promise<IteratorResult<TrackEvent, undefined>> {
    this.#buffer.length = 0;
    this.stop();
    return Promise.resolve({ value: undefined, done: true });
  }

  [Symbol.asyncIterator](): this {
    return this;
  }
}

/** Whether there is news apart from the courier's position. */
const differs = (a: DeliveryView, b: DeliveryView): boolean =>
  a.version !== b.version ||
  a.status_reason !== b.status_reason ||
  a.courier?.id !== b.courier?.id ||
  a.estimated_pickup_time !== b.estimated_pickup_time ||
  a.estimated_arrival !== b.estimated_arrival;
