/**
 * A customer's app, or a partner's backend, in one object: create, read and cancel deliveries, and
 * follow them. Following goes over one socket for all deliveries; when there is none for a while
 * each is polled (ETag) until the socket is back, and the reader sees the same events. It refuses
 * to make a delivery twice: a create is repeated with its own key only.
 */
import { DispatchError, ERRORS } from "../proto/errors.ts";
import type { ServerFrame } from "../proto/frames.ts";
import type { DeliveryId } from "../proto/ids.ts";
import type { Status } from "../proto/status.ts";
import type { DeliveryView } from "../proto/views.ts";
import { systemClock } from "./clock.ts";
import type { Clock, Timer } from "./clock.ts";
import type { Connection } from "./connection.ts";
import { Emitter, rethrowLater } from "./emitter.ts";
import { RestClient, newKey } from "./rest.ts";
import type { CreatedDelivery, DeliveryPage, NewDelivery } from "./rest.ts";
import { COMMAND_DEADLINE_MS, untilAnswered } from "./retry.ts";
import { Session, errorOf, hurryWithPage } from "./session.ts";
import type { SessionOptions } from "./session.ts";
import { Tracking } from "./tracking.ts";
import type { TrackedPosition } from "./tracking.ts";

export type CustomerOptions = SessionOptions & {
  readonly fetch?: typeof globalThis.fetch | undefined;
  readonly commandDeadlineMs?: number | undefined;
};
export type CustomerEvents = {
  state: Connection;
  error: DispatchError;
  /** A command that failed in a way that is repeated. */
  healed: DispatchError;
};

/**
 * Without a socket for so long, polling begins; counted from when the socket may come back, if that
 * is known.
 */
export const POLL_AFTER_MS = 2_500;
/** Between two polls of one delivery, with a fifth of jitter either way. */
export const POLL_MS = 5_000;
/** A socket that is there but refuses to follow this delivery for now is asked again after this. */
const TRACK_AGAIN_MS = 10_000;

/**
 * A position that was under way for so long lay in a pipe that nobody read: newer ones may be right
 * behind it.
 */
const LAIN_MS = 1_500;
/** Time for those to be read, too: then the newest is shown, and the older ones never. */
const LAIN_SETTLE_MS = 50;

/** How one followed delivery is fed at the moment. */
type Feed = {
  readonly tracking: Tracking;
  bySocket: boolean;
  etag: string | null;
  timer: Timer | null;
  /** Counts the feed's changes, so that an answer of an abandoned poll starts nothing. */
  turn: number;
  /** A position that may not be the newest. */
  lain: TrackedPosition | null;
};

export class CustomerClient {
  readonly #options: CustomerOptions;
  readonly #clock: Clock;
  readonly #random: () => number;
  readonly #events = new Emitter<CustomerEvents>(rethrowLater);
  readonly #rest: RestClient;
  readonly #session: Session;
  readonly #feeds = new Map<string, Feed>();
  readonly #forgetPage: () => void;
  #foreign = 0;
  /** The server's clock minus ours. */
  #aheadMs = 0;

  constructor(options: CustomerOptions) {
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    this.#random = options.random ?? Math.random;
    this.#rest = new RestClient(options);
    this.#session = new Session(options, {
      onState: (state) => this.#stateChanged(state),
      onWelcome: ({ now }) => {
        this.#aheadMs = now - this.#clock.now();
        for (const feed of this.#feeds.values()) void this.#subscribe(feed);
      },
      onFrame: (frame) => this.#received(frame),
    });
    this.#forgetPage = hurryWithPage(this.#session);
  }

  on<K extends keyof CustomerEvents>(
    name: K,
    listener: (value: CustomerEvents[K]) => void,
  ): () => void {
    return this.#events.on(name, listener);
  }

  get state(): Connection {
    return this.#session.state;
  }
  /**
   * Frames about deliveries that are not followed here: a few right after `stop`, else none (D6).
   */
  get foreignFrames(): number {
    return this.#foreign;
  }

  /**
   * Asks for a delivery. Repeated with one Idempotency-Key until it is answered, so that it exists
   * once at most; pass `key` to repeat it yourself later. Throws the server's refusal, or
   * `unavailable` when it may or may not exist.
   */
  async createDelivery(input: NewDelivery, key: string = newKey()): Promise<CreatedDelivery> {
    const answer = await this.#retried(() => this.#rest.createDelivery(input, key));
    if (answer.body === null) throw new DispatchError("internal", "The answer has no body.");
    return answer.body;
  }

  async get(id: string): Promise<DeliveryView> {
    const answer = await this.#retried(() => this.#rest.delivery(id));
    if (answer.body === null) throw new DispatchError("internal", "The answer has no body.");
    return answer.body;
  }

  /** One page of own deliveries, newest first; pass `next_cursor` for the next. */
  list(query: { status?: Status; cursor?: string; limit?: number } = {}): Promise<DeliveryPage> {
    return this.#retried(() => this.#rest.deliveries(query));
  }

  /** Cancels before pickup; throws `wrong_status` when it is too late. */
  async cancel(id: string): Promise<void> {
    const key = newKey();
    await this.#retried(() => this.#rest.cancel(id, key));
  }

  /**
   * Follows a delivery until it ends or `stop` is called: `for await (const event of
   * client.track(id))`.
   */
  track(id: string): Tracking {
    const known = this.#feeds.get(id);
    if (known !== undefined) throw new Error(`${id} is followed already`);
    const tracking = new Tracking(id, () => this.#unsubscribe(id));
    const feed: Feed = { tracking, bySocket: false, etag: null, timer: null, turn: 0, lain: null };
    this.#feeds.set(id, feed);
    this.#session.start();
    if (this.#session.isConnected) void this.#subscribe(feed);
    else this.#pollLater(feed, POLL_AFTER_MS);
    return tracking;
  }

  /** Stops everything that is followed and disconnects. */
  close(): void {
    this.#forgetPage();
    for (const feed of [...this.#feeds.values()]) feed.tracking.stop();
    this.#session.stop();
  }

  #retried<T>(attempt: () => Promise<T>): Promise<T> {
    return untilAnswered(attempt, {
      clock: this.#clock,
      random: this.#random,
      deadlineMs: this.#options.commandDeadlineMs ?? COMMAND_DEADLINE_MS,
      onRetry: (error) => this.#events.emit("healed", error),
    });
  }

  #stateChanged(state: Connection): void {
    if (state.at === "disconnected" || state.at === "closed") {
      for (const feed of this.#feeds.values()) {
        if (!feed.bySocket) continue;
        feed.bySocket = false;
        this.#pollLater(feed, this.#firstPollMs(state));
      }
    }
    this.#events.emit("state", state);
  }

  /**
   * When a gateway dies, thousands lose it at one moment: polls before each one's turn to come
   * back, or all at one moment, would be a second storm.
   */
  #firstPollMs(state: Connection): number {
    const retryAt = state.at === "disconnected" ? state.retryAt : null;
    const untilRetryMs = Math.max(0, (retryAt ?? 0) - this.#clock.now());
    return untilRetryMs + POLL_AFTER_MS * (0.75 + 0.5 * this.#random());
  }

  async #subscribe(feed: Feed): Promise<void> {
    const { tracking } = feed;
    try {
      const delivery = tracking.deliveryId as DeliveryId;
      await this.#session.request({ type: "track", delivery, after: tracking.toldVersion });
      if (tracking.isOver) return;
      feed.bySocket = true;
      this.#stopTimer(feed);
    } catch (error) {
      if (tracking.isOver) return;
      const known = error instanceof DispatchError ? error : new DispatchError("internal");
      if (!ERRORS[known.code].retryable) return tracking.fail(known);
      // Polling takes over; where the socket stands, it is asked again.
      if (feed.timer === null) this.#pollLater(feed, 0);
      if (this.#session.isConnected) this.#subscribeLater(feed);
    }
  }

  #subscribeLater(feed: Feed): void {
    this.#clock.setTimer(() => {
      if (feed.tracking.isOver || feed.bySocket || !this.#session.isConnected) return;
      void this.#subscribe(feed);
    }, TRACK_AGAIN_MS);
  }

  #unsubscribe(id: string): void {
    const feed = this.#feeds.get(id);
    if (feed === undefined) return;
    this.#feeds.delete(id);
    this.#stopTimer(feed);
    if (!feed.bySocket || !this.#session.isConnected) return;
    this.#session.request({ type: "untrack", delivery: id as DeliveryId }).catch(() => {
      // The connection went, and with it the subscription.
    });
  }

  #stopTimer(feed: Feed): void {
    feed.turn++;
    if (feed.timer !== null) this.#clock.clearTimer(feed.timer);
    feed.timer = null;
  }

  #pollLater(feed: Feed, ms: number): void {
    this.#stopTimer(feed);
    const { turn } = feed;
    feed.timer = this.#clock.setTimer(() => void this.#poll(feed, turn), ms);
  }

  async #poll(feed: Feed, turn: number): Promise<void> {
    const { tracking } = feed;
    try {
      const answer = await this.#rest.delivery(tracking.deliveryId, feed.etag);
      if (feed.turn !== turn) return;
      feed.etag = answer.etag ?? feed.etag;
      if (answer.body !== null) tracking.take(answer.body, "polling", this.#clock.now());
    } catch (error) {
      if (feed.turn !== turn) return;
      const known = error instanceof DispatchError ? error : new DispatchError("internal");
      if (!ERRORS[known.code].retryable) return tracking.fail(known);
      this.#events.emit("healed", known);
    }
    if (!tracking.isOver) this.#pollLater(feed, POLL_MS * (0.8 + 0.4 * this.#random()));
  }

  #received(frame: ServerFrame): void {
    const now = this.#clock.now();
    if (frame.type === "delivery") {
      const feed = this.#feeds.get(frame.delivery);
      if (feed === undefined) this.#foreign++;
      else feed.tracking.take(frame.view, "socket", now);
    } else if (frame.type === "passed") {
      this.#feeds.get(frame.delivery)?.tracking.passed(frame.events, frame.recovered);
    } else if (frame.type === "positions") {
      for (const { delivery, lng, lat, at, ageMs } of frame.positions) {
        const feed = this.#feeds.get(delivery);
        // What lay in a buffer while nobody read has grown older since the server wrote its age.
        const trueAgeMs = Math.max(ageMs, now + this.#aheadMs - at);
        const position = { lng, lat, at, ageMs: trueAgeMs, receivedAt: now };
        if (feed === undefined) this.#foreign++;
        else this.#move(feed, position, trueAgeMs - ageMs > LAIN_MS);
      }
    } else if (frame.type === "error") this.#events.emit("error", errorOf(frame));
  }

  /** The first that an app sees after it did not read for a while is the newest. */
  #move(feed: Feed, position: TrackedPosition, hasLain: boolean): void {
    if (!hasLain) {
      feed.lain = null;
      feed.tracking.moved(position, "socket");
      return;
    }
    if (feed.lain === null) {
      this.#clock.setTimer(() => {
        const { lain } = feed;
        feed.lain = null;
        if (lain !== null) feed.tracking.moved(lain, "socket");
      }, LAIN_SETTLE_MS);
    }
    if (position.at > (feed.lain?.at ?? 0)) feed.lain = position;
  }
}
