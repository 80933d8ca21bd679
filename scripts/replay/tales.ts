/**
 * What happened to each delivery of a replay, as seen from outside: the wall-clock times at which
 * the bots sent and received things. It also keeps what the server acknowledged, which the checker
 * holds against the database at the end.
 */
import { DispatchError } from "../../proto/errors.ts";
import type { NewDelivery } from "../../sdk/rest.ts";
import type { Place } from "./world.ts";

/** An estimate and when it was made, milliseconds of the wall clock. */
export type Estimate = {
  readonly madeAt: number;
  readonly pickupAt: number | null;
  readonly arrivalAt: number | null;
};

/** All times in milliseconds of the wall clock, null while it has not happened. */
export type Tale = {
  readonly id: string;
  createSentAt: number | null;
  createdAt: number | null;
  origin: Place | null;
  destination: Place | null;
  offers: number;
  firstOfferAt: number | null;
  /** Of the courier who took it: metres from the pickup at the offer, as the server said. */
  pickupDistanceM: number | null;
  acceptSentAt: number | null;
  acceptedAt: number | null;
  courier: string | null;
  pickedUpAt: number | null;
  /** When it was over, however. */
  endedAt: number | null;
  status: "open" | "delivered" | "canceled" | "unfilled" | "returned";
  reason: string | null;
  /** Ended by the replay itself because its time was over. */
  cutOff: boolean;
  readonly estimates: { create?: Estimate; assigned?: Estimate; pickedUp?: Estimate };
};

/** What the server said yes to. */
export type Acknowledged = {
  readonly creates: {
    readonly id: string;
    readonly customer: string;
    readonly key: string;
    readonly input: NewDelivery;
    readonly answer: unknown;
  }[];
  readonly accepts: { readonly delivery: string; readonly courier: string }[];
  readonly statuses: { readonly delivery: string; readonly status: string }[];
  readonly cancels: string[];
};

/** In the form of those that the check of rows and events finds. */
export type SeenViolation = {
  readonly rule: "D4" | "D6";
  readonly delivery: string;
  readonly text: string;
};

export class Tales {
  readonly all = new Map<string, Tale>();
  readonly acknowledged: Acknowledged = { creates: [], accepts: [], statuses: [], cancels: [] };
  readonly counts = new Map<string, number>();
  /** Refusals and failures that reached the application, by `who code`. */
  readonly errors = new Map<string, number>();
  /** What the SDK repeated until it worked, by `who code`. */
  readonly healed = new Map<string, number>();
  /** Broken promises that the bots themselves saw. */
  readonly violations: SeenViolation[] = [];

  /**
   * The tale of a delivery; begun by whoever hears of it first (an offer may overtake the create's
   * answer).
   */
  of(id: string): Tale {
    const known = this.all.get(id);
    if (known !== undefined) return known;
    const tale: Tale = {
      id,
      createSentAt: null,
      createdAt: null,
      origin: null,
      destination: null,
      offers: 0,
      firstOfferAt: null,
      pickupDistanceM: null,
      acceptSentAt: null,
      acceptedAt: null,
      courier: null,
      pickedUpAt: null,
      endedAt: null,
      status: "open",
      reason: null,
      cutOff: false,
      estimates: {},
    };
    this.all.set(id, tale);
    return tale;
  }

  /** Those that this replay created; others are left over from an earlier one. */
  own(): Tale[] {
    return [...this.all.values()].filter((tale) => tale.createdAt !== null);
  }

  count(name: string, by = 1): void {
    this.counts.set(name, (this.counts.get(name) ?? 0) + by);
  }
  error(who: string, error: unknown): void {
    add(this.errors, `${who} ${codeOf(error)}`);
  }
  heal(who: string, error: unknown): void {
    add(this.healed, `${who} ${codeOf(error)}`);
  }
}

const add = (map: Map<string, number>, key: string): void => {
  map.set(key, (map.get(key) ?? 0) + 1);
};

const codeOf = (error: unknown): string => {
  if (error instanceof DispatchError) return error.code;
  throw error; // A bug of the replay, not the system's failure.
};
