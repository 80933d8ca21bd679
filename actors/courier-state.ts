/**
 * What a courier actor knows: shift, load, holds, session, track, and the numbers of its own two
 * streams (records to the cells, frames to the app). Both rise within an epoch, and records rise
 * across epochs too (D8).
 */
import type { Vehicle } from "../proto/geo.ts";
import type { CourierId, DeliveryId, Epoch, Millis } from "../proto/ids.ts";
import type { DispatchSettings } from "../proto/limits.ts";
import type { CourierRecord, Signal, ToCourier, ToDelivery } from "../proto/messages.ts";
import type { ServerFrame } from "../proto/frames.ts";
import type { ActiveDelivery, CourierSnapshot } from "../proto/writes.ts";
import type { Effect, Step, Woke } from "./actor.ts";
import { isImplausible } from "./pings.ts";
import type { Track } from "./pings.ts";
import type { Progress } from "./progress.ts";

export type Offer = Extract<ToCourier, { type: "offer" }>;

/** Kept for a delivery until `until`; `offer` once the app may show it. */
export type Hold = {
  readonly delivery: DeliveryId;
  readonly until: Millis;
  readonly offer: Offer | null;
};

export type Carried = ActiveDelivery & { readonly progress: Progress };

export type Session = { readonly gateway: string; readonly session: string };

export type KnownCourier = {
  readonly at: "known";
  readonly id: CourierId;
  readonly vehicle: Vehicle;
  readonly capacity: number;
  readonly online: boolean;
  /** In the order in which they were taken: the first is the courier's next stop. */
  readonly active: readonly Carried[];
  readonly holds: readonly Hold[];
  readonly session: Session | null;
  readonly track: Track;
  /** Number of the last record published to the cells. */
  readonly recordNo: number;
  /** Number of the last frame of the app's stream under this epoch. */
  readonly frameNo: number;
};
export type Courier = { readonly at: "empty"; readonly id: CourierId } | KnownCourier;

export type CourierMessage =
  | ToCourier
  | Woke
  /** Activation: the row, and what the cells know of the position and the last number. */
  | {
      readonly type: "loaded";
      readonly snapshot: CourierSnapshot;
      readonly record: CourierRecord | null;
    };

/** What the actor was made with. */
export type CourierContext = { readonly settings: DispatchSettings; readonly epoch: Epoch };

export type CourierStep = Step<Courier>;
export type KnownStep = readonly [KnownCourier, ...Effect[]];

/** How the table of SPEC.md calls the states of a known courier. */
export type Standing = "empty" | "off_shift" | "free" | "held" | "carrying";

export function standingOf(courier: Courier): Standing {
  if (courier.at === "empty") return "empty";
  if (courier.active.length > 0) return "carrying";
  if (courier.holds.length > 0) return "held";
  return courier.online ? "free" : "off_shift";
}

/** Records of one epoch are numbered below those of the next, whatever the next owner has seen. */
const RECORDS_PER_EPOCH = 2 ** 30;
export const firstRecordNo = (epoch: Epoch): number => epoch * RECORDS_PER_EPOCH;

/**
 * Offers it may still take. D2: none when it carries as much as it can; the accept has the last
 * word.
 */
export function slotsOf(courier: KnownCourier, s: DispatchSettings): number {
  const { online, track, active, capacity, holds } = courier;
  if (!online || track.position === null || active.length >= capacity) return 0;
  if (isImplausible(track, s)) return 0;
  return Math.max(0, s.OFFERS_PARALLEL_MAX - holds.length);
}

/**
 * The points of a suspicion that counts, in tens: a record for each halving would be one too many.
 * 0: none that counts.
 */
const doubtOf = (track: Track, s: DispatchSettings): number =>
  isImplausible(track, s) ? Math.min(DOUBT_MAX, Math.ceil(track.suspicion.points / 10)) : 0;
const DOUBT_MAX = 255;

/** The record as the cells see it. `at` 0: no position is known. */
export function recordOf(courier: KnownCourier, s: DispatchSettings): CourierRecord {
  const { position } = courier.track;
  return {
    courier: courier.id,
    no: courier.recordNo,
    at: position?.at ?? 0,
    lng: position?.lng ?? 0,
    lat: position?.lat ?? 0,
    vehicle: courier.vehicle,
    slots: slotsOf(courier, s),
    online: courier.online,
    active: courier.active.length,
    doubt: doubtOf(courier.track, s),
  };
}

export const isSameRecord = (a: CourierRecord, b: CourierRecord): boolean =>
  a.at === b.at &&
  a.lng === b.lng &&
  a.lat === b.lat &&
  a.slots === b.slots &&
  a.online === b.online &&
  a.active === b.active &&
  a.doubt === b.doubt &&
  a.vehicle === b.vehicle;

/** A message to a delivery actor. */
export const toDelivery = (delivery: DeliveryId, msg: ToDelivery): Effect => ({
  do: "send",
  post: { kind: "delivery", id: delivery, msg },
});

export const report = (
  courier: CourierId,
  delivery: DeliveryId,
  signal: Signal,
  distanceM: number,
): Effect => toDelivery(delivery, { type: "progress", courier, signal, distanceM });

/** Frames that carry (epoch, number); the rest of them is given. */
type Numbered = Extract<ServerFrame, { number: number }>;
type Unnumbered<F> = F extends Numbered ? Omit<F, "epoch" | "number"> : never;

/**
 * Pushes a frame of the app's stream; nothing without a session: on the next one live offers are
 * shown again.
 */
export function push(
  courier: KnownCourier,
  body: Unnumbered<Numbered>,
  epoch: Epoch,
  measured: { readonly receivedAtUs: number; readonly ordinal: number },
): KnownStep {
  if (courier.session === null) return [courier];
  const number = courier.frameNo + 1;
  const frame = { ...body, epoch, number } as Numbered;
  return [
    { ...courier, frameNo: number },
    { do: "notify", ...courier.session, frame, ...measured },
  ];
}

export const NOT_MEASURED = { receivedAtUs: 0, ordinal: 0 } as const;
