// Couriers without a socket: they look for work with GET /v1/deliveries/available, accept by REST
// and report by REST, all day long. It is what is left of dispatch while all of NATS is away, and
// must work then. Each stands where no other courier is, with a customer beside him whose
// deliveries only he takes; every request goes into the history.

import { setTimeout as sleep } from "node:timers/promises";
import { DispatchError } from "../../proto/errors.ts";
import { RestClient, newKey } from "../../sdk/rest.ts";
import { systemClock } from "../../sdk/clock.ts";
import { COMMAND_DEADLINE_MS, untilAnswered } from "../../sdk/retry.ts";
import type { System } from "../replay/system.ts";
import { shifted } from "../replay/world.ts";
import { madeOf, nowMs, patiently } from "./history.ts";
import type { History, Request } from "./history.ts";
import type { PullPlace } from "./places.ts";

const CUSTOMER = "cus_pull";
const TIMEOUT_MS = 3_000;
const LOOK_MS = 100;
/** One that was answered 202 is there to be seen once Postgres is back. */
const SEEN_DEADLINE_MS = 60_000;
const BETWEEN_MS = 200;

type What = Pick<Request, "verb" | "who"> & Partial<Request>;

export class Pullers {
  readonly #system: System;
  readonly #places: readonly PullPlace[];
  readonly #history: History;
  readonly #work: Promise<void>[] = [];
  #isEnding = false;
  #failed = 0;
  #bug: Error | null = null;
  #customer: RestClient | null = null;

  constructor(system: System, places: readonly PullPlace[], history: History) {
    this.#system = system;
    this.#places = places;
    this.#history = history;
  }

  /** Attempts that were refused or failed so far. */
  troubles(): number {
    return this.#failed;
  }

  /** Takes the couriers on shift and begins. */
  async open(): Promise<void> {
    const admin = await this.#client("operator", "ops_faults");
    this.#customer = await this.#client("customer", CUSTOMER);
    for (const { courier, at } of this.#places) {
      const profile = { name: "Pull", phone: "+1-415-555-0143", capacity: 20 };
      await patiently(() => admin.putCourier(courier, { ...profile, vehicle: "bike" }));
      const client = await this.#client("courier", courier);
      await patiently(() => client.shift(true, newKey()));
      await patiently(() => client.location(at, newKey()));
      const riding = this.#ride(courier, at, client);
      this.#work.push(riding.catch((error: Error) => void (this.#bug = error)));
    }
  }

  /** After what is under way. Rejects when a courier stopped for a reason that is no answer. */
  async close(): Promise<void> {
    this.#isEnding = true;
    await Promise.all(this.#work);
    if (this.#bug !== null) throw this.#bug;
  }

  async #client(role: "operator" | "customer" | "courier", sub: string): Promise<RestClient> {
    const token = await this.#system.token(role, sub);
    const { publicUrl: url } = this.#system;
    return new RestClient({ url, getToken: () => token, timeoutMs: TIMEOUT_MS });
  }

  async #ride(who: string, at: PullPlace["at"], courier: RestClient): Promise<void> {
    while (!this.#isEnding) {
      try {
        await this.#once(who, at, courier);
      } catch (error) {
        // It is in the history; whether it was right to refuse is judged there.
        if (!(error instanceof DispatchError)) throw error;
      }
      await sleep(BETWEEN_MS);
    }
  }

  async #once(who: string, at: PullPlace["at"], courier: RestClient): Promise<void> {
    const customer = this.#customer;
    if (customer === null) return;
    const key = newKey();
    const input = {
      external_id: key,
      origin: shifted(at, 60, 0),
      destination: shifted(at, 500, 500),
      package_size: "small",
      phone: "+1-415-555-0143",
    } as const;
    const made = await this.#ask(
      { verb: "create", who: CUSTOMER, made: madeOf(input) },
      () => customer.createDelivery(input, key),
      (request, { body }) => (request.delivery = body?.delivery_id ?? null),
    );
    const delivery = made.body?.delivery_id;
    if (delivery === undefined || !(await this.#seen(courier, at, delivery))) return;
    const keyOf = (verb: string): string => `${key}-${verb}`;
    await this.#ask({ verb: "accept", who, delivery }, () =>
      courier.accept(delivery, keyOf("accept")),
    );
    await this.#ask(
      { verb: "read", who: CUSTOMER, delivery },
      () => customer.delivery(delivery),
      (request, { body }) => {
        request.status = body?.status ?? null;
        request.courier = body?.courier?.id ?? null;
      },
    );
    for (const status of ["picked_up", "delivered"] as const) {
      await this.#ask({ verb: "status", who, delivery, status }, () =>
        courier.reportStatus(delivery, { status }, keyOf(status)),
      );
    }
  }

  /** Whether the delivery comes to be among those that wait. */
  async #seen(courier: RestClient, at: PullPlace["at"], delivery: string): Promise<boolean> {
    const until = nowMs() + SEEN_DEADLINE_MS;
    while (nowMs() < until) {
      try {
        const all = await courier.available(at);
        if (all.some(({ id }) => id === delivery)) return true;
      } catch (error) {
        if (!(error instanceof DispatchError)) throw error;
        this.#failed += 1;
      }
      await sleep(LOOK_MS);
    }
    return false;
  }

  /** One request of the history, repeated under its key until it is answered. */
  #ask<T>(
    what: What,
    attempt: () => Promise<T>,
    note?: (request: Request, answer: T) => void,
  ): Promise<T> {
    const options = {
      clock: systemClock,
      random: Math.random,
      deadlineMs: COMMAND_DEADLINE_MS,
      onRetry: () => (this.#failed += 1),
    };
    return this.#history.run(what, () => untilAnswered(attempt, options), note);
  }
}
