/**
 * The invariants of docs/architecture.md, watched from outside while a world runs: what was
 * committed, what clients were told, what actors believe, held against the store in memory. What
 * shows when the faults have stopped: `liveness.ts`.
 */
import type { Effect } from "../actors/actor.ts";
import type { Courier } from "../actors/courier-state.ts";
import type { HostMessage } from "../engine/host/ports.ts";
import { type CourierId, type DeliveryId, shardOfDelivery } from "../proto/ids.ts";
import type { Epoch, Millis, ShardId } from "../proto/ids.ts";
import { type DispatchSettings, IDEMPOTENCY_KEPT_H } from "../proto/limits.ts";
import type { DeliveryEvent } from "../proto/events.ts";
import { NEXT_STATUSES, type Status, isTerminal } from "../proto/status.ts";
import type { WriteOutcome } from "../proto/writes.ts";
import type { CreateCommand, CreateOutcome } from "../engine/store/port.ts";
import type { FakeStore } from "./fake-store.ts";
import type { History } from "./history.ts";
import { Promises } from "./promises.ts";
import type { Message } from "./subject.ts";

/** Clocks of two processes differ by so much at most. */
const SKEW_MAX_MS = 6_000;
/**
 * A gateway that heard of nothing reads a followed row again every 30 s (FOLLOW_REREAD_MS), or soon
 * after; while Postgres is away it goes by the one it has, and that time is added.
 */
const STALE_ROW_MS = 45_000;
/** The database's clock may be off by so much. */
const CLOCKS_APART_H = 8;
const CHANGES: ReadonlySet<string> = new Set(["create", "accept", "status", "cancel", "write"]);

export class Checks {
  readonly #history: History;
  readonly #store: FakeStore;
  readonly #settings: DispatchSettings;
  readonly #events = new Map<string, DeliveryEvent[]>();
  readonly #published = new Map<string, number>();
  readonly #epochs = new Map<ShardId, Epoch>();
  readonly #owners = new Map<ShardId, string>();
  /** Acknowledged creates by id, and what each key was answered. */
  readonly #created = new Set<DeliveryId>();
  readonly #byKey = new Map<string, string>();
  readonly #keys = new Map<string, DeliveryId>();
  /** When each key was answered first, true time. */
  readonly #keyedAt = new Map<string, Millis>();
  /** Times at which an assignment was said to have been made, by delivery and courier. */
  readonly #accepted = new Map<string, Set<string>>();
  /** In which epoch a delivery's write was decided; 0: by who was no owner any more. */
  readonly #decidedIn = new WeakMap<object, number>();
  /** Declines that couriers were told are heard, by delivery and courier. */
  readonly #declined = new Set<string>();
  /** Who measured a position at that moment of its own time. */
  readonly #pings = new Map<Millis, Set<string>>();
  #lastEvent = 0;
  /** What clients were told, compared with what is stored. */
  readonly promises: Promises;
  /** Creates that wait in the intake. */
  waitingIn: () => ReadonlySet<string> = () => new Set();
  /** When a delivery ended, true time: the database's clock may be set. */
  readonly #endedAt = new Map<string, Millis>();
  /** For how long since then Postgres could not be read. */
  awayMsSince: (at: Millis) => number = () => 0;
  readonly counts = { events: 0, published: 0, fenced: 0, superseded: 0, takeovers: 0, later: 0 };

  constructor(history: History, store: FakeStore, settings: DispatchSettings) {
    this.#history = history;
    this.#store = store;
    this.#settings = settings;
    this.promises = new Promises({
      history,
      store,
      eventsOf: (delivery) => this.eventsOf(delivery),
      waitingIn: () => this.waitingIn(),
    });
  }

  created(): ReadonlySet<DeliveryId> {
    return this.#created;
  }
  events(): readonly DeliveryEvent[] {
    return [...this.#events.values()].flat();
  }
  eventsOf(delivery: string): readonly DeliveryEvent[] {
    return this.#events.get(delivery) ?? [];
  }
  publishedOf(delivery: string): number {
    return this.#published.get(delivery) ?? 0;
  }

  /* What the store did. */

  /** Called after each statement that was done, whether anybody hears of it or not. */
  done(who: string, method: string, args: readonly unknown[], result: unknown): void {
    if (method === "takeShards") {
      this.#taken(`${who} ${String(args[0])}`, result as ReadonlyMap<ShardId, Epoch>);
    }
    if (!CHANGES.has(method)) return;
    if (method === "write") this.#wrote(who, args, result as WriteOutcome);
    if (method === "create") this.#kept(args[0] as CreateCommand, result as CreateOutcome);
    const rows = this.#store.outboxBatch(Number.MAX_SAFE_INTEGER);
    let from = rows.length;
    while (from > 0 && Number(rows[from - 1]?.event.id) > this.#lastEvent) from -= 1;
    for (const { event } of rows.slice(from)) this.#event(who, event);
  }

  /** D4: one key makes one delivery, whatever its client hears of it. */
  #kept({ job, idempotency }: CreateCommand, { outcome }: CreateOutcome): void {
    if (outcome !== "created" || idempotency === null) return;
    const key = `${idempotency.principal} ${idempotency.key} ${idempotency.fingerprint}`;
    const before = this.#keys.get(key) ?? job.id;
    const text = `key ${key} made ${before}, then ${job.id}`;
    this.#history.demand(before === job.id, "D4", text, [before, job.id]);
    this.#keys.set(key, before);
  }

  /** D3: who waits is told why. */
  #waits(id: string): void {
    const row = this.#store.peek(id);
    const isTold = row?.status !== "pending" || row.statusReason !== null;
    this.#history.demand(isTold, "D3", `${id} waits without a reason`, [id]);
  }

  /** D8: epochs of a shard only rise; who asks twice is told the same twice. */
  #taken(who: string, epochs: ReadonlyMap<ShardId, Epoch>): void {
    for (const [shard, epoch] of epochs) {
      const before = this.#epochs.get(shard) ?? 0;
      const text = `shard ${shard} went from epoch ${before} to ${epoch}`;
      const isRepeat = epoch === before && this.#owners.get(shard) === who;
      this.#history.demand(epoch > before || isRepeat, "D8", text, [`shard ${shard}`]);
      this.#epochs.set(shard, epoch);
      this.#owners.set(shard, who);
      this.counts.takeovers += 1;
      this.#history.line("store", `${who} takes shard ${shard} in epoch ${epoch}`);
    }
  }

  /** D8: what an older owner writes has no effect. */
  #wrote(who: string, args: readonly unknown[], { outcome }: WriteOutcome): void {
    const [write, shard, epoch] = args as [
      { kind: string; delivery?: string; courier?: string },
      ShardId,
      Epoch,
    ];
    const id = write.delivery ?? write.courier ?? "";
    this.#history.line(
      "store",
      `${who} writes ${write.kind} of ${id} under ${shard}.${epoch}: ${outcome}`,
    );
    if (outcome === "fenced") this.counts.fenced += 1;
    if (outcome === "superseded") this.counts.superseded += 1;
    if (write.delivery !== undefined) this.#waits(write.delivery);
    const newest = this.#epochs.get(shard);
    const isAllowed = outcome === "fenced" || epoch === newest;
    const text = `${who} wrote in epoch ${epoch} of shard ${shard} after ${newest}`;
    this.#history.demand(isAllowed, "D8", text, [id, `shard ${shard}`]);
    const decidedIn = this.#decidedIn.get(write) ?? epoch;
    const isOfNow = outcome !== "recorded" || decidedIn === epoch;
    const old = `${who} wrote in epoch ${epoch} of shard ${shard} what was decided in ${decidedIn}`;
    this.#history.demand(isOfNow, "D8", old, [id, `shard ${shard}`]);
  }

  /** D1, D2, D5: each event follows from the one before, and nobody carries too much. */
  #event(who: string, event: DeliveryEvent): void {
    this.#lastEvent = Number(event.id);
    this.counts.events += 1;
    const all = this.#events.get(event.delivery_id) ?? [];
    const before = all.at(-1);
    const text = `${event.delivery_id} event ${event.number} ${event.type} ${event.courier_id}`;
    this.#history.line("store", `${who} commits ${text}`);
    const about = [event.delivery_id, event.courier_id ?? ""];
    const demand = (holds: boolean, invariant: string, what: string): void =>
      this.#history.demand(holds, invariant, `${text}: ${what}`, about);
    demand(event.number === (before?.number ?? 0) + 1, "D5", `after ${before?.number}`);
    const from = before?.status as Status | undefined;
    const isMove = from === undefined || NEXT_STATUSES[from].includes(event.status as Status);
    demand(isMove, "D5", `${from} -> ${event.status}`);
    const had = before?.courier_id ?? null;
    // Nobody is replaced without a reason that was recorded before.
    const isReplaced = event.type === "reassigned" && event.reason !== null;
    const isKept = had === null || had === event.courier_id || isReplaced;
    demand(isKept, "D1", `${had} lost it silently`);
    this.#waits(event.delivery_id);
    if (isTerminal(event.status as Status)) {
      this.#endedAt.set(event.delivery_id, this.#history.now());
    }
    all.push(event);
    this.#events.set(event.delivery_id, all);
    for (const { id, load, capacity } of this.#store.couriers()) {
      const carried = load === 0 && id !== event.courier_id ? 0 : this.#store.carriedCount(id);
      this.#history.demand(load === carried, "D2", `${id} has load ${load} of ${carried}`, [id]);
      this.#history.demand(carried <= capacity, "D2", `${id} carries ${carried}`, [id]);
    }
  }

  /**
   * D5: on the stream, each delivery's events come in their order, without a gap; repeats are the
   * reader's.
   */
  stored({ data }: Message): void {
    const event = JSON.parse(Buffer.from(data).toString()) as DeliveryEvent;
    this.counts.published += 1;
    const id = event.delivery_id;
    const last = this.#published.get(id) ?? 0;
    this.#history.line("EVENTS", `${id} event ${event.number}`);
    const isNext = event.number <= last + 1;
    this.#history.demand(isNext, "D5", `${id}: event ${event.number} on the stream after ${last}`, [
      id,
    ]);
    const known = this.eventsOf(id).some(
      ({ number, type }) => number === event.number && type === event.type,
    );
    this.#history.demand(known, "D5", `${id}: event ${event.number} was published, not committed`, [
      id,
    ]);
    this.#published.set(id, Math.max(last, event.number));
  }

  /* What clients were told. */

  /**
   * D3: what was acknowledged is there. D4: a key is always answered the same. `isLater`: matched
   * when it can be.
   */
  createAnswered(who: string, delivery: string, name: string, isLater: boolean): void {
    const key = `${who} ${name}`;
    const before = this.#byKey.get(key) ?? delivery;
    const text = `key ${key} was answered with ${before}, then ${delivery}`;
    this.#history.demand(before === delivery, "D4", text, [before, delivery]);
    this.#byKey.set(key, before);
    if (!this.#keyedAt.has(key)) this.#keyedAt.set(key, this.#history.now());
    const row = this.#store.peek(delivery);
    if (isLater) this.counts.later += 1;
    else {
      this.#history.demand(row !== null, "D3", `${delivery} was acknowledged and is not there`, [
        delivery,
      ]);
    }
    this.#created.add(delivery as DeliveryId);
    this.promises.created(delivery, isLater ? 202 : 201);
    this.#history.line("client", `${delivery} is acknowledged${isLater ? " for later" : ""}`);
  }

  /** D4: the same body under the same key is no other body. */
  createMismatched(who: string, name: string, isSpent: boolean): void {
    const key = `${who} ${name}`;
    // Forgotten after so long, and never a second delivery.
    const keptMs = this.#history.now() - (this.#keyedAt.get(key) ?? 0);
    if (isSpent && keptMs > (IDEMPOTENCY_KEPT_H - CLOCKS_APART_H) * 3_600_000) return;
    const delivery = this.#byKey.get(key) ?? "";
    this.#history.violate("D4", `key ${key} was refused as used for another body`, [delivery]);
  }

  /** D4: a key that only its owner's own request may hold up. */
  createHeldUp(who: string, name: string, underWay: number): void {
    const text = `${who} is told that its key ${name} is under way, it asked ${underWay} times`;
    this.#history.demand(underWay > 1, "D4", text, [who]);
  }

  /** P: a fault outside is no fault of a door: it says 202, or 503 with Retry-After, never 500. */
  answeredBadly(what: string, status: number): void {
    this.#history.violate("P", `${what}: answered ${status}, or without Retry-After`, []);
  }

  canceled(delivery: string): void {
    this.#history.line("client", `${delivery} is told to be canceled`);
    this.promises.canceled(delivery);
  }

  /** D1, D4: an accept that was answered is in the history, and has one time. */
  acceptAnswered(delivery: string, courier: string, assignedAt: string): void {
    const key = `${delivery} ${courier}`;
    const about = [delivery, courier];
    this.#history.line(
      "client",
      `${courier} is told that ${delivery} is its own since ${assignedAt}`,
    );
    this.promises.accepted(delivery, courier, assignedAt);
    const times = this.#accepted.get(key) ?? new Set();
    this.#accepted.set(key, times.add(assignedAt));
    const events = this.eventsOf(delivery).filter((event) => event.courier_id === courier);
    const got = events.length > 0;
    this.#history.demand(got, "D1", `${key} was acknowledged and is not in the history`, about);
    // Who was replaced may get it once more, later.
    const made = events.filter(({ type }) => type === "assigned" || type === "reassigned").length;
    const text = `${key} was assigned ${made} times, at ${[...times].join(", then at ")}`;
    this.#history.demand(times.size <= made, "D4", text, about);
  }

  /** D5: a status that was answered is in the history. */
  statusAnswered(delivery: string, courier: string, status: string): void {
    this.#history.line("client", `${courier} is told that ${delivery} is ${status}`);
    this.promises.hasStatus(delivery, courier, status);
    const got = this.eventsOf(delivery).some(
      (event) => event.status === status && event.courier_id === courier,
    );
    const text = `${delivery} was acknowledged as ${status} and is not`;
    this.#history.demand(got, "D5", text, [delivery, courier]);
  }

  pinged(courier: string, at: Millis): void {
    const who = this.#pings.get(at);
    if (who === undefined) this.#pings.set(at, new Set([courier]));
    else who.add(courier);
  }

  /** D6: a position of somebody who carried the delivery, and not from after its end. */
  positionShown(delivery: string, at: Millis): void {
    const events = this.eventsOf(delivery);
    const carriers = new Set(events.map((event) => event.courier_id));
    const isCarrier = [...(this.#pings.get(at) ?? [])].some((courier) => carriers.has(courier));
    const text = `${delivery} shows a position of ${at}`;
    this.#history.demand(isCarrier, "D6", `${text} that none of its couriers had`, [delivery]);
    const endedAt = this.#endedAt.get(delivery) ?? null;
    if (endedAt === null || at <= endedAt + STALE_ROW_MS + SKEW_MAX_MS) return;
    const isAfter = at > endedAt + STALE_ROW_MS + SKEW_MAX_MS + this.awayMsSince(endedAt);
    this.#history.demand(!isAfter, "D6", `${text}, after it had ended at ${endedAt}`, [delivery]);
  }

  /** D5, D6: what one connection was shown of a delivery, against what it had been shown before. */
  order(
    delivery: string,
    versionBefore: number,
    version: number | null,
    atBefore: Millis,
    at: Millis | null,
  ): void {
    const isVersion = version === null || version >= versionBefore;
    const older = `${delivery} is shown in version ${version} after ${versionBefore}`;
    this.#history.demand(isVersion, "D5", older, [delivery]);
    const isAt = at === null || at >= atBefore;
    const text = `${delivery} shows a position of ${at} after one of ${atBefore}`;
    this.#history.demand(isAt, "D6", text, [delivery]);
  }

  /* What actors believe. */

  /** D7: no hold is longer than an offer, and there are never more than allowed. */
  courierStepped(courier: Courier, now: Millis): void {
    if (courier.at === "empty") return;
    const { OFFER_TTL_MS, OFFERS_PARALLEL_MAX } = this.#settings;
    const { id, holds } = courier;
    this.#history.demand(holds.length <= OFFERS_PARALLEL_MAX, "D7", `${id} is held too often`, [
      id,
    ]);
    const isBounded = holds.every((hold) => hold.until <= now + OFFER_TTL_MS + SKEW_MAX_MS);
    this.#history.demand(isBounded, "D7", `${id} is held for too long`, [id]);
  }

  /** Told to a courier: this delivery will not be offered to you again. */
  declineAnswered(delivery: string, courier: string): void {
    this.#history.line("client", `${courier} is told that its decline of ${delivery} is heard`);
    this.#declined.add(`${delivery} ${courier}`);
  }

  /**
   * D7: who declines is let go in the same step, and never asked for it again, whoever owns the
   * shard by then.
   */
  deliveryStepped(
    node: string,
    id: string,
    message: HostMessage,
    effects: readonly Effect[],
  ): void {
    const shard = shardOfDelivery(id as DeliveryId);
    const isOwner = this.#owners.get(shard)?.startsWith(`${node} `) === true;
    const epoch = isOwner ? (this.#epochs.get(shard) ?? 0) : 0;
    for (const effect of effects) {
      if (effect.do === "commit") this.#decidedIn.set(effect.write, epoch);
    }
    // What an owner of the past still says is for the receivers to drop (D8).
    if (isOwner) this.#asks(id, effects);
    const courier = message["courier"];
    if (message.type !== "declined" || !effects.some((e) => e.do === "ledger")) return;
    const isReleased = effects.some(
      (e) => e.do === "send" && e.post.id === courier && e.post.msg.type === "release",
    );
    const text = `${String(courier)} declined ${id} and is not let go`;
    this.#history.demand(isReleased, "D7", text, [id, String(courier)]);
  }

  #asks(delivery: string, effects: readonly Effect[]): void {
    for (const effect of effects) {
      if (effect.do !== "send") continue;
      const { id, msg } = effect.post;
      if (msg.type !== "hold" && msg.type !== "offer") continue;
      const isFree = !this.#declined.has(`${delivery} ${id}`);
      const text = `${id} declined ${delivery}, was told so, and gets another ${msg.type}`;
      this.#history.demand(isFree, "D7", text, [
        delivery,
        id,
        `shard ${shardOfDelivery(delivery as DeliveryId)}`,
      ]);
    }
  }

  /** D1: what couriers were told is in the history. */
  atEnd(): void {
    for (const key of this.#accepted.keys()) {
      const [delivery, courier] = key.split(" ") as [DeliveryId, CourierId];
      const got = this.eventsOf(delivery).some((event) => event.courier_id === courier);
      const text = `${key} was acknowledged and is nowhere in the history`;
      this.#history.demand(got, "D1", text, [
        delivery,
        courier,
        `shard ${shardOfDelivery(delivery)}`,
      ]);
    }
  }
}
