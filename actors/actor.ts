/**
 * What an actor is: a pure, total step function and the effects it may ask for. The host
 * (`engine/host/host.ts`) does the I/O, in this order: commit, then ledger, index, send, notify and
 * answer, then arm the alarm. An actor never sees a clock, a socket, a promise or a random number;
 * what it needs comes in its messages.
 */
import type { LngLat, PackageSize, Vehicle } from "../proto/geo.ts";
import type { CourierId, DeliveryId, Millis } from "../proto/ids.ts";
import type { CourierRecord } from "../proto/messages.ts";
import type { Posted } from "../proto/posts.ts";
import type { ServerFrame } from "../proto/frames.ts";
import type { ErrorCode } from "../proto/errors.ts";
import type { ActorWrite } from "../proto/writes.ts";

/** A candidate as the search found it, best first. `etaS`: travel time to the pickup, seconds. */
export type Candidate = {
  readonly courier: CourierId;
  readonly distanceM: number;
  readonly etaS: number;
};

/**
 * A ring search of the cell index around a pickup. The host answers with `candidates` before any
 * other message.
 */
export type SearchQuery = {
  readonly delivery: DeliveryId;
  readonly pickup: LngLat;
  readonly radiusM: number;
  readonly max: number;
  readonly size: PackageSize;
  readonly vehicle: Vehicle | null;
  /** Never candidates: asked before, or the courier to be replaced. */
  readonly exclude: readonly CourierId[];
};

/** The answer to a search. `gates` counts who was removed by which gate, for the ledger. */
export type SearchResult = {
  readonly radiusM: number;
  readonly candidates: readonly Candidate[];
  readonly gates: Readonly<Record<string, number>>;
};

/** One line of the decision ledger: a type name and JSON details. */
export type LedgerLine = { readonly type: string; readonly [detail: string]: unknown };

export type Effect =
  /** At most one a step. The new state and all other effects stand only once it is recorded. */
  | { readonly do: "commit"; readonly write: ActorWrite }
  | { readonly do: "send"; readonly post: Posted }
  | { readonly do: "search"; readonly query: SearchQuery }
  /**
   * Read this delivery's row again and hand it over as `resumed` (`superseded` with null when it is
   * gone). For what may have been missed; the host may be late with it, or fail: it is asked for
   * again.
   */
  | { readonly do: "reload"; readonly delivery: DeliveryId }
  /** To the courier's own session; lost when the session is gone. */
  | {
      readonly do: "notify";
      readonly gateway: string;
      readonly session: string;
      readonly frame: ServerFrame;
      readonly receivedAtUs: number;
      readonly ordinal: number;
    }
  | { readonly do: "ledger"; readonly delivery: DeliveryId; readonly lines: readonly LedgerLine[] }
  /** Publish the courier's record to the cells. */
  | { readonly do: "index"; readonly record: CourierRecord }
  /** An accepted position, for the track history. */
  | {
      readonly do: "history";
      readonly courier: CourierId;
      readonly at: Millis;
      readonly lng: number;
      readonly lat: number;
    }
  /** Answers the request that this message was; nothing when it was none. */
  | { readonly do: "answer"; readonly code: "ok" | ErrorCode; readonly online: boolean | null };

/** The new state (the very same object when nothing changed) and the effects, in order. */
export type Step<S> = readonly [S, ...Effect[]];

/** One kind of actor. `M` are all messages it understands, those of the host included. */
export type Actor<S, M> = {
  readonly step: (state: S, message: M, now: Millis) => Step<S>;
  /** When the host must send `woke`, if ever: read off the state, so a restart re-arms it. */
  readonly deadline: (state: S) => Millis | null;
  /** True when nothing is lost by dropping it from memory. */
  readonly mayPassivate: (state: S) => boolean;
};

/** The alarm of the host. */
export type Woke = { readonly type: "woke" };

/** What a robot of test mode does (`robot.ts`); the engine does it for it. */
export type RobotDeed =
  /** Be there, on shift, at a place, and have the delivery look for couriers. */
  | {
      readonly do: "stand";
      readonly robot: CourierId;
      readonly at: LngLat;
      readonly vehicle: Vehicle;
    }
  | { readonly do: "accept"; readonly robot: CourierId }
  | { readonly do: "ride"; readonly robot: CourierId; readonly at: LngLat }
  | {
      readonly do: "report";
      readonly robot: CourierId;
      readonly status: "picked_up" | "delivered" | "returned";
    }
  /** Go off shift: another has it. */
  | { readonly do: "leave"; readonly robot: CourierId }
  /** The operator cancels. */
  | { readonly do: "cancel" };
