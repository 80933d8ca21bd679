/**
 * The status events of a delivery between two versions: what a follower missed while it was away,
 * or what passed faster than the row was read. The latest come from memory, older ones from the
 * EVENTS stream, in the order of their numbers. Each event has the next number (D5), so it is known
 * whether all are there; if they are not, the follower is told so and gets none of them, never a
 * part. It refuses to hurt the stream: few reads at once, others wait for a moment, and what was
 * read for one follower is kept for the next. An event that is committed may not be in the stream
 * yet: it is looked for again.
 */
import type { DeliveryEvent } from "../../proto/events.ts";
import type { DeliveryId } from "../../proto/ids.ts";
import { PASSED_EVENTS_MAX } from "../../proto/limits.ts";
import type { Deps } from "../base/deps.ts";
import type { Followed } from "./tracking.ts";

/** `events` are complete and in order, or empty when `recovered` is false. */
export type Passed = { readonly recovered: boolean; readonly events: readonly DeliveryEvent[] };

/** Events kept of each followed delivery. */
const KEPT_EVENTS = 8;
/** Deliveries whose events are read from the stream at the same time. */
const READS_MAX = 16;
const READ_TIMEOUT_MS = 500;
const LOOK_AGAIN_MS = 60;
const GIVE_UP_MS = 500;
const NOTHING: Passed = { recovered: true, events: [] };
const LOST: Passed = { recovered: false, events: [] };

export class PassedEvents {
  readonly #deps: Pick<Deps, "bus" | "subjects" | "clock">;
  #reading = 0;

  constructor(deps: Pick<Deps, "bus" | "subjects" | "clock">) {
    this.#deps = deps;
  }

  /**
   * What lies strictly between `known` and `current`; null when the follower knew nothing before.
   * Never rejects.
   */
  async between(followed: Followed, known: number | null, current: number): Promise<Passed | null> {
    if (known === null) return null;
    if (known > current) return LOST; // It has seen what our database does not have.
    const missing = current - known - 1;
    if (missing <= 0) return NOTHING;
    if (missing > PASSED_EVENTS_MAX) return LOST;
    const { clock } = this.#deps;
    for (const giveUpAt = clock.now() + GIVE_UP_MS; ;) {
      const kept = complete(followed.events, known, current);
      if (kept !== null) return { recovered: true, events: kept };
      if (clock.now() >= giveUpAt) return LOST;
      if (this.#reading < READS_MAX) {
        const read = await this.#load(followed, current);
        if (read === null) return LOST; // The stream is away, or does not answer in time.
        const found = complete(read, known, current);
        if (found !== null) return { recovered: true, events: found };
      }
      await new Promise<void>((resolve) => void clock.after(LOOK_AGAIN_MS, resolve));
    }
  }

  /**
   * Reads the stream, and keeps what it has for whoever comes next. Null when it cannot be read.
   */
  async #load(followed: Followed, current: number): Promise<readonly DeliveryEvent[] | null> {
    this.#reading++;
    try {
      const read = await this.#read(followed.id, current);
      const known = new Set(followed.events.map(({ number }) => number));
      followed.events.push(...read.filter(({ number }) => !known.has(number)));
      followed.events.sort((a, b) => a.number - b.number);
      followed.events.splice(0, followed.events.length - KEPT_EVENTS);
      return read;
    } catch {
      return null;
    } finally {
      this.#reading--;
    }
  }

  /** The events of a delivery from the stream, one question each: they are few. */
  async #read(id: DeliveryId, current: number): Promise<readonly DeliveryEvent[]> {
    const { bus, subjects } = this.#deps;
    const events: DeliveryEvent[] = [];
    for (let seq = 1; events.length < current + 1;) {
      const question = JSON.stringify({ seq, next_by_subj: subjects.eventsOfDelivery(id) });
      const api = subjects.streamMessage("EVENTS");
      const bytes = await bus.request(api, Buffer.from(question), READ_TIMEOUT_MS);
      const { message } = JSON.parse(Buffer.from(bytes).toString()) as StreamAnswer;
      if (message?.data === undefined) return events;
      const event = eventOf(Buffer.from(message.data, "base64"));
      if (event !== null) events.push(event);
      if (event?.number === current) return events;
      seq = message.seq + 1;
    }
    return events;
  }
}

type StreamAnswer = { readonly message?: { readonly seq: number; readonly data?: string } };

/** All numbers strictly between, each once and in order; null when one is missing. */
function complete(
  events: readonly DeliveryEvent[],
  known: number,
  current: number,
): readonly DeliveryEvent[] | null {
  const byNumber = new Map(events.map((event) => [event.number, event]));
  const found: DeliveryEvent[] = [];
  for (let number = known + 1; number < current; number++) {
    const event = byNumber.get(number);
    if (event === undefined) return null;
    found.push(event);
  }
  return found;
}

/** Those after a version. */
export const after = ({ recovered, events }: Passed, version: number): Passed => ({
  recovered,
  events: events.filter(({ number }) => number > version),
});

/** An event came in: it is kept, the newest few. */
export function keepEvent(followed: Followed, data: Uint8Array): void {
  const event = eventOf(data);
  if (event === null) return;
  followed.events.push(event);
  if (followed.events.length > KEPT_EVENTS) followed.events.shift();
}

/** Whoever has the link need not know what the customer calls the delivery. */
export const forLink = (event: DeliveryEvent): DeliveryEvent => ({ ...event, external_id: null });

/** Null for what cannot be read: from a newer version of us, perhaps. */
function eventOf(data: Uint8Array): DeliveryEvent | null {
  try {
    const event = JSON.parse(Buffer.from(data).toString()) as Partial<DeliveryEvent> | null;
    return typeof event?.number === "number" ? (event as DeliveryEvent) : null;
  } catch {
    return null;
  }
}
