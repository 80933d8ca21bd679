/**
 * Positions to their followers. A courier's move is noted for the followers of what it carries and
 * for nobody else; each of them gets one frame with all that moved for it, on average at most once
 * in POSITIONS_MS. A frame is encoded once for all who follow the same delivery alone, which is
 * nearly everybody.
 *
 * Time is cut into slices. Who was not sent anything lately is sent in the next slice; who was, in
 * the slice that begins its next turn. One slice sends only a share of all that wait, so that many
 * couriers who move at one moment (a node reports them together) do not hold up everything else
 * that this process does: the rest follows in the next slices, the longest waiting first. Nobody
 * waits twice, so the queue is never longer than there are followers.
 *
 * For one delivery an older position never follows a newer one, and none is sent that the policy
 * does not allow (D6).
 */
import type { Clock } from "../../engine/io/clock.ts";
import { serverFrames } from "../../proto/frames.ts";
import type { ServerFrameOf } from "../../proto/frames.ts";
import type { CourierId, Millis } from "../../proto/ids.ts";
import { allowed } from "../access/policy.ts";
import type { CourierNeeds, Followed, Follower, Watcher } from "./tracking.ts";
import type { PositionCache } from "../views/position-cache.ts";

/** Slices in POSITIONS_MS. */
const SLICES = 50;
/**
 * A frame may come so much before its turn, and turns are a little less than a period apart, in
 * slices: a courier who moves once in a period, give or take, is shown without a wait, and whoever
 * had to wait once waits less each time.
 */
const EARLY_SLICES = 10;
const TURN_SLICES = 48;
/** A slice sends at least so many: about 5 ms of work. */
const SLICE_SENDS_MIN = 400;
/** Of all that wait a slice sends such a part: what has piled up is gone in half a period. */
const DRAIN_SLICES = 25;
/** A slice that comes late makes up for so many that were left out, not for more. */
const CATCH_UP_SLICES = 4;
/** What the field can say. */
const AGE_MAX_MS = 2_147_483_647;

type PositionItem = ServerFrameOf<"positions">["positions"][number];
type Encoded = { readonly at: Millis; readonly bytes: Uint8Array };
/**
 * The frames of one slice, by delivery: the age in them is right for so long. Null: there is no
 * position.
 */
type Frames = Map<Followed, Encoded | null>;

export type FanOutParts = {
  readonly clock: Clock;
  /** On average at most one frame for a watcher in so long. */
  readonly periodMs: number;
  readonly positionCache: Pick<PositionCache, "latest">;
};

export class FanOut implements CourierNeeds {
  readonly #clock: Clock;
  readonly #positionCache: Pick<PositionCache, "latest">;
  readonly #sliceMs: number;
  readonly #carriedBy = new Map<CourierId, Set<Followed>>();
  /** Watchers by the slice in which it is their turn, modulo the length. */
  readonly #ring: Watcher[][] = Array.from({ length: SLICES + 2 }, () => []);
  /** Whose slice is over without having been sent to. */
  #late: Watcher[] = [];
  #waiting = 0;
  /** The last slice that was sent. */
  #done = 0;
  #cancelTick: (() => void) | null = null;

  constructor({ clock, periodMs, positionCache }: FanOutParts) {
    this.#clock = clock;
    this.#positionCache = positionCache;
    this.#sliceMs = Math.max(1, periodMs / SLICES);
  }

  stop(): void {
    this.#cancelTick?.();
  }

  /** Watchers who have not been sent yet what they should know. */
  get waiting(): number {
    return this.#waiting;
  }

  readonly need = (courier: CourierId, followed: Followed): void => {
    const carried = this.#carriedBy.get(courier);
    if (carried === undefined) this.#carriedBy.set(courier, new Set([followed]));
    else carried.add(followed);
  };

  readonly release = (courier: CourierId, followed: Followed): void => {
    const carried = this.#carriedBy.get(courier);
    carried?.delete(followed);
    if (carried?.size === 0) this.#carriedBy.delete(courier);
  };

  /** The courier has a newer position than before. */
  moved(courier: CourierId): void {
    const carried = this.#carriedBy.get(courier);
    if (carried === undefined) return;
    const now = this.#clock.now();
    const slice = Math.floor(now / this.#sliceMs);
    for (const followed of carried) {
      for (const { watcher } of followed.followers) {
        if (watcher.isBehind && watcher.window.isOpen(now)) watcher.isBehind = false;
        this.#queue(watcher, slice);
      }
    }
  }

  /** The watcher has caught up: what it missed meanwhile is due. */
  caughtUp(watcher: Watcher): void {
    if (!watcher.isBehind) return;
    watcher.isBehind = false;
    this.#queue(watcher, this.#sliceNow());
  }

  #sliceNow(): number {
    return Math.floor(this.#clock.now() / this.#sliceMs);
  }

  #queue(watcher: Watcher, now: number): void {
    if (watcher.isQueued || watcher.isBehind) return;
    watcher.isQueued = true;
    if (this.#waiting === 0) this.#done = now;
    this.#waiting++;
    // Not before what is done, should the clock have stepped back; not beyond one turn.
    const earliest = Math.max(now, this.#done) + 1;
    const turn = Math.min(watcher.turn - EARLY_SLICES, earliest + SLICES - 1);
    watcher.due = Math.max(earliest, turn);
    (this.#ring[watcher.due % this.#ring.length] as Watcher[]).push(watcher);
    this.#arm();
  }

  #arm(): void {
    if (this.#cancelTick !== null) return;
    const nextAt = (this.#done + 1) * this.#sliceMs;
    const delayMs = Math.min(this.#sliceMs, Math.max(0, nextAt - this.#clock.now()));
    this.#cancelTick = this.#clock.after(Math.ceil(delayMs), () => {
      this.#cancelTick = null;
      this.#tick();
      if (this.#waiting > 0) this.#arm();
    });
  }

  #tick(): void {
    const now = this.#clock.now();
    // A clock that stepped back would stop everything: then a tick is a slice.
    const slice = Math.max(this.#done + 1, this.#sliceNow());
    const slices = Math.min(CATCH_UP_SLICES, slice - this.#done);
    const due = this.#take(slice);
    const share = slices * Math.max(SLICE_SENDS_MIN, Math.ceil(this.#waiting / DRAIN_SLICES));
    const frames: Frames = new Map();
    const count = Math.min(share, due.length);
    for (let i = 0; i < count; i++) this.#sendTo(due[i] as Watcher, now, frames);
    this.#waiting -= count;
    this.#late = count < due.length ? due.slice(count) : [];
  }

  /** All whose turn has come, the longest waiting first. */
  #take(slice: number): readonly Watcher[] {
    const { length } = this.#ring;
    const due = this.#late;
    const from = Math.max(this.#done + 1, slice - length + 1);
    this.#done = slice;
    for (let s = from; s <= slice; s++) {
      const turn = this.#ring[s % length] as Watcher[];
      if (turn.length === 0) continue;
      for (const watcher of turn) due.push(watcher);
      this.#ring[s % length] = [];
    }
    return due;
  }

  #sendTo(watcher: Watcher, now: Millis, frames: Frames): void {
    watcher.isQueued = false;
    const { link, window, follows } = watcher;
    if (!link.isOpen()) return;
    if (!window.isOpen(now)) {
      watcher.isBehind = true;
      return;
    }
    const [only] = follows;
    const bytes =
      follows.length === 1 && only !== undefined
        ? this.#frameOfOne(only, now, frames)
        : this.#frameOfMany(watcher, now);
    if (bytes === null) return;
    // By when it was due: that we were late is no reason to be late the next time.
    watcher.turn = Math.max(watcher.due, watcher.turn) + TURN_SLICES;
    window.sent(now);
    link.sendBytes(bytes);
  }

  /** Looked up and encoded once in a slice, however many follow the delivery. */
  #frameOfOne(follower: Follower, now: Millis, frames: Frames): Uint8Array | null {
    const { followed } = follower;
    let encoded = frames.get(followed);
    if (encoded === undefined) {
      const item = this.#itemOf(followed, now);
      encoded =
        item === null
          ? null
          : { at: item.at, bytes: serverFrames.encode({ type: "positions", positions: [item] }) };
      frames.set(followed, encoded);
    }
    if (encoded === null || !isFor(follower, encoded.at, now)) return null;
    follower.positionAt = encoded.at;
    return encoded.bytes;
  }

  #frameOfMany(watcher: Watcher, now: Millis): Uint8Array | null {
    const positions: PositionItem[] = [];
    for (const follower of watcher.follows) {
      const item = this.#itemOf(follower.followed, now);
      if (item === null || !isFor(follower, item.at, now)) continue;
      follower.positionAt = item.at;
      positions.push(item);
    }
    return positions.length === 0 ? null : serverFrames.encode({ type: "positions", positions });
  }

  /** Where the courier of a followed delivery is, as far as it is known here. */
  #itemOf({ id, row }: Followed, now: Millis): PositionItem | null {
    if (row === null || row.courierId === null) return null;
    const position = this.#positionCache.latest(row.courierId);
    if (position === null) return null;
    const { lng, lat, at } = position;
    return { delivery: id, lng, lat, at, ageMs: Math.min(AGE_MAX_MS, Math.max(0, now - at)) };
  }
}

/** Whether a position of that time is news for a follower, and theirs to know (D6). */
function isFor({ followed, watcher, positionAt }: Follower, at: Millis, now: Millis): boolean {
  const { row } = followed;
  if (row === null || at <= positionAt) return false;
  return allowed(watcher.link.principal, "position", row, now);
}
