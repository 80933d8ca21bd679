// The history of a run: every request of every client with the moments at which it was sent and
// answered. An answer is yes, a refusal, or unknown: then the request may have been done, or may be
// done later. The clients below are those of the SDK with a pen in their hand.

import { DispatchError, ERRORS } from "../../proto/errors.ts";
import type { ReportedStatus } from "../../proto/frames.ts";
import type { DeliveryView } from "../../proto/views.ts";
import { CourierClient } from "../../sdk/courier-client.ts";
import type { CourierOptions } from "../../sdk/courier-client.ts";
import { CustomerClient } from "../../sdk/customer-client.ts";
import type { CustomerOptions } from "../../sdk/customer-client.ts";
import { systemClock } from "../../sdk/clock.ts";
import type { CreatedDelivery, NewDelivery } from "../../sdk/rest.ts";
import { COMMAND_DEADLINE_MS, untilAnswered } from "../../sdk/retry.ts";

export type Verb = "create" | "accept" | "status" | "cancel" | "read" | "decline";

export type Outcome =
  | { readonly is: "ok" }
  | { readonly is: "refused"; readonly code: string }
  | { readonly is: "unknown"; readonly code: string };

/** What a create asked for; places are null where it named addresses. */
export type Made = {
  readonly externalId: string | null;
  readonly size: string;
  readonly pickupLng: number | null;
  readonly pickupLat: number | null;
  readonly dropoffLng: number | null;
  readonly dropoffLat: number | null;
};

export const madeOf = (input: NewDelivery): Made => ({
  externalId: input.external_id ?? null,
  size: input.package_size,
  pickupLng: input.origin?.lng ?? null,
  pickupLat: input.origin?.lat ?? null,
  dropoffLng: input.destination?.lng ?? null,
  dropoffLat: input.destination?.lat ?? null,
});

export type Request = {
  readonly verb: Verb;
  /** The courier or customer. */
  readonly who: string;
  /** Null for a create whose answer never came. */
  delivery: string | null;
  /** The status reported or read; null for the other verbs. */
  status: string | null;
  /** Read: whose it is. */
  courier: string | null;
  /** Milliseconds of the suite's own, steady clock. */
  readonly sentAt: number;
  /** Null while it is under way. */
  endedAt: number | null;
  outcome: Outcome;
  /** Of a create. */
  readonly made?: Made;
};

export const nowMs = (): number => performance.timeOrigin + performance.now();

export class History {
  readonly requests: Request[] = [];

  /** Does `work` and writes down how it went; what it throws is thrown on. */
  async run<T>(
    what: Pick<Request, "verb" | "who"> & Partial<Request>,
    work: () => Promise<T>,
    note?: (request: Request, answer: T) => void,
  ): Promise<T> {
    const request: Request = {
      delivery: null,
      status: null,
      courier: null,
      ...what,
      sentAt: nowMs(),
      endedAt: null,
      outcome: { is: "unknown", code: "under_way" },
    };
    this.requests.push(request);
    try {
      const answer = await work();
      request.outcome = { is: "ok" };
      note?.(request, answer);
      return answer;
    } catch (error) {
      request.outcome = outcomeOf(error);
      throw error;
    } finally {
      request.endedAt = nowMs();
    }
  }
}

/** What can be tried again is unknown: an attempt may have been done without its answer coming. */
function outcomeOf(error: unknown): Outcome {
  if (!(error instanceof DispatchError)) return { is: "unknown", code: String(error) };
  const { code } = error;
  const isUnknown = ERRORS[code].retryable || code === "internal";
  return { is: isUnknown ? "unknown" : "refused", code };
}

/**
 * Does what prepares a run, again where it is refused for the moment: a machine may be slow to get
 * going.
 */
export function patiently<T>(attempt: () => Promise<T>): Promise<T> {
  const deadlineMs = COMMAND_DEADLINE_MS;
  return untilAnswered(attempt, { clock: systemClock, random: Math.random, deadlineMs });
}

export class RecordedCourier extends CourierClient {
  readonly #history: History;
  readonly #who: string;

  constructor(who: string, options: CourierOptions, history: History) {
    super(options);
    this.#who = who;
    this.#history = history;
  }

  override accept(delivery: string): Promise<void> {
    const what = { verb: "accept", who: this.#who, delivery } as const;
    return this.#history.run(what, () => super.accept(delivery));
  }
  override decline(delivery: string, reason: string | null = null): Promise<void> {
    const what = { verb: "decline", who: this.#who, delivery } as const;
    return this.#history.run(what, () => super.decline(delivery, reason));
  }
  override reportStatus(
    delivery: string,
    status: ReportedStatus,
    more: { at?: number; reason?: string } = {},
  ): Promise<void> {
    const what = { verb: "status", who: this.#who, delivery, status } as const;
    return this.#history.run(what, () => super.reportStatus(delivery, status, more));
  }
}

export class RecordedCustomer extends CustomerClient {
  readonly #history: History;
  readonly #who: string;

  constructor(who: string, options: CustomerOptions, history: History) {
    super(options);
    this.#who = who;
    this.#history = history;
  }

  override createDelivery(input: NewDelivery, key?: string): Promise<CreatedDelivery> {
    return this.#history.run(
      { verb: "create", who: this.#who, made: madeOf(input) },
      () => super.createDelivery(input, key),
      (request, answer) => (request.delivery = answer.delivery_id),
    );
  }
  override get(delivery: string): Promise<DeliveryView> {
    return this.#history.run(
      { verb: "read", who: this.#who, delivery },
      () => super.get(delivery),
      (request, answer) => {
        request.status = answer.status;
        request.courier = answer.courier?.id ?? null;
      },
    );
  }
  override cancel(delivery: string): Promise<void> {
    const what = { verb: "cancel", who: this.#who, delivery } as const;
    return this.#history.run(what, () => super.cancel(delivery));
  }
}
