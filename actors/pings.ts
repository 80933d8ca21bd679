/**
 * Which pings are believed. A phone repeats, queues, jumps and lies about the time; a position
 * moves only by a ping that is newer, fresh and could have been travelled. A courier who really is
 * elsewhere (a ferry, a new phone) is believed after a few pings in a row that agree with each
 * other. Pure; who sent it was settled at the door.
 *
 * Each jump that could not have been travelled adds to the track's suspicion, which halves with
 * time. A courier under suspicion is offered nothing (`courier-state.ts`); nobody is banned, since
 * a tunnel looks like a lie for a moment.
 */
import type { Millis } from "../proto/ids.ts";
import { PINGS_DOUBTED_MAX, PING_SEQ_RESET_PINGS } from "../proto/limits.ts";
import type { DispatchSettings } from "../proto/limits.ts";
import { distanceM } from "./geo.ts";

/** Where a courier was, by the phone's own time. */
export type Fix = { readonly lng: number; readonly lat: number; readonly at: Millis };

export type Track = {
  readonly position: Fix | null;
  /** When the last believed ping arrived. */
  readonly heardAt: Millis;
  /** Highest number of a believed ping; null before the first. */
  readonly seq: number | null;
  /** The last of `count` pings in a row that were not believed but agree with each other. */
  readonly doubt: (Fix & { readonly seq: number; readonly count: number }) | null;
  /** What was jumped so far, as it stood `at` that time. */
  readonly suspicion: Suspicion;
};

/**
 * `points`: JUMP_POINTS for each jump, halved every PING_DOUBT_HALF_MS; 0 to SUSPICION_MAX_POINTS.
 */
export type Suspicion = { readonly points: number; readonly at: Millis };
export const NO_SUSPICION: Suspicion = { points: 0, at: 0 };
const JUMP_POINTS = 100;
/** However often somebody jumped: what was is forgiven after some ten half-lives. */
const SUSPICION_MAX_POINTS = 1_000;
/** Less is nothing. */
const FORGIVEN_POINTS = 1;

/** What is left of a suspicion. A clock that steps back forgives nothing. */
export function suspicionAt(before: Suspicion, now: Millis, s: DispatchSettings): Suspicion {
  if (before.points === 0) return before;
  const points = before.points * 2 ** (-Math.max(0, now - before.at) / s.PING_DOUBT_HALF_MS);
  return points < FORGIVEN_POINTS ? NO_SUSPICION : { points, at: now };
}

/** Too much to be offered anything. It was worked out when the last ping that counts came. */
export const isImplausible = ({ suspicion }: Track, s: DispatchSettings): boolean =>
  suspicion.points > s.PING_DOUBT_MAX;

/** `newest`: false for all but the last of an offline batch. `seq` 0: not numbered (REST). */
export type Ping = Fix & { readonly seq: number; readonly newest: boolean };

/**
 * `moves`: it is the position now. `history`: believed, but not now. `refused`: no trace of it is
 * kept.
 */
export type Verdict = "moves" | "history" | "refused";

/** Two fixes a moment apart may differ by so much though nobody moved, metres. */
const FIX_ERROR_M = 100;

const isTravelled = (from: Fix | null, to: Fix, s: DispatchSettings): boolean =>
  from === null ||
  distanceM(from, to) <= (Math.abs(to.at - from.at) / 1_000) * s.PING_SPEED_MAX_MPS + FIX_ERROR_M;

/** Judges one ping; the track is the very same object when the ping changes nothing at all. */
export function judge(
  track: Track,
  ping: Ping,
  now: Millis,
  s: DispatchSettings,
): { readonly verdict: Verdict; readonly track: Track } {
  const { position, seq } = track;
  const refused = { verdict: "refused", track } as const;
  if (ping.at > now + s.PING_AHEAD_MAX_MS) return refused;
  const isLater = position === null || ping.at > position.at;
  const isNextSeq = ping.seq === 0 || seq === null || ping.seq > seq;
  const isNewApp = seq !== null && isLater && seq - ping.seq >= PING_SEQ_RESET_PINGS;
  const isBelieved = (isNextSeq || isNewApp) && isTravelled(position, ping, s);
  if (!ping.newest || ping.at < now - s.PING_AGE_MAX_MS) {
    if (!isBelieved || !isNextSeq) return refused;
    return { verdict: "history", track: { ...track, seq: laterSeq(track, ping) } };
  }
  if (!isLater) return refused;
  if (!isBelieved) return doubt(track, ping, now, s);
  return { verdict: "moves", track: moved(track, ping, now, isNewApp, s) };
}

const laterSeq = ({ seq }: Track, ping: Ping): number | null => (ping.seq === 0 ? seq : ping.seq);

const moved = (
  track: Track,
  ping: Ping,
  now: Millis,
  isNewApp: boolean,
  s: DispatchSettings,
): Track => ({
  position: { lng: ping.lng, lat: ping.lat, at: ping.at },
  heardAt: now,
  seq: isNewApp ? ping.seq : laterSeq(track, ping),
  doubt: null,
  suspicion: suspicionAt(track.suspicion, now, s),
});

function doubt(
  track: Track,
  ping: Ping,
  now: Millis,
  s: DispatchSettings,
): { readonly verdict: Verdict; readonly track: Track } {
  const { doubt: before } = track;
  const { lng, lat, at, seq } = ping;
  if (before !== null && at <= before.at) return { verdict: "refused", track };
  const isAgreed =
    before !== null && (seq > before.seq || seq === 0) && isTravelled(before, ping, s);
  const count = isAgreed ? before.count + 1 : 1;
  if (count >= PINGS_DOUBTED_MAX) {
    return { verdict: "moves", track: moved(track, ping, now, true, s) };
  }
  const next = { ...track, doubt: { lng, lat, at, seq, count } };
  // Pings that agree with the doubted one are no further jumps, and an old number alone is none at
  // all.
  const isJump = !isAgreed && !isTravelled(track.position, ping, s);
  const suspicion = isJump ? jumped(track.suspicion, now, s) : suspicionAt(track.suspicion, now, s);
  return { verdict: "refused", track: { ...next, suspicion } };
}

function jumped(before: Suspicion, now: Millis, s: DispatchSettings): Suspicion {
  const { points } = suspicionAt(before, now, s);
  return { points: Math.min(SUSPICION_MAX_POINTS, points + JUMP_POINTS), at: now };
}
