/**
 * What clients see of a delivery, a courier and an assignment: one shape for REST bodies, WebSocket
 * frames and the SDK. Times are RFC 3339 in UTC, coordinates `{lat, lng}` in degrees. Field names
 * are the REST contract's (snake case).
 */
import type { PackageSize, Vehicle } from "./geo.ts";
import type { Status } from "./status.ts";

export type StopView = {
  readonly address: string | null;
  readonly lat: number;
  readonly lng: number;
};

export type DeliveryView = {
  readonly id: string;
  /** Rises by one with each status event; equals the number of the latest event (D5). */
  readonly version: number;
  readonly status: Status;
  /** A `StatusReason`, with the caller's own words after a colon where there are some. */
  readonly status_reason: string | null;
  readonly origin: StopView;
  readonly destination: StopView;
  readonly package_size: PackageSize;
  readonly external_id: string | null;
  /** Null before the assignment; name and phone only while the delivery is carried. */
  readonly courier: {
    readonly id: string;
    readonly name: string | null;
    readonly phone: string | null;
    readonly vehicle: Vehicle;
  } | null;
  /** Null outside `assigned` and `picked_up`. `age_s` is the age when the answer was made. */
  readonly courier_location: {
    readonly lat: number;
    readonly lng: number;
    readonly updated_at: string;
    readonly age_s: number;
  } | null;
  readonly estimated_pickup_time: string | null;
  readonly estimated_arrival: string | null;
  readonly created_at: string;
  readonly assigned_at: string | null;
  readonly picked_up_at: string | null;
  readonly delivered_at: string | null;
  /** When it reached any terminal status. */
  readonly ended_at: string | null;
  /** Of a test: a robot carries it, nobody else ever hears of it. */
  readonly test: boolean;
};

/** What the courier who carries a delivery needs to know of it. */
export type AssignmentView = {
  readonly id: string;
  readonly version: number;
  readonly status: Status;
  readonly origin: StopView;
  readonly destination: StopView;
  readonly package_size: PackageSize;
  readonly phone: string;
  readonly recipient_phone: string | null;
  readonly notes: string | null;
  readonly assigned_at: string;
};

export type AvailableView = {
  readonly id: string;
  readonly origin: StopView;
  readonly destination: StopView;
  readonly distance_km: number;
  readonly estimated_pickup_time: string;
  readonly package_size: PackageSize;
};

/** One courier of the live fleet, for operators. */
export type CourierView = {
  readonly id: string;
  readonly name: string;
  readonly phone: string;
  readonly vehicle: Vehicle;
  readonly capacity: number;
  readonly online: boolean;
  readonly active_deliveries: number;
  readonly location: DeliveryView["courier_location"];
  /** How implausible its pings were lately, 0 to 100; above 0 it is offered nothing. */
  readonly doubt: number;
};

/**
 * One line of a delivery's ledger: what the engine decided and why. `type` is the name in
 * `actors/ledger.ts`.
 */
export type LedgerEntry = {
  readonly at: string;
  readonly type: string;
  readonly [detail: string]: unknown;
};
