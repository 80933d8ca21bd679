/**
 * A courier's app in one object: on and off shift, pings that survive a lost connection, offers,
 * and commands that are repeated until they are answered, over the socket or, while there is none,
 * over REST. It owns what the courier carries (`assignments`), reconciled with the server at each
 * `welcome`. It refuses to guess: a command whose answer was lost is asked again with the same key,
 * which the server answers the same way (D4).
 */
import { DispatchError } from "../proto/errors.ts";
import type { PingFrame, ReportedStatus, ServerFrame, ServerFrameOf } from "../proto/frames.ts";
import type { DeliveryId } from "../proto/ids.ts";
import { PINGS_PER_BATCH_MAX } from "../proto/limits.ts";
import type { AssignmentView, AvailableView } from "../proto/views.ts";
import { systemClock } from "./clock.ts";
import type { Clock, Timer } from "./clock.ts";
import type { Connection } from "./connection.ts";
import { CourierFallback } from "./courier-fallback.ts";
import type { CourierEvents, CourierOptions, Position, SeqStore } from "./courier-options.ts";
import { Emitter, rethrowLater } from "./emitter.ts";
import { OfferBook } from "./offer-book.ts";
import type { Offer } from "./offer-book.ts";
import { PingQueue } from "./ping-queue.ts";
import { Reporter } from "./reporter.ts";
import type { PositionSource } from "./reporter.ts";
import { RestClient, newKey } from "./rest.ts";
import type { Point } from "./rest.ts";
import { COMMAND_DEADLINE_MS, untilAnswered } from "./retry.ts";
import { Session, errorOf, hurryWithPage } from "./session.ts";
import type { RequestWithoutRef } from "./session.ts";

export type { CourierEvents, CourierOptions, Offer, Position, SeqStore };

/** Between two batches of kept pings. */
const BATCH_PACE_MS = 1_000;
/** The server shows open offers again within so long after a reconnect. */
const OFFERS_SHOWN_MS = 2_000;
/** Until the server has said what it wants. */
const PING_INTERVAL_MS = 10_000;
/**
 * 2024-01-01 UTC. Where no number is kept, pings are numbered from the quarter seconds since:
 * rising, whatever was lost.
 */
const SEQ_EPOCH_MS = 1_704_067_200_000;
const memoryStore: SeqStore = { load: () => null, save: () => undefined };

export class CourierClient {
  readonly #options: CourierOptions;
  readonly #clock: Clock;
  readonly #random: () => number;
  readonly #events = new Emitter<CourierEvents>(rethrowLater);
  readonly #session: Session;
  readonly #rest: RestClient;
  readonly #fallback: CourierFallback;
  readonly #queue: PingQueue;
  readonly #store: SeqStore;
  readonly #assignments = new Map<string, AssignmentView>();
  readonly #offers = new OfferBook();
  readonly #reporter: Reporter<Position>;
  readonly #forgetPage: () => void;
  #online = false;
  #welcome: ServerFrameOf<"welcome"> | null = null;
  #lastSeq: number;
  /** Up to here pings were sent on this connection. */
  #sentSeq = 0;
  #ackedSeq = 0;
  #pacer: Timer | null = null;
  #offersTimer: Timer | null = null;

  constructor(options: CourierOptions) {
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    this.#random = options.random ?? Math.random;
    this.#store = options.seqStore ?? memoryStore;
    this.#queue = new PingQueue(options.pingsKeptMax);
    const quarters = Math.floor((this.#clock.now() - SEQ_EPOCH_MS) / 250);
    this.#lastSeq = Math.max(this.#store.load() ?? 0, quarters, 0);
    this.#reporter = new Reporter(this.#clock, PING_INTERVAL_MS, (at) => this.ping(at));
    this.#rest = new RestClient(options);
    this.#fallback = new CourierFallback({
      clock: this.#clock,
      rest: this.#rest,
      intervalMs: () => this.#reporter.intervalMs,
      isOnShift: () => this.#online,
      carried: () => this.#assignments.keys(),
      onAvailable: (deliveries) => this.#events.emit("available", deliveries),
      onOver: (delivery, reason) => this.#over(delivery, reason),
      onTrouble: (error) => this.#events.emit("healed", error),
    });
    this.#session = new Session(options, {
      onState: (state) => this.#stateChanged(state),
      onWelcome: (welcome) => this.#welcomed(welcome),
      onFrame: (frame) => this.#received(frame),
    });
    this.#forgetPage = hurryWithPage(this.#session);
  }

  on<K extends keyof CourierEvents>(
    name: K,
    listener: (value: CourierEvents[K]) => void,
  ): () => void {
    return this.#events.on(name, listener);
  }

  get state(): Connection {
    return this.#session.state;
  }
  get online(): boolean {
    return this.#online;
  }
  /** What this courier carries, by delivery id, as the server last said. */
  get assignments(): ReadonlyMap<string, AssignmentView> {
    return this.#assignments;
  }
  /**
   * How the server wants pings: interval and the speed above which it believes none. Null before
   * the first welcome.
   */
  get advice(): { pingIntervalMs: number; pingSpeedMaxMps: number } | null {
    const welcome = this.#welcome;
    return welcome === null
      ? null
      : { pingIntervalMs: this.#reporter.intervalMs, pingSpeedMaxMps: welcome.pingSpeedMaxMps };
  }
  /** Pings that are not acknowledged yet. */
  get pingsWaiting(): number {
    return this.#queue.size;
  }
  get pingsDropped(): number {
    return this.#queue.dropped;
  }

  /** Offers that are still open by this device's clock. */
  offers(): Offer[] {
    return this.#offers.open(this.#clock.now());
  }

  /**
   * Connects and stays connected until `stop`. Resolves at the first welcome; rejects when the
   * server refuses for good.
   */
  start(): Promise<void> {
    this.#session.start();
    if (this.#session.isConnected) return Promise.resolve();
    return new Promise((resolve, reject) => {
      const off = this.on("state", (state) => {
        if (state.at !== "connected" && state.at !== "closed") return;
        off();
        if (state.at === "connected") resolve();
        else reject(new DispatchError("unauthorized", state.reason.text));
      });
    });
  }

  /** Disconnects. The shift goes on: call `goOffShift` before when the courier goes home. */
  stop(): void {
    this.#forgetPage();
    this.#reporter.stop();
    this.#stopPacer();
    this.#session.stop();
  }

  /**
   * Asks `source` for the position whenever the server wants to know it, and pings, until `stop`.
   */
  startReporting(source: PositionSource<Position>): void {
    this.#reporter.start(source);
  }
  stopReporting(): void {
    this.#reporter.stop();
  }

  goOnShift(): Promise<void> {
    return this.#shift(true);
  }
  goOffShift(): Promise<void> {
    return this.#shift(false);
  }
  async #shift(online: boolean): Promise<void> {
    const key = newKey();
    await this.#command({ type: "shift", online }, () => this.#rest.shift(online, key));
    this.#online = online;
  }

  /**
   * Takes a delivery, offered or pulled. Throws `delivery_taken`, `courier_busy`, `delivery_over`
   * ...
   */
  async accept(delivery: string): Promise<void> {
    const key = newKey();
    const id = delivery as DeliveryId;
    await this.#command({ type: "accept", delivery: id }, () => this.#rest.accept(delivery, key));
    this.#offers.remove(delivery);
  }

  /**
   * What waits for a courier near a point, nearest first, whoever was offered it: for an app that
   * wants to choose, and for times without offers. Asked by itself, as the event "available", while
   * no socket gets through.
   */
  available(near: Point): Promise<readonly AvailableView[]> {
    return this.#retried(() => this.#rest.available(near));
  }

  /** Refuses an offer; this delivery will not be offered again. */
  async decline(delivery: string, reason: string | null = null): Promise<void> {
    const key = newKey();
    this.#offers.remove(delivery);
    const id = delivery as DeliveryId;
    await this.#command({ type: "decline", delivery: id, reason }, () =>
      this.#rest.decline(delivery, key, reason),
    );
  }

  /** Reports progress of a carried delivery. `at`: when it happened by this device, default now. */
  async reportStatus(
    delivery: string,
    status: ReportedStatus,
    more: { at?: number; reason?: string } = {},
  ): Promise<void> {
    const key = newKey();
    const at = more.at ?? this.#clock.now();
    const timestamp = new Date(at).toISOString();
    const reason = more.reason === undefined ? {} : { reason: more.reason };
    const frame: RequestWithoutRef = {
      type: "status",
      delivery: delivery as DeliveryId,
      status,
      at,
      reason: more.reason ?? null,
    };
    await this.#command(frame, () =>
      this.#rest.reportStatus(delivery, { status, timestamp, ...reason }, key),
    );
    if (status !== "picked_up") this.#assignments.delete(delivery);
  }

  /**
   * Reports where the courier is. Never waits and never fails: what cannot go out now goes out
   * later.
   */
  ping(position: Position): void {
    const seq = ++this.#lastSeq;
    this.#store.save(seq);
    const ping: PingFrame = {
      seq,
      at: position.at ?? this.#clock.now(),
      lng: position.lng,
      lat: position.lat,
      accuracyM: position.accuracyM ?? null,
      speedMps: position.speedMps ?? null,
      headingDeg: position.headingDeg ?? null,
    };
    const upToDate = this.#sentSeq === seq - 1 || this.#queue.size === 0;
    this.#queue.add(ping);
    if (!this.#session.isConnected) this.#fallback.position(this.#queue.newest());
    else if (upToDate && this.#session.send({ type: "ping", ...ping })) this.#sentSeq = seq;
    else this.#sendKept();
  }

  #command(frame: RequestWithoutRef, overRest: () => Promise<unknown>): Promise<unknown> {
    return this.#retried(() =>
      this.#session.isConnected ? this.#session.request(frame) : overRest(),
    );
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
    if (state.at === "disconnected" || state.at === "closed") this.#stopPacer();
    this.#fallback.socketIs(state.at === "connected");
    this.#events.emit("state", state);
  }

  #welcomed(welcome: ServerFrameOf<"welcome">): void {
    this.#welcome = welcome;
    this.#reporter.intervalMs = welcome.pingIntervalMs;
    this.#doubtOffers();
    this.#online = welcome.online ?? this.#online;
    this.#sentSeq = this.#ackedSeq;
    this.#reconcile(welcome.assignments);
    this.#sendKept();
  }

  /**
   * The server's list is the truth: what it lacks is over, what it has and we do not know is new.
   */
  #reconcile(list: readonly AssignmentView[]): void {
    const held = new Set(list.map((assignment) => assignment.id));
    for (const id of this.#assignments.keys()) if (!held.has(id)) this.#over(id, "reconciled");
    for (const assignment of list) this.#assigned(assignment);
  }

  #assigned(assignment: AssignmentView): void {
    const known = this.#assignments.get(assignment.id);
    if (known !== undefined && known.version > assignment.version) return;
    this.#assignments.set(assignment.id, assignment);
    this.#offers.remove(assignment.id);
    if (known === undefined) this.#events.emit("assignment", assignment);
  }

  #over(delivery: string, reason: string): void {
    const had = this.#assignments.delete(delivery);
    if (had) this.#events.emit("assignmentOver", { delivery, reason });
  }

  #received(frame: ServerFrame): void {
    switch (frame.type) {
      case "ping_ack":
        this.#ackedSeq = Math.max(this.#ackedSeq, frame.seq);
        return this.#queue.acknowledge(frame.seq);
      case "offer": {
        if (!this.#isNext(frame)) return;
        const { type: _, epoch: __, number: ___, ...offer } = frame;
        if (this.#offers.add(offer, this.#clock.now())) this.#events.emit("offer", offer);
        return;
      }
      case "withdrawn":
        if (!this.#isNext(frame)) return;
        this.#offers.remove(frame.delivery);
        return this.#events.emit("withdrawn", { delivery: frame.delivery, reason: frame.reason });
      case "assignment":
        return this.#assigned(frame.assignment);
      case "assignment_over":
        if (this.#isNext(frame)) this.#over(frame.delivery, frame.reason);
        return;
      case "ping_interval": {
        const { intervalMs, why } = frame;
        this.#reporter.intervalMs = intervalMs;
        return this.#events.emit("pingInterval", { intervalMs, why });
      }
      case "error":
        return this.#events.emit("error", errorOf(frame));
      default:
        return; // Not for couriers.
    }
  }

  #isNext(frame: { readonly epoch: number; readonly number: number }): boolean {
    const { isNews, missed } = this.#offers.arrived(frame);
    if (missed !== 0) this.#events.emit("gap", { missed });
    return isNews;
  }

  /** Whatever is open is shown again after each welcome; what is not has ended meanwhile. */
  #doubtOffers(): void {
    this.#offers.doubtAll();
    if (this.#offersTimer !== null) this.#clock.clearTimer(this.#offersTimer);
    this.#offersTimer = this.#clock.setTimer(() => {
      this.#offersTimer = null;
      if (!this.#session.isConnected) return; // The next welcome asks again.
      for (const { delivery } of this.#offers.dropDoubted()) {
        this.#events.emit("withdrawn", { delivery, reason: "not_recovered" });
      }
    }, OFFERS_SHOWN_MS);
  }

  /** Sends kept pings in batches, one a second, until this connection has carried all of them. */
  #sendKept(): void {
    if (this.#pacer !== null || !this.#session.isConnected) return;
    const pings = this.#queue.after(this.#sentSeq, PINGS_PER_BATCH_MAX);
    const last = pings.at(-1);
    if (last === undefined) return;
    if (this.#session.send({ type: "pings", pings })) this.#sentSeq = last.seq;
    this.#pacer = this.#clock.setTimer(() => {
      this.#pacer = null;
      this.#sendKept();
    }, BATCH_PACE_MS);
  }

  #stopPacer(): void {
    if (this.#pacer !== null) this.#clock.clearTimer(this.#pacer);
    this.#pacer = null;
  }
}
