/** What a courier's app hands to its client, and what it hears from it. */
import type { DispatchError } from "../proto/errors.ts";
import type { PingReason } from "../proto/frames.ts";
import type { DeliveryId } from "../proto/ids.ts";
import type { AssignmentView, AvailableView } from "../proto/views.ts";
import type { Connection } from "./connection.ts";
import type { Offer } from "./offer-book.ts";
import type { Point } from "./rest.ts";
import type { SessionOptions } from "./session.ts";

/** Where the number of the last ping is kept across restarts of the app (localStorage, a file). */
export type SeqStore = {
  readonly load: () => number | null;
  readonly save: (seq: number) => void;
};

export type CourierOptions = SessionOptions & {
  readonly seqStore?: SeqStore | undefined;
  /** Pings kept while offline, default 500. */
  readonly pingsKeptMax?: number | undefined;
  readonly fetch?: typeof globalThis.fetch | undefined;
  /** After so long a command gives up with its last error, milliseconds. */
  readonly commandDeadlineMs?: number | undefined;
};

export type Position = Point & {
  /** When it was measured, milliseconds since 1970; now when absent. */
  readonly at?: number;
  readonly accuracyM?: number;
  readonly speedMps?: number;
  readonly headingDeg?: number;
};
export type CourierEvents = {
  offer: Offer;
  withdrawn: { delivery: DeliveryId; reason: string };
  assignment: AssignmentView;
  assignmentOver: { delivery: string; reason: string };
  /**
   * Offers or their ends that never came; null: how many is not known. Offers that ended meanwhile
   * are `withdrawn` with the reason `not_recovered`.
   */
  gap: { missed: number | null };
  /**
   * What waits near by, nearest first, asked for over REST with each position while no socket gets
   * through: there are no offers then. Take one with `accept`.
   */
  available: readonly AvailableView[];
  /** The server wants pings at another interval; `startReporting` obeys by itself. */
  pingInterval: { intervalMs: number; why: PingReason };
  state: Connection;
  error: DispatchError;
  /**
   * A command or ping that the connection did not carry at the first attempt and that is repeated.
   */
  healed: DispatchError;
};
