/**
 * What one phone has been told of each delivery that it follows, up to which version, without a gap
 * (D5): over all its connections and by polling. It mirrors what the SDK makes of the same answers,
 * so a version that is jumped over in silence, foreign or missing events in `passed`, and a `track`
 * that goes on from a wrong version are all seen.
 */
import type { DeliveryEvent } from "../proto/events.ts";
import type { History } from "./history.ts";

type Told = { version: number; isGap: boolean };

export class ToldVersions {
  readonly #history: History;
  readonly #who: string;
  readonly #told = new Map<string, Told>();
  readonly #asked = new Set<string>();

  constructor(history: History, who: string) {
    this.#history = history;
    this.#who = who;
  }

  /** The app asks to go on after that version. */
  asked(delivery: string, after: number | null): void {
    this.#asked.add(delivery);
    const version = this.#told.get(delivery)?.version ?? null;
    const isKnown = after === null || (version !== null && after <= version);
    this.#demand(isKnown, delivery, `goes on after version ${after}, it was told ${version}`);
    if (after === null) this.#told.delete(delivery);
    // What it was told and did not take in is told again.
    else this.#told.set(delivery, { version: after, isGap: false });
  }

  passed(delivery: string, recovered: boolean, events: readonly DeliveryEvent[]): void {
    const told = this.#told.get(delivery);
    if (told === undefined) return;
    if (!recovered) {
      told.isGap = true;
      return;
    }
    for (const { delivery_id, number } of events) {
      const isNext = delivery_id === delivery && number <= told.version + 1;
      const text = `is told event ${number} of ${delivery_id} after version ${told.version}`;
      this.#demand(isNext, delivery, text);
      told.version = Math.max(told.version, number);
    }
  }

  /** A state of the delivery came over the socket. */
  shown(delivery: string, version: number): void {
    const told = this.#told.get(delivery);
    if (told === undefined) {
      this.#told.set(delivery, { version, isGap: false });
      return;
    }
    const isNext = told.isGap || version <= told.version + 1;
    this.#demand(
      isNext,
      delivery,
      `is shown version ${version} after ${told.version}, no word between`,
    );
    told.version = Math.max(told.version, version);
    told.isGap = false;
  }

  /** D6: a position comes for what this phone has asked to follow, and for nothing else. */
  moved(delivery: string): void {
    const text = `${this.#who} is shown a position of ${delivery}, which it never followed`;
    this.#history.demand(this.#told.has(delivery) || this.#asked.has(delivery), "D6", text, [
      delivery,
    ]);
  }

  /** Polling may jump over a version: the socket tells it later. */
  polled(delivery: string, version: number): void {
    const told = this.#told.get(delivery);
    if (told === undefined) this.#told.set(delivery, { version, isGap: false });
    else if (version === told.version + 1) told.version = version;
  }

  #demand(holds: boolean, delivery: string, what: string): void {
    if (!holds) this.#history.violate("D5", `${this.#who} ${what} (${delivery})`, [delivery]);
  }
}
