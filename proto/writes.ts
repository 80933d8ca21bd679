/**
 * What an actor asks to be made durable, and what it gets back: the contract between the pure
 * actors and the store. An actor's write is conditional on its shard's epoch in the same statement
 * (D8).
 */
import type { Vehicle } from "./geo.ts";
import type { CourierId, DeliveryId, Millis } from "./ids.ts";
import type { Job } from "./messages.ts";
import type { Status, StatusReason } from "./status.ts";

/**
 * An offer on a phone: what is needed to show it once more. Metres to the pickup and seconds of the
 * way, at the offer.
 */
export type OfferRecord = {
  readonly courier: CourierId;
  readonly until: Millis;
  readonly distanceM: number;
  readonly etaS: number;
};

/** The durable part of a delivery: what the next owner needs to go on where the last one stood. */
export type DeliverySnapshot = {
  readonly job: Job;
  readonly status: Status;
  readonly version: number;
  readonly courier: CourierId | null;
  readonly assignedAt: Millis | null;
  /** Waves opened so far; 0 before the first. */
  readonly wave: number;
  /** Offers of the last rounds; those past `until` have lapsed. */
  readonly offers: readonly OfferRecord[];
  /** Everybody who was asked in this search, whatever they said. */
  readonly asked: readonly CourierId[];
  readonly nextAttemptAt: Millis | null;
  /** A replacement for `courier` is being searched. */
  readonly replacing: boolean;
};

/** The durable part of a courier. */
export type CourierSnapshot = {
  readonly courier: CourierId;
  readonly vehicle: Vehicle;
  /** Deliveries it may carry at the same time, 1 to 20. */
  readonly capacity: number;
  readonly online: boolean;
  readonly active: readonly ActiveDelivery[];
  /** Last-known position, up to 30 s old; null when there is none. */
  readonly lastKnown: { readonly lng: number; readonly lat: number; readonly at: Millis } | null;
};
export type ActiveDelivery = {
  readonly delivery: DeliveryId;
  readonly pickupLng: number;
  readonly pickupLat: number;
  readonly dropoffLng: number;
  readonly dropoffLat: number;
  readonly pickedUp: boolean;
};

/** One write of an actor. */
export type ActorWrite =
  | {
      /**
       * A round of the offer protocol: who has an offer now, and when to look again. Changes no
       * status.
       */
      readonly kind: "round";
      readonly delivery: DeliveryId;
      /**
       * The row's version that this round was decided on. A row of another version is left alone
       * (superseded): else a round of a replacement search, decided just before its accept, would
       * put the new courier up for replacement.
       */
      readonly version: number;
      readonly wave: number;
      readonly offers: readonly OfferRecord[];
      readonly asked: readonly CourierId[];
      readonly nextAttemptAt: Millis;
      /** True: written on an assigned delivery whose courier is to be replaced. */
      readonly replacing: boolean;
      /** Shown as `status_reason` while it waits. */
      readonly reason: StatusReason | null;
    }
  | {
      /** The search is over and nobody took it: `pending -> unfilled`. */
      readonly kind: "unfilled";
      readonly delivery: DeliveryId;
      readonly reason: StatusReason;
    }
  | { readonly kind: "shift"; readonly courier: CourierId; readonly online: boolean };

export type WriteOutcome =
  | { readonly outcome: "recorded" }
  /**
   * The row has moved on (accepted, canceled, newer epoch): here is how it stands; null when it is
   * gone.
   */
  | { readonly outcome: "superseded"; readonly snapshot: DeliverySnapshot | null }
  /** A newer epoch exists: this node no longer owns the shard. */
  | { readonly outcome: "fenced" };
