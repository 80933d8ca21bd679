/**
 * Which partners there are, as far as the gateways know: read from Postgres and believed for a
 * moment. Each has a durable consumer on EVENTS, made here when it is missing; whoever lost it (a
 * stream made anew) gets it again with everything that the stream still holds, and drops what it
 * has seen by number.
 */
import { AckPolicy, DeliverPolicy, jetstreamManager } from "@nats-io/jetstream";
import type { NatsConnection } from "@nats-io/transport-node";
import type { Clock } from "../../engine/io/clock.ts";
import { ensureDurable } from "../../engine/io/nats/durable.ts";
import { errorFields } from "../../engine/io/log.ts";
import type { Log } from "../../engine/io/log.ts";
import type { PartnerStore } from "../../engine/store/partners.ts";
import type { Millis } from "../../proto/ids.ts";
import {
  PARTNER_ACK_WAIT_MS,
  PARTNERS_KNOWN_MS,
  PARTNERS_MISS_MS,
  PARTNER_ACK_PENDING_MAX,
} from "../../proto/limits.ts";
import { partnerConsumer, streamName, subjectsFor } from "../../proto/subjects.ts";

const NANOS_PER_MS = 1_000_000;

export type RegistryPorts = {
  readonly store: Pick<PartnerStore, "partners">;
  readonly clock: Clock;
  readonly log: Log;
  /** Makes sure of a partner's consumer. */
  readonly ensureConsumer: (partner: string) => Promise<void>;
  /** Names of the consumers that are there, in one question. Rejects while there is no stream. */
  readonly consumers?: () => Promise<ReadonlySet<string>>;
};

/**
 * Makes the consumer of a partner, or brings it to what we ask for; its place stays. Rejects while
 * there is no stream.
 */
export async function ensurePartnerConsumer(
  nc: NatsConnection,
  prefix: string,
  partner: string,
): Promise<void> {
  const api = await jetstreamManager(nc, { checkAPI: false });
  await ensureDurable(api, streamName(prefix, "EVENTS"), {
    durable_name: partnerConsumer(partner),
    filter_subject: subjectsFor(prefix).eventsOfOwner(partner),
    deliver_policy: DeliverPolicy.All,
    ack_policy: AckPolicy.Explicit,
    ack_wait: PARTNER_ACK_WAIT_MS * NANOS_PER_MS,
    max_ack_pending: PARTNER_ACK_PENDING_MAX,
  });
}

export class PartnerRegistry {
  readonly #ports: RegistryPorts;
  readonly #ensured = new Set<string>();
  #known: ReadonlyMap<string, Millis> = new Map();
  #readAt: Millis | null = null;
  #reading: Promise<void> | null = null;
  /** Said once, not for each request of an outage. */
  #isFailing = false;

  constructor(ports: RegistryPorts) {
    this.#ports = ports;
  }

  /**
   * Whether there is such a partner. Rejects with `unavailable` when that was never known and
   * cannot be read.
   */
  async has(name: string): Promise<boolean> {
    return (await this.keyedAt(name)) !== null;
  }

  /** Since when a partner's keys are good, null when there is none. Rejects like `has`. */
  async keyedAt(name: string): Promise<Millis | null> {
    const { clock, log } = this.#ports;
    const ageMs = this.#readAt === null ? Infinity : clock.now() - this.#readAt;
    const isUnknown = !this.#known.has(name) && ageMs > PARTNERS_MISS_MS;
    if (ageMs > PARTNERS_KNOWN_MS || isUnknown) {
      try {
        await this.refresh();
      } catch (error) {
        if (this.#readAt === null) throw error;
        if (!this.#isFailing) {
          log.warn(errorFields(error), "the partners could not be read; the last known stand");
        }
        this.#isFailing = true;
      }
    }
    return this.#known.get(name) ?? null;
  }

  /**
   * Reads them, and looks whether each has its consumer still: a stream that was made anew has
   * none.
   */
  recheck(): Promise<void> {
    this.#ensured.clear();
    return this.refresh();
  }

  /**
   * Makes anew what was deleted, or went with its stream. Cheap: one question, whatever the number
   * of partners.
   */
  async findLost(): Promise<void> {
    const there = (await this.#ports.consumers?.()) ?? null;
    if (there === null) return;
    for (const name of this.#ensured) {
      if (!there.has(partnerConsumer(name))) void this.#ensure(name);
    }
  }

  /** Reads them now, unless that is under way. */
  refresh(): Promise<void> {
    this.#reading ??= this.#read().finally(() => {
      this.#reading = null;
    });
    return this.#reading;
  }

  async #read(): Promise<void> {
    const rows = await this.#ports.store.partners();
    this.#known = new Map(rows.map(({ name, keyedAt }) => [name, keyedAt]));
    this.#readAt = this.#ports.clock.now();
    this.#isFailing = false;
    for (const name of this.#ensured) if (!this.#known.has(name)) this.#ensured.delete(name);
    for (const name of this.#known.keys()) if (!this.#ensured.has(name)) void this.#ensure(name);
  }

  async #ensure(name: string): Promise<void> {
    this.#ensured.add(name);
    try {
      await this.#ports.ensureConsumer(name);
    } catch (error) {
      this.#ensured.delete(name);
      this.#ports.log.warn(
        { partner: name, ...errorFields(error) },
        "no consumer for a partner yet",
      );
    }
  }
}
