// Two customers who use the same keys for their orders at the same time, as two shops with the same
// software do. Each must get a delivery of its own, and the same one whenever it asks again (D4).

import { setTimeout as sleep } from "node:timers/promises";
import { DispatchError } from "../../proto/errors.ts";
import { RestClient, newKey } from "../../sdk/rest.ts";
import { systemClock } from "../../sdk/clock.ts";
import { COMMAND_DEADLINE_MS, untilAnswered } from "../../sdk/retry.ts";
import type { System } from "../replay/system.ts";
import { shifted } from "../replay/world.ts";
import { madeOf } from "./history.ts";
import type { History } from "./history.ts";
import type { PullPlace } from "./places.ts";

const NAMES = ["cus_twin_1", "cus_twin_2"] as const;
const TIMEOUT_MS = 3_000;
const BETWEEN_MS = 400;

export class Twins {
  readonly #system: System;
  readonly #at: PullPlace["at"];
  readonly #history: History;
  #isEnding = false;
  #failed = 0;
  #work: Promise<void> = Promise.resolve();
  #bug: Error | null = null;

  /** `at`: where no courier is, so that their orders wait until they cancel them. */
  constructor(system: System, at: PullPlace["at"], history: History) {
    this.#system = system;
    this.#at = at;
    this.#history = history;
  }

  /** Attempts that were refused or failed so far. */
  troubles(): number {
    return this.#failed;
  }

  async open(): Promise<void> {
    const clients = await Promise.all(
      NAMES.map(async (who) => {
        const token = await this.#system.token("customer", who);
        const { publicUrl: url } = this.#system;
        const rest = new RestClient({ url, getToken: () => token, timeoutMs: TIMEOUT_MS });
        return { who, rest };
      }),
    );
    this.#work = this.#run(clients).catch((error: Error) => void (this.#bug = error));
  }

  /** After what is under way. Rejects when they stopped for a reason that is no answer. */
  async close(): Promise<void> {
    this.#isEnding = true;
    await this.#work;
    if (this.#bug !== null) throw this.#bug;
  }

  async #run(clients: readonly { who: string; rest: RestClient }[]): Promise<void> {
    while (!this.#isEnding) {
      const key = newKey();
      await Promise.all(clients.map(({ who, rest }) => this.#order(who, rest, key)));
      await sleep(BETWEEN_MS);
    }
  }

  /** Asks twice under the key and cancels. What is refused is in the history, and judged there. */
  async #order(who: string, rest: RestClient, key: string): Promise<void> {
    const input = {
      external_id: key,
      origin: shifted(this.#at, 60, 0),
      destination: shifted(this.#at, 500, 500),
      package_size: "small",
      phone: "+1-415-555-0145",
    } as const;
    const create = (): Promise<string | undefined> =>
      this.#history.run(
        { verb: "create", who, made: madeOf(input) },
        () =>
          this.#answered(() => rest.createDelivery(input, key)).then((a) => a.body?.delivery_id),
        (request, id) => (request.delivery = id ?? null),
      );
    try {
      const delivery = await create();
      await create();
      if (delivery === undefined) return;
      await this.#history.run({ verb: "cancel", who, delivery }, () =>
        this.#answered(() => rest.cancel(delivery, `${key}-cancel`)),
      );
    } catch (error) {
      if (!(error instanceof DispatchError)) throw error;
    }
  }

  #answered<T>(attempt: () => Promise<T>): Promise<T> {
    const deadlineMs = COMMAND_DEADLINE_MS;
    const onRetry = (): void => void (this.#failed += 1);
    return untilAnswered(attempt, { clock: systemClock, random: Math.random, deadlineMs, onRetry });
  }
}
