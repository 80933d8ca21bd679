// Probes: for each shard a courier who stands still and a customer beside him. A create there is
// offered to that courier as soon as the shard's owner does its work, and to nobody else ever; what
// is measured is the time from a fault until that happens again. Offers are declined at once and
// probes canceled, so that the courier is free for the next.

import { setTimeout as sleep } from "node:timers/promises";
import { DispatchError } from "../../proto/errors.ts";
import type { CourierClient } from "../../sdk/courier-client.ts";
import { RestClient, newKey } from "../../sdk/rest.ts";
import { inParallel, webSocket } from "../replay/fleet-of-bots.ts";
import type { System } from "../replay/system.ts";
import { shifted } from "../replay/world.ts";
import { RecordedCourier, RecordedCustomer, madeOf, nowMs, patiently } from "./history.ts";
import type { History } from "./history.ts";
import type { Place } from "./places.ts";

export interface Probe {
  readonly shard: number;
  readonly sentAt: number;
  /** Null until the create was answered with yes. */
  delivery: string | null;
  answeredAt: number | null;
  /** When its courier had the offer on the phone. */
  offeredAt: number | null;
}

const CUSTOMER = "cus_probe";
const PING_MS = 2_000;
/** Between two probes of one shard: at first, and once a fault lasts longer. */
const INTERVAL_MS = 200;
const INTERVAL_LATER_MS = 1_000;
const LATER_AFTER_MS = 4_000;
/** A probe's create is sent once; the next probe is the next attempt. */
const CREATE_TIMEOUT_MS = 3_000;
const AT_ONCE = 8;
const LEDGER_LINES = 3;

export class Prober {
  readonly #system: System;
  readonly #places: readonly Place[];
  readonly #history: History;
  readonly #couriers = new Map<number, CourierClient>();
  /** When each delivery was first offered; an offer may come before the create's answer. */
  readonly #offered = new Map<string, number>();
  readonly #open = new Set<Probe>();
  #customer: RecordedCustomer | null = null;
  #rest: RestClient | null = null;
  #pinging: NodeJS.Timeout | null = null;

  constructor(system: System, places: readonly Place[], history: History) {
    this.#system = system;
    this.#places = places;
    this.#history = history;
  }

  /** Makes the couriers, takes them on shift and to their places. */
  async open(): Promise<void> {
    const url = this.#system.publicUrl;
    const operator = await this.#system.token("operator", "ops_faults");
    const admin = new RestClient({ url, getToken: () => operator });
    const token = await this.#system.token("customer", CUSTOMER);
    const options = { url, getToken: () => token, webSocket };
    this.#customer = new RecordedCustomer(CUSTOMER, options, this.#history);
    this.#rest = new RestClient({ ...options, timeoutMs: CREATE_TIMEOUT_MS });
    await inParallel(this.#places, AT_ONCE, async ({ shard, courier }) => {
      const profile = { name: "Probe", phone: "+1-415-555-0142", vehicle: "bike", capacity: 20 };
      await patiently(() => admin.putCourier(courier, { ...profile, vehicle: "bike" }));
      const own = await this.#system.token("courier", courier);
      const given = { url, getToken: () => own, webSocket, client: "faults" };
      const client = new RecordedCourier(courier, given, this.#history);
      client.on("offer", ({ delivery }) => this.#wasOffered(client, delivery));
      this.#couriers.set(shard, client);
      await client.start();
      await client.goOnShift();
    });
    this.#ping();
    this.#pinging = setInterval(() => this.#ping(), PING_MS);
  }

  #ping(): void {
    for (const { shard, at } of this.#places) this.#couriers.get(shard)?.ping(at);
  }

  #wasOffered(client: CourierClient, delivery: string): void {
    if (!this.#offered.has(delivery)) this.#offered.set(delivery, nowMs());
    for (const probe of this.#open) this.#match(probe);
    client.decline(delivery, "probe").catch(() => undefined);
  }

  #match(probe: Probe): void {
    if (probe.delivery === null || probe.offeredAt !== null) return;
    probe.offeredAt = this.#offered.get(probe.delivery) ?? null;
    if (probe.offeredAt !== null) this.#end(probe);
  }

  #end(probe: Probe): void {
    this.#open.delete(probe);
    const { delivery } = probe;
    if (delivery === null) return;
    this.#offered.delete(delivery);
    // Too late to cancel, or no answer for a minute: the end of the run looks again.
    this.#customer?.cancel(delivery).catch(() => undefined);
  }

  /**
   * Probes `shards` from now on until each had an offer for a create sent since `since` and
   * `isOver` holds, or the deadline. Resolves to all probes of the time.
   */
  async watch(
    shards: readonly number[],
    options: {
      readonly since: number;
      readonly deadlineMs: number;
      readonly isOver?: () => boolean;
    },
  ): Promise<Probe[]> {
    const { since, deadlineMs, isOver = () => true } = options;
    const until = since + deadlineMs;
    const all: Probe[] = [];
    await Promise.all(
      shards.map(async (shard, i) => {
        const mine: Probe[] = [];
        // Spread over the interval, so that probes are no burst.
        await sleep((i * INTERVAL_MS) / shards.length);
        const isServed = (): boolean => mine.some(({ offeredAt }) => offeredAt !== null);
        while (nowMs() < until && !(isServed() && isOver())) {
          mine.push(this.#send(shard));
          const isLate = nowMs() - since > LATER_AFTER_MS;
          await this.#pause(isLate ? INTERVAL_LATER_MS : INTERVAL_MS, () => isServed() && isOver());
        }
        all.push(...mine);
      }),
    );
    return all;
  }

  async #pause(ms: number, isEnough: () => boolean): Promise<void> {
    for (let waited = 0; waited < ms && !isEnough(); waited += 10) await sleep(10);
  }

  #send(shard: number): Probe {
    const probe: Probe = {
      shard,
      sentAt: nowMs(),
      delivery: null,
      answeredAt: null,
      offeredAt: null,
    };
    this.#open.add(probe);
    void this.#create(probe);
    return probe;
  }

  async #create(probe: Probe): Promise<void> {
    const place = this.#places.find(({ shard }) => shard === probe.shard);
    const rest = this.#rest;
    if (place === undefined || rest === null) return;
    const key = newKey();
    const input = {
      external_id: key,
      origin: shifted(place.at, 60, 0),
      destination: shifted(place.at, 900, 900),
      package_size: "small",
      phone: "+1-415-555-0142",
    } as const;
    try {
      await this.#history
        .run(
          { verb: "create", who: CUSTOMER, made: madeOf(input) },
          () => rest.createDelivery(input, key),
          (request, answer) => (request.delivery = answer.body?.delivery_id ?? null),
        )
        .then(({ body }) => (probe.delivery = body?.delivery_id ?? null));
    } catch (error) {
      if (!(error instanceof DispatchError)) throw error;
      this.#open.delete(probe);
      return;
    }
    probe.answeredAt = nowMs();
    this.#match(probe);
  }

  /**
   * Waits until none of the probes is without its offer, or the deadline. Resolves to those whose
   * create was acknowledged and who were never offered to anybody.
   */
  async lost(probes: readonly Probe[], deadlineMs: number): Promise<Probe[]> {
    const waiting = (): Probe[] =>
      probes.filter(({ delivery, offeredAt }) => delivery !== null && offeredAt === null);
    const until = nowMs() + deadlineMs;
    while (waiting().length > 0 && nowMs() < until) await sleep(50);
    const left = waiting();
    for (const probe of left) this.#open.delete(probe);
    return left;
  }

  /** What the engine wrote down last about a delivery that was lost; then it is canceled. */
  async why(delivery: string | null): Promise<string> {
    if (delivery === null) return "a create without an id";
    const token = await this.#system.token("operator", "ops_faults");
    const rest = new RestClient({ url: this.#system.publicUrl, getToken: () => token });
    try {
      const [{ body }, ledger] = await Promise.all([
        rest.delivery(delivery),
        rest.ledger(delivery),
      ]);
      const last = ledger.slice(-LEDGER_LINES).map((entry) => JSON.stringify(entry));
      return `${delivery} is ${body?.status} (${body?.status_reason}); ledger: ${last.join(" ")}`;
    } catch (error) {
      return `${delivery}, and why is not to be had: ${(error as Error).message}`;
    } finally {
      this.#customer?.cancel(delivery).catch(() => undefined);
    }
  }

  async close(): Promise<void> {
    if (this.#pinging !== null) clearInterval(this.#pinging);
    for (const client of this.#couriers.values()) {
      await client.goOffShift().catch(() => undefined);
      client.stop();
    }
    this.#customer?.close();
  }
}
