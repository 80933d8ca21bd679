/**
 * The relay of the outbox: committed events go to the EVENTS stream under their outbox id as
 * message id, so that a crash between publishing and marking neither loses nor doubles one (D5). It
 * is woken by a nudge from whoever committed, and looks by itself as well, because a nudge may be
 * lost. Each event is also a hint for its delivery's actor, which makes a lost direct message cost
 * milliseconds instead of a sweep.
 *
 * The events of one delivery are published one after the other; one that fails holds back those
 * behind it. So a row leaves the outbox only when it and all before it are in the stream. That is
 * also why two relays at once do no harm: what the second publishes again, the stream drops by its
 * id, and it never begins with an event whose predecessor is not there.
 *
 * A stream without a leader (an election of its servers takes seconds) is asked four times a second
 * with the oldest event alone; the first that is taken brings all others at once. The relay adds no
 * more than that to an election.
 */
import type { Millis } from "../../proto/ids.ts";
import { cloudEventHeaders } from "../../proto/events.ts";
import type { DeliveryEvent } from "../../proto/events.ts";
import { OUTBOX_BATCH_MAX_ROWS } from "../../proto/limits.ts";
import type { Subjects } from "../../proto/subjects.ts";
import { isStreamAway } from "./event-publisher.ts";
import { backOffMs } from "../io/clock.ts";
import type { Clock } from "../io/clock.ts";
import type { OutboxRow, Store } from "../store/port.ts";

export type OutboxPorts = {
  readonly clock: Clock;
  readonly subjects: Subjects;
  readonly store: Pick<Store, "outboxBatch" | "outboxDone">;
  /** Resolves when the stream has the message; the same `id` again changes nothing. */
  readonly publish: (
    subject: string,
    data: Uint8Array,
    id: string,
    headers: Readonly<Record<string, string>>,
  ) => Promise<unknown>;
  /** An event is in the stream. Called at least once for each. */
  readonly onPublished: (event: DeliveryEvent) => void;
  readonly onFailed: (error: unknown) => void;
};

/** What became of the events of one delivery: those behind a failure were not tried. */
type LineEnd = { readonly published: readonly OutboxRow[]; readonly failure: Error | null };

const LOOK_MS = 250;
/**
 * Between two looks: at a steady stream of nudges, events share a query. Nobody is told later than
 * this for it.
 */
const GAP_MS = 20;
const RETRY_FIRST_MS = 100;
const RETRY_MAX_MS = 250;

export class OutboxRelay {
  readonly #ports: OutboxPorts;
  #isNudged = false;
  #isStopped = true;
  #failures = 0;
  #isStreamAway = false;
  #oldestAt: Millis | null = null;
  #wake: () => void = () => undefined;
  #loop: Promise<void> = Promise.resolve();

  constructor(ports: OutboxPorts) {
    this.#ports = ports;
  }

  /** Begins, or begins again after a stop; while it runs nothing changes. */
  start(): void {
    if (!this.#isStopped) return;
    this.#isStopped = false;
    this.#loop = this.#loop.then(() => this.#run());
  }

  /** Something was committed. */
  nudge(): void {
    this.#isNudged = true;
    this.#wake();
  }

  /** Age of the oldest event that is not published, seconds; 0 when there is none. */
  lagS(): number {
    return this.#oldestAt === null ? 0 : (this.#ports.clock.now() - this.#oldestAt) / 1_000;
  }

  /** Ends after the batch under way. What is left is published after the next start. */
  async stop(): Promise<void> {
    this.#isStopped = true;
    this.#wake();
    await this.#loop;
  }

  async #run(): Promise<void> {
    while (!this.#isStopped) {
      this.#isNudged = false;
      const isMore = await this.#tryOnce();
      if (isMore) continue;
      if (this.#failures > 0) {
        await this.#pause(backOffMs(this.#failures, RETRY_FIRST_MS, RETRY_MAX_MS), false);
        continue;
      }
      await this.#pause(GAP_MS, false);
      if (!this.#isNudged) await this.#pause(LOOK_MS, true);
    }
  }

  /** True when there may be more at once. */
  async #tryOnce(): Promise<boolean> {
    try {
      const isMore = await this.#once();
      this.#failures = 0;
      this.#isStreamAway = false;
      return isMore;
    } catch (error) {
      this.#failures += 1;
      this.#isStreamAway = isStreamAway(error);
      this.#ports.onFailed(error);
      return false;
    }
  }

  async #once(): Promise<boolean> {
    const max = this.#isStreamAway ? 1 : OUTBOX_BATCH_MAX_ROWS;
    const rows = await this.#ports.store.outboxBatch(max);
    const first = rows[0];
    this.#oldestAt = first === undefined ? null : Date.parse(first.event.at);
    if (first === undefined) return false;
    const ends = await Promise.all(linesOf(rows).map((line) => this.#publishLine(line)));
    const published = ends.flatMap((end) => end.published);
    if (published.length > 0) {
      await this.#ports.store.outboxDone(published.map((row) => row.event.id));
    }
    for (const { event } of published) this.#ports.onPublished(event);
    const failure = ends.map((end) => end.failure).find((one) => one !== null);
    if (failure !== undefined && failure !== null) throw failure;
    if (rows.length < max) this.#oldestAt = null;
    return rows.length === max;
  }

  /** One at a time, up to the first that fails. Never rejects. */
  async #publishLine(line: readonly OutboxRow[]): Promise<LineEnd> {
    const published: OutboxRow[] = [];
    for (const row of line) {
      try {
        await this.#publish(row);
      } catch (error) {
        const failure = error instanceof Error ? error : new Error(String(error));
        return { published, failure };
      }
      published.push(row);
    }
    return { published, failure: null };
  }

  async #publish({ owner, event }: OutboxRow): Promise<void> {
    const subject = this.#ports.subjects.events(owner, event.delivery_id);
    const headers = cloudEventHeaders(event, this.#ports.subjects.eventSource);
    await this.#ports.publish(subject, Buffer.from(JSON.stringify(event)), event.id, headers);
  }

  /** Waits, but not beyond a stop, nor beyond a nudge where that counts. */
  #pause(ms: number, untilNudge: boolean): Promise<void> {
    if (this.#isStopped) return Promise.resolve();
    return new Promise((resolve) => {
      const cancel = this.#ports.clock.after(ms, resolve);
      this.#wake = () => {
        if (!untilNudge && !this.#isStopped) return;
        cancel();
        resolve();
      };
    });
  }
}

/**
 * The rows by delivery, each line in the order of its event numbers; lines in the order of their
 * oldest rows.
 */
export function linesOf(rows: readonly OutboxRow[]): readonly (readonly OutboxRow[])[] {
  const lines = new Map<string, OutboxRow[]>();
  for (const row of rows) {
    const line = lines.get(row.event.delivery_id);
    if (line === undefined) lines.set(row.event.delivery_id, [row]);
    else line.push(row);
  }
  return [...lines.values()].map((line) =>
    line.toSorted((one, other) => one.event.number - other.event.number),
  );
}
