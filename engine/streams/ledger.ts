/**
 * The decision ledger's way to its stream: lines of one delivery are gathered for a moment and
 * published as one message, because the stream syncs to disk for each. Nothing waits for it; what
 * does not fit is dropped and counted. Losing its tail loses explanations, not truth.
 */
import type { DeliveryId, Millis } from "../../proto/ids.ts";
import { LEDGER_ENTRIES_MAX } from "../../proto/limits.ts";
import type { Subjects } from "../../proto/subjects.ts";
import type { LedgerEntry } from "../../proto/views.ts";
import type { LedgerLines } from "../host/ports.ts";
import type { Clock } from "../io/clock.ts";
import type { StreamPublisher } from "./stream-publisher.ts";

const GATHER_MS = 500;
/** Deliveries with lines that wait; more are dropped. */
const DELIVERIES_MAX = 20_000;

export type LedgerPorts = {
  readonly clock: Clock;
  readonly subjects: Subjects;
  readonly publisher: Pick<StreamPublisher, "publish" | "outstanding">;
  readonly onDropped: (lines: number) => void;
};

export class Ledger {
  readonly #ports: LedgerPorts;
  readonly #waiting = new Map<DeliveryId, LedgerEntry[]>();
  #scheduled = false;

  constructor(ports: LedgerPorts) {
    this.#ports = ports;
  }

  /** Messages that the stream has not acknowledged. */
  outstanding(): number {
    return this.#ports.publisher.outstanding();
  }

  add(delivery: DeliveryId, lines: LedgerLines, now: Millis): void {
    let entries = this.#waiting.get(delivery);
    if (entries === undefined) {
      if (this.#waiting.size >= DELIVERIES_MAX) return this.#ports.onDropped(lines.length);
      this.#waiting.set(delivery, (entries = []));
    }
    const at = new Date(now).toISOString();
    for (const line of lines) entries.push({ at, ...line });
    if (entries.length >= LEDGER_ENTRIES_MAX) {
      this.#publish(delivery, entries);
      this.#waiting.delete(delivery);
    }
    if (this.#scheduled) return;
    this.#scheduled = true;
    this.#ports.clock.after(GATHER_MS, () => this.flush());
  }

  flush(): void {
    this.#scheduled = false;
    for (const [delivery, entries] of this.#waiting) this.#publish(delivery, entries);
    this.#waiting.clear();
  }

  #publish(delivery: DeliveryId, entries: readonly LedgerEntry[]): void {
    for (let from = 0; from < entries.length; from += LEDGER_ENTRIES_MAX) {
      const part = entries.slice(from, from + LEDGER_ENTRIES_MAX);
      const data = Buffer.from(JSON.stringify(part));
      if (!this.#ports.publisher.publish(this.#ports.subjects.ledger(delivery), data))
        this.#ports.onDropped(part.length);
    }
  }
}
