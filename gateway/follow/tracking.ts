/**
 * Who follows which delivery on this gateway, and keeping them up to date: one subscription to a
 * delivery's events as long as anybody here follows it, one read of the row for any number of
 * events and followers, one encoding for each audience.
 *
 * A follower never gets an older version after a newer one (D5, D6), and gets nothing any more once
 * the policy says no. Core NATS may lose an event: each followed row is read again every
 * FOLLOW_REREAD_MS, and all of them when the connection comes back. A read that failed is made
 * again soon: until it succeeds positions may be shown of a delivery that is over.
 */
import { errorFields } from "../../engine/io/log.ts";
import type { DeliveryRow } from "../../engine/store/port.ts";
import { DispatchError } from "../../proto/errors.ts";
import { serverFrames } from "../../proto/frames.ts";
import type { CourierId, DeliveryId, Millis, SessionId } from "../../proto/ids.ts";
import { TRACKS_PER_SESSION_MAX } from "../../proto/limits.ts";
import type { DeliveryView } from "../../proto/views.ts";
import type { DeliveryEvent } from "../../proto/events.ts";
import type { Deps } from "../base/deps.ts";
import type { Spool } from "../operations/spool.ts";
import type { Link } from "../base/link.ts";
import { PassedEvents, after, forLink, keepEvent } from "./passed-events.ts";
import type { Passed } from "./passed-events.ts";
import { allowed, isCarried, permitted } from "../access/policy.ts";
import type { Principal } from "../base/principal.ts";
import type { Reader } from "../views/view-assembler.ts";
import { AckWindow } from "./ack-window.ts";
import { shownOf } from "../views/shown.ts";
import type { Shown } from "../views/shown.ts";
import { audienceOf } from "../views/delivery-view.ts";
import type { Audience } from "../views/delivery-view.ts";

const TICK_MS = 250;
const REREAD_SPREAD_TICKS = 20;
/**
 * After a read that failed. While Postgres is away that costs nothing; when it is back, all are
 * read within this.
 */
const REREAD_FAILED_MS = 5_000;
/** How often the estimates of what is followed are looked at, from memory alone. */
const ESTIMATE_MS = 5_000;
/** A new estimate is worth a frame when it moved this far. */
const ESTIMATE_MOVED_MS = 30_000;

/**
 * A session that follows something, and how its positions stand with it
 * (`gateway/follow/fan-out.ts`).
 */
export type Watcher = {
  readonly link: Link;
  /** Nearly always one: a list costs less than a map. */
  readonly follows: Follower[];
  readonly window: AckWindow;
  /** It waits for its turn. */
  isQueued: boolean;
  /** It has not read what it was sent, and is sent no more until it has. */
  isBehind: boolean;
  /** Its next turn at the rate of one frame in POSITIONS_MS, in slices. */
  turn: number;
  /** The slice that it was queued for last. */
  due: number;
};

/** One follower of one delivery. `positionAt`: time of the last position that it was sent. */
export type Follower = {
  readonly watcher: Watcher;
  readonly followed: Followed;
  version: number;
  arrivalAt: Millis;
  positionAt: Millis;
};

/** A delivery that somebody here follows, as this gateway last read it. */
export type Followed = {
  readonly id: DeliveryId;
  row: DeliveryRow | null;
  readonly followers: Set<Follower>;
  /** The latest events that came while somebody followed it. */
  readonly events: DeliveryEvent[];
  /** Requests that are about to follow; it stays as long as there are any. */
  joining: number;
  readonly unsubscribe: () => void;
  isReading: boolean;
  isStale: boolean;
  rereadAt: Millis;
  estimateAt: Millis;
};

/** Told whose positions a followed delivery needs, and when it needs them no more. */
export type CourierNeeds = {
  readonly need: (courier: CourierId, followed: Followed) => void;
  readonly release: (courier: CourierId, followed: Followed) => void;
};

type TrackingDeps = Pick<Deps, "config" | "store" | "bus" | "subjects" | "clock" | "log">;

export class Tracking {
  readonly #deps: TrackingDeps;
  readonly #reader: Reader;
  readonly #needs: CourierNeeds;
  readonly #passed: PassedEvents;
  readonly #rereadMs: number;
  readonly #spool: Pick<Spool, "refuseIfTaken">;
  readonly #followed = new Map<DeliveryId, Followed>();
  readonly #watchers = new Map<SessionId, Watcher>();
  #cancelTick: () => void;

  constructor(
    deps: TrackingDeps,
    reader: Reader,
    needs: CourierNeeds,
    spool: Pick<Spool, "refuseIfTaken">,
  ) {
    this.#deps = deps;
    this.#reader = reader;
    this.#needs = needs;
    this.#spool = spool;
    this.#passed = new PassedEvents(deps);
    this.#rereadMs = deps.config.settings.FOLLOW_REREAD_MS;
    this.#cancelTick = deps.clock.after(TICK_MS, () => this.#tick());
  }

  stop(): void {
    this.#cancelTick();
    for (const followed of this.#followed.values()) followed.unsubscribe();
  }

  /**
   * Follows a delivery: answers `ok`, then what passed since version `after`, then the delivery,
   * then each change. Rejects with `not_found` for what is foreign or absent, with `unavailable`
   * for what is on its way into the database, with `rate_limited` when the session follows too
   * many.
   */
  async track(link: Link, id: DeliveryId, ref: number, after: number | null): Promise<void> {
    const mine = this.#watchers.get(link.id);
    const isKnown = mine !== undefined && followOf(mine, id) !== undefined;
    if (!isKnown && (mine?.follows.length ?? 0) >= TRACKS_PER_SESSION_MAX) {
      const detail = `A session may follow ${TRACKS_PER_SESSION_MAX} deliveries.`;
      throw new DispatchError("rate_limited", detail);
    }
    const followed = this.#open(id);
    followed.joining++;
    try {
      const found = await this.#deps.store.delivery(id);
      if (found === null) await this.#spool.refuseIfTaken(link.principal, id);
      const row = permitted(link.principal, "read", found, this.#deps.clock.now());
      this.#learn(followed, row);
      const view = await this.#viewFor(followed, link.principal, row);
      const passed = await this.#passed.between(followed, after, view.version);
      if (!link.isOpen()) return;
      link.send({ type: "ok", ref, result: { recovered: passed?.recovered ?? null } });
      const follower = this.#join(followed, link);
      // Who asks again is shown it again, unless something newer went out meanwhile.
      if (view.version === follower.version) follower.version = 0;
      if (view.version >= follower.version && passed !== null) this.#tell(follower, passed);
      this.#show([follower], new Map([[audienceOf(link.principal), view]]));
    } finally {
      followed.joining--;
      this.#closeIfUnused(followed);
    }
  }

  /**
   * Where somebody follows it already, its position is pushed here: when thousands come back,
   * nobody need be asked.
   */
  #viewFor(followed: Followed, principal: Principal, read: DeliveryRow): Promise<DeliveryView> {
    const row = followed.row ?? read;
    if (followed.followers.size === 0) return this.#reader.view(row, principal);
    return Promise.resolve(this.#reader.viewNow(row, principal));
  }

  untrack(session: SessionId, id: DeliveryId): void {
    const watcher = this.#watchers.get(session);
    const follower = watcher === undefined ? undefined : followOf(watcher, id);
    if (follower === undefined) return;
    const { follows } = follower.watcher;
    follows.splice(follows.indexOf(follower), 1);
    follower.followed.followers.delete(follower);
    this.#closeIfUnused(follower.followed);
  }

  /** The session is gone: it follows nothing any more. */
  leave(session: SessionId): void {
    const watcher = this.#watchers.get(session);
    if (watcher === undefined) return;
    this.#watchers.delete(session);
    for (const follower of watcher.follows) {
      follower.followed.followers.delete(follower);
      this.#closeIfUnused(follower.followed);
    }
  }

  /**
   * The session has seen so many frames of positions. Gives its watcher, if it follows anything.
   */
  seen(session: SessionId, frames: number): Watcher | null {
    const watcher = this.#watchers.get(session);
    watcher?.window.seen(frames, this.#deps.clock.now());
    return watcher ?? null;
  }

  #open(id: DeliveryId): Followed {
    const known = this.#followed.get(id);
    if (known !== undefined) return known;
    const { bus, subjects, clock } = this.#deps;
    // Subscribed before the first read, so that no change falls between the two.
    const unsubscribe = bus.subscribe(subjects.eventsOfDelivery(id), ({ data }) => {
      keepEvent(followed, data);
      this.#refresh(followed);
    });
    const followed: Followed = {
      id,
      row: null,
      followers: new Set(),
      events: [],
      joining: 0,
      unsubscribe,
      isReading: false,
      isStale: false,
      rereadAt: clock.now() + this.#rereadMs,
      estimateAt: clock.now() + ESTIMATE_MS,
    };
    this.#followed.set(id, followed);
    return followed;
  }

  #join(followed: Followed, link: Link): Follower {
    let watcher = this.#watchers.get(link.id);
    if (watcher === undefined) {
      const window = new AckWindow();
      watcher = { link, follows: [], window, isQueued: false, isBehind: false, turn: 0, due: 0 };
      this.#watchers.set(link.id, watcher);
    }
    let follower = followOf(watcher, followed.id);
    if (follower === undefined) {
      follower = { watcher, followed, version: 0, arrivalAt: 0, positionAt: 0 };
      followed.followers.add(follower);
      watcher.follows.push(follower);
    }
    return follower;
  }

  #closeIfUnused(followed: Followed): void {
    if (followed.joining > 0 || followed.followers.size > 0) return;
    if (!this.#followed.delete(followed.id)) return;
    followed.unsubscribe();
    const courier = neededCourier(followed.row);
    if (courier !== null) this.#needs.release(courier, followed);
  }

  /**
   * Takes in a row unless a newer one is known, and asks for the positions of its courier as long
   * as it is carried.
   */
  #learn(followed: Followed, row: DeliveryRow): void {
    if (followed.row !== null && followed.row.version > row.version) return;
    const before = neededCourier(followed.row);
    const after = neededCourier(row);
    followed.row = row;
    if (before === after) return;
    if (after !== null) this.#needs.need(after, followed);
    if (before !== null) this.#needs.release(before, followed);
  }

  /**
   * Reads the row and shows it. Calls while a read is under way make one more read, however many
   * they are.
   */
  #refresh(followed: Followed): void {
    followed.isStale = true;
    if (followed.isReading) return;
    followed.isReading = true;
    void this.#readWhileStale(followed).finally(() => {
      followed.isReading = false;
    });
  }

  async #readWhileStale(followed: Followed): Promise<void> {
    while (followed.isStale && this.#followed.get(followed.id) === followed) {
      followed.isStale = false;
      followed.rereadAt = this.#deps.clock.now() + this.#rereadMs;
      try {
        const row = await this.#deps.store.delivery(followed.id);
        if (row !== null && this.#followed.get(followed.id) === followed) {
          this.#learn(followed, row);
          await this.#showAll(followed);
        }
      } catch (error) {
        followed.rereadAt = Math.min(followed.rereadAt, this.#deps.clock.now() + REREAD_FAILED_MS);
        this.#deps.log.warn(errorFields(error), "a followed delivery could not be read");
      }
    }
  }

  async #showAll(followed: Followed): Promise<void> {
    const { row } = followed;
    if (row === null) return;
    const views = new Map<Audience, DeliveryView>();
    let least = row.version;
    for (const follower of followed.followers) {
      const { link } = follower.watcher;
      if (!allowed(link.principal, "read", row, this.#deps.clock.now())) {
        this.untrack(link.id, followed.id);
        continue;
      }
      // Estimates are shown by themselves (`#estimate`): a row that is no newer needs no view.
      if (follower.version >= row.version) continue;
      const audience = audienceOf(link.principal);
      if (!views.has(audience)) views.set(audience, await this.#reader.view(row, link.principal));
      if (follower.version > 0) least = Math.min(least, follower.version);
    }
    if (views.size === 0) return;
    const passed = await this.#passed.between(followed, least, row.version);
    if (passed !== null) {
      for (const follower of followed.followers) {
        const { version } = follower;
        if (version > 0 && row.version - version > 1) this.#tell(follower, after(passed, version));
      }
    }
    this.#show(followed.followers, views);
  }

  /**
   * What happened since the follower was told last, but for the latest: that comes as the delivery
   * itself.
   */
  #tell({ watcher, followed }: Follower, { recovered, events }: Passed): void {
    if (recovered && events.length === 0) return;
    const { link } = watcher;
    const shown = audienceOf(link.principal) === "link" ? events.map(forLink) : events;
    link.send({ type: "passed", delivery: followed.id, recovered, events: shown });
  }

  /** Sends each follower what is newer than what it has. */
  #show(followers: Iterable<Follower>, views: ReadonlyMap<Audience, DeliveryView>): void {
    const shown = new Map<Audience, Shown>();
    for (const [audience, view] of views) shown.set(audience, shownOf(view));
    const now = this.#deps.clock.now();
    for (const follower of followers) {
      const { link, window } = follower.watcher;
      const it = shown.get(audienceOf(link.principal));
      if (it === undefined || !isNews(it, follower)) continue;
      // A new estimate can wait until who does not read has caught up; a new status goes out at
      // once.
      const { view } = it;
      if (view.version === follower.version && !window.isOpen(now)) continue;
      const { id, version } = view;
      it.bytes ??= serverFrames.encode({
        type: "delivery",
        delivery: id as DeliveryId,
        version,
        view,
      });
      follower.version = version;
      follower.arrivalAt = it.arrivalAt;
      follower.positionAt = Math.max(follower.positionAt, it.positionAt);
      link.sendBytes(it.bytes);
    }
  }

  /** Events may have been lost: everything is read again soon, not all at one moment. */
  doubtAll(): void {
    const now = this.#deps.clock.now();
    let count = 0;
    for (const followed of this.#followed.values()) {
      const soon = now + (count++ % REREAD_SPREAD_TICKS) * TICK_MS;
      followed.rereadAt = Math.min(followed.rereadAt, soon);
    }
  }

  /**
   * Shows new estimates where they have moved enough, from what is known here. Never a version that
   * a follower does not have: what passed comes first, and a read under way, or one more, tells it.
   */
  #estimate(followed: Followed, now: Millis): void {
    followed.estimateAt = now + ESTIMATE_MS;
    const { row } = followed;
    if (row === null || followed.isReading || !isCarried(row.status)) return;
    const isOld = ({ version }: Follower): boolean => version < row.version;
    if ([...followed.followers].some(isOld)) return this.#refresh(followed);
    const arrivalAt = this.#reader.arrivalNow(row);
    const views = new Map<Audience, DeliveryView>();
    for (const follower of followed.followers) {
      if (!hasMoved(arrivalAt, follower)) continue;
      const { principal } = follower.watcher.link;
      const audience = audienceOf(principal);
      if (views.has(audience) || !allowed(principal, "read", row, now)) continue;
      views.set(audience, this.#reader.viewNow(row, principal));
    }
    this.#show(followed.followers, views);
  }

  #tick(): void {
    const now = this.#deps.clock.now();
    for (const followed of this.#followed.values()) {
      if (followed.rereadAt <= now) this.#refresh(followed);
      else if (followed.estimateAt <= now) this.#estimate(followed, now);
    }
    this.#cancelTick = this.#deps.clock.after(TICK_MS, () => this.#tick());
  }
}

const followOf = (watcher: Watcher, id: DeliveryId): Follower | undefined =>
  watcher.follows.find(({ followed }) => followed.id === id);

const hasMoved = (arrivalAt: Millis, follower: Follower): boolean =>
  Math.abs(arrivalAt - follower.arrivalAt) >= ESTIMATE_MOVED_MS;

/** A newer version, or the same one with another estimate and no older position. */
function isNews({ view, arrivalAt, positionAt }: Shown, follower: Follower): boolean {
  if (view.version !== follower.version) return view.version > follower.version;
  if (!hasMoved(arrivalAt, follower)) return false;
  return positionAt >= follower.positionAt;
}

const neededCourier = (row: DeliveryRow | null): CourierId | null =>
  row !== null && isCarried(row.status) ? row.courierId : null;
