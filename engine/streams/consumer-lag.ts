/**
 * How far the readers of the EVENTS stream are behind: our own workers (webhooks, notices) and the
 * partners, of whom the one that is furthest behind counts. JetStream keeps the number itself, so a
 * consumer that nobody reads any more shows, too. One node asks now and then, the one that runs the
 * relay; what it cannot ask stays as it was.
 */
import { jetstreamManager } from "@nats-io/jetstream";
import type { NatsConnection } from "@nats-io/transport-node";
import { PARTNER_CONSUMER_PREFIX, streamName } from "../../proto/subjects.ts";

export const READERS = ["webhooks", "notices", "partners"] as const;
export type Reader = (typeof READERS)[number];

/** Events that were not given to a consumer, or not acknowledged by it. */
export type ConsumerState = { readonly name: string; readonly waiting: number };

const API_TIMEOUT_MS = 2_000;

export class ConsumerLag {
  readonly #list: () => Promise<readonly ConsumerState[]>;
  readonly #onFailed: (error: unknown) => void;
  #waiting: ReadonlyMap<Reader, number> = new Map();

  constructor(list: () => Promise<readonly ConsumerState[]>, onFailed: (error: unknown) => void) {
    this.#list = list;
    this.#onFailed = onFailed;
  }

  /** Never rejects. */
  async look(): Promise<void> {
    try {
      this.#waiting = waitingOf(await this.#list());
    } catch (error) {
      this.#onFailed(error);
    }
  }

  /** Another node looks from now on. */
  forget(): void {
    this.#waiting = new Map();
  }

  /** Events that this reader has not done, 0 when there is none such. */
  waiting(reader: Reader): number {
    return this.#waiting.get(reader) ?? 0;
  }
}

/** By reader; of the partners the one that is furthest behind. */
export function waitingOf(consumers: readonly ConsumerState[]): ReadonlyMap<Reader, number> {
  const all = new Map<Reader, number>();
  for (const { name, waiting } of consumers) {
    const reader = READERS.find((one) => one === name);
    const isPartner = name.startsWith(PARTNER_CONSUMER_PREFIX);
    const key = reader ?? (isPartner ? "partners" : null);
    if (key !== null) all.set(key, Math.max(all.get(key) ?? 0, waiting));
  }
  return all;
}

/** The consumers of the EVENTS stream. Rejects while JetStream does not answer. */
export async function listConsumers(
  nc: NatsConnection,
  prefix: string,
): Promise<readonly ConsumerState[]> {
  const api = await jetstreamManager(nc, { checkAPI: false, timeout: API_TIMEOUT_MS });
  const states: ConsumerState[] = [];
  for await (const info of api.consumers.list(streamName(prefix, "EVENTS"))) {
    states.push({ name: info.name, waiting: info.num_pending + info.num_ack_pending });
  }
  return states;
}
