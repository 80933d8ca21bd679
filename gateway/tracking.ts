/**
 * Who follows which delivery on this gateway, and keeping them up to date: one subscription to a delivery's events as long
 * as anybody here follows it, one read of the row for any number of events and followers, one encoding for each audience.
 *
 * A follower never gets an older version after a newer one (D5, D6), and gets nothing any more once the policy says no.
 * Core NATS may lose an event: each followed row is read again every few seconds, which also brings new estimates.
 */
import { errorFields } from "../engine/io/log.ts";
import type { DeliveryRow } from "../engine/store/port.ts";
import { DispatchError } from "../proto/errors.ts";
import { serverFrames } from "../proto/frames.ts";
import type { CourierId, DeliveryId, Millis, SessionId } from "../proto/ids.ts";
import { TRACKS_PER_SESSION_MAX } from "../proto/limits.ts";
import type { DeliveryView } from "../proto/views.ts";
import type { Deps } from "./deps.ts";
import type { IntakeDoor } from "./intake.ts";
import type { Link } from "./link.ts";
import { allowed, isCarried, permitted } from "./policy.ts";
import type { Reader } from "./reader.ts";
import { audienceOf } from "./views.ts";
import type { Audience } from "./views.ts";

/** How soon a row is read again when no event came. */
export const REREAD_MS = 5_000;
const REREAD_TICK_MS = 250;
/** A new estimate is worth a frame when it moved this far. */
const ESTIMATE_MOVED_MS = 30_000;

/** One follower of one delivery. `positionAt`: time of the last position that it was sent. */
export type Follower = {
  readonly link: Link;
  version: number;
  arrivalAt: Millis;
  positionAt: Millis;
};

/** A delivery that somebody here follows, as this gateway last read it. */
export type Followed = {
  readonly id: DeliveryId;
  row: DeliveryRow | null;
  readonly followers: Map<SessionId, Follower>;
  /** Requests that are about to follow; it stays as long as there are any. */
  joining: number;
  readonly unsubscribe: () => void;
  isReading: boolean;
  isStale: boolean;
  rereadAt: Millis;
};

/** Told when a courier's positions are needed here, and when no more. */
export type CourierNeeds = {
  readonly need: (courier: CourierId) => void;
  readonly release: (courier: CourierId) => void;
};

export class Tracking {
  readonly #deps: Pick<Deps, "store" | "bus" | "subjects" | "clock" | "log">;
  readonly #reader: Reader;
  readonly #needs: CourierNeeds;
  readonly #intake: Pick<IntakeDoor, "refuseIfTaken">;
  readonly #followed = new Map<DeliveryId, Followed>();
  readonly #bySession = new Map<SessionId, Map<DeliveryId, Followed>>();
  #cancelTick: () => void;

  constructor(
    deps: Pick<Deps, "store" | "bus" | "subjects" | "clock" | "log">,
    reader: Reader,
    needs: CourierNeeds,
    intake: Pick<IntakeDoor, "refuseIfTaken">,
  ) {
    this.#deps = deps;
    this.#reader = reader;
    this.#needs = needs;
    this.#intake = intake;
    this.#cancelTick = deps.clock.after(REREAD_TICK_MS, () => this.#tick());
  }

  stop(): void {
    this.#cancelTick();
    for (const followed of this.#followed.values()) followed.unsubscribe();
  }

  /**
   * Follows a delivery: answers `ok`, then the delivery, then each change. Rejects with `not_found` for what is foreign or
   * absent, with `unavailable` for what is on its way into the database, with `rate_limited` when the session follows too many.
   */
  async track(link: Link, id: DeliveryId, ref: number): Promise<void> {
    const mine = this.#bySession.get(link.id);
    if (mine?.has(id) !== true && (mine?.size ?? 0) >= TRACKS_PER_SESSION_MAX) {
      const detail = `A session may follow ${TRACKS_PER_SESSION_MAX} deliveries.`;
      throw new DispatchError("rate_limited", detail);
    }
    const followed = this.#open(id);
    followed.joining++;
    try {
      const found = await this.#deps.store.delivery(id);
      if (found === null) await this.#intake.refuseIfTaken(link.principal, id);
      const row = permitted(link.principal, "read", found, this.#deps.clock.now());
      this.#learn(followed, row);
      const view = await this.#reader.view(followed.row ?? row, link.principal);
      if (!link.isOpen()) return;
      link.send({ type: "ok", ref, result: null });
      const follower = this.#join(followed, link);
      // Who asks again is shown it again, unless something newer went out meanwhile.
      if (view.version === follower.version) follower.version = 0;
      this.#show(followed, new Map([[audienceOf(link.principal), view]]), link.id);
    } finally {
      followed.joining--;
      this.#closeIfUnused(followed);
    }
  }

  untrack(session: SessionId, id: DeliveryId): void {
    const followed = this.#bySession.get(session)?.get(id);
    if (followed === undefined) return;
    followed.followers.delete(session);
    this.#bySession.get(session)?.delete(id);
    this.#closeIfUnused(followed);
  }

  /** The session is gone: it follows nothing any more. */
  leave(session: SessionId): void {
    const mine = this.#bySession.get(session);
    if (mine === undefined) return;
    this.#bySession.delete(session);
    for (const followed of mine.values()) {
      followed.followers.delete(session);
      this.#closeIfUnused(followed);
    }
  }

  /** What a session follows. */
  ofSession(session: SessionId): Iterable<Followed> {
    return this.#bySession.get(session)?.values() ?? [];
  }

  sessions(): Iterable<SessionId> {
    return this.#bySession.keys();
  }

  #open(id: DeliveryId): Followed {
    const known = this.#followed.get(id);
    if (known !== undefined) return known;
    const { bus, subjects, clock } = this.#deps;
    // Subscribed before the first read, so that no change falls between the two.
    const unsubscribe = bus.subscribe(subjects.eventsOfDelivery(id), () => this.#refresh(followed));
    const followed: Followed = {
      id,
      row: null,
      followers: new Map(),
      joining: 0,
      unsubscribe,
      isReading: false,
      isStale: false,
      rereadAt: clock.now() + REREAD_MS,
    };
    this.#followed.set(id, followed);
    return followed;
  }

  #join(followed: Followed, link: Link): Follower {
    let mine = this.#bySession.get(link.id);
    if (mine === undefined) {
      mine = new Map();
      this.#bySession.set(link.id, mine);
    }
    mine.set(followed.id, followed);
    let follower = followed.followers.get(link.id);
    if (follower === undefined) {
      follower = { link, version: 0, arrivalAt: 0, positionAt: 0 };
      followed.followers.set(link.id, follower);
    }
    return follower;
  }

  #closeIfUnused(followed: Followed): void {
    if (followed.joining > 0 || followed.followers.size > 0) return;
    if (!this.#followed.delete(followed.id)) return;
    followed.unsubscribe();
    const courier = neededCourier(followed.row);
    if (courier !== null) this.#needs.release(courier);
  }

  /** Takes in a row unless a newer one is known, and asks for the positions of its courier as long as it is carried. */
  #learn(followed: Followed, row: DeliveryRow): void {
    if (followed.row !== null && followed.row.version > row.version) return;
    const before = neededCourier(followed.row);
    const after = neededCourier(row);
    followed.row = row;
    if (before === after) return;
    if (after !== null) this.#needs.need(after);
    if (before !== null) this.#needs.release(before);
  }

  /** Reads the row and shows it. Calls while a read is under way make one more read, however many they are. */
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
      followed.rereadAt = this.#deps.clock.now() + REREAD_MS;
      try {
        const row = await this.#deps.store.delivery(followed.id);
        if (row !== null && this.#followed.get(followed.id) === followed) {
          this.#learn(followed, row);
          await this.#showAll(followed);
        }
      } catch (error) {
        // The next event or the next slow read tries again.
        this.#deps.log.warn(errorFields(error), "a followed delivery could not be read");
      }
    }
  }

  async #showAll(followed: Followed): Promise<void> {
    const { row } = followed;
    if (row === null) return;
    const views = new Map<Audience, DeliveryView>();
    for (const { link } of followed.followers.values()) {
      if (!allowed(link.principal, "read", row, this.#deps.clock.now())) {
        this.untrack(link.id, followed.id);
        continue;
      }
      const audience = audienceOf(link.principal);
      if (!views.has(audience)) views.set(audience, await this.#reader.view(row, link.principal));
    }
    this.#show(followed, views, null);
  }

  /** Sends what is newer than what a follower has, to one session or to all. */
  #show(
    followed: Followed,
    views: ReadonlyMap<Audience, DeliveryView>,
    only: SessionId | null,
  ): void {
    const encoded = new Map<Audience, Uint8Array>();
    for (const follower of followed.followers.values()) {
      if (only !== null && follower.link.id !== only) continue;
      const audience = audienceOf(follower.link.principal);
      const view = views.get(audience);
      if (view === undefined || !isNews(view, follower)) continue;
      let bytes = encoded.get(audience);
      if (bytes === undefined) {
        const { version } = view;
        bytes = serverFrames.encode({ type: "delivery", delivery: followed.id, version, view });
        encoded.set(audience, bytes);
      }
      follower.version = view.version;
      follower.arrivalAt = arrivalOf(view);
      const seenAt = view.courier_location?.updated_at;
      if (seenAt !== undefined)
        follower.positionAt = Math.max(follower.positionAt, Date.parse(seenAt));
      follower.link.sendBytes(bytes);
    }
  }

  #tick(): void {
    const now = this.#deps.clock.now();
    for (const followed of this.#followed.values()) {
      if (followed.rereadAt <= now) this.#refresh(followed);
    }
    this.#cancelTick = this.#deps.clock.after(REREAD_TICK_MS, () => this.#tick());
  }
}

const arrivalOf = (view: DeliveryView): Millis =>
  view.estimated_arrival === null ? 0 : Date.parse(view.estimated_arrival);

/** A newer version, or the same one with another estimate and no older position. */
function isNews(view: DeliveryView, follower: Follower): boolean {
  if (view.version !== follower.version) return view.version > follower.version;
  if (Math.abs(arrivalOf(view) - follower.arrivalAt) < ESTIMATE_MOVED_MS) return false;
  const seenAt = view.courier_location === null ? 0 : Date.parse(view.courier_location.updated_at);
  return seenAt >= follower.positionAt;
}

const neededCourier = (row: DeliveryRow | null): CourierId | null =>
  row !== null && isCarried(row.status) ? row.courierId : null;
