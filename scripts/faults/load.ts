// The load under which faults happen: the replay's couriers and customers without an end, every
// request of theirs in the history. It stops when it is told to, and lets finish what is open.

import { setTimeout as sleep } from "node:timers/promises";
import { Customers } from "../replay/customers.ts";
import { readDataWorld } from "../replay/data-world.ts";
import { FleetOfBots, webSocket } from "../replay/fleet-of-bots.ts";
import { makeWorld } from "../replay/made-world.ts";
import type { ReplayOptions } from "../replay/options.ts";
import { seeded } from "../replay/random.ts";
import { letFinish } from "../replay/run.ts";
import type { System } from "../replay/system.ts";
import { Tales } from "../replay/tales.ts";
import { WorldClock } from "../replay/world-clock.ts";
import { RecordedCourier, RecordedCustomer } from "./history.ts";
import type { History } from "./history.ts";

const CUSTOMERS = 6;
const TICK_MS = 20;
/** How often one delivery in the air is read, so that reads take part in the history. */
const READ_MS = 250;
/** A delivery is read until this long after its create. */
const READ_FOR_MS = 30_000;

export class Load {
  readonly tales = new Tales();
  readonly #system: System;
  readonly #options: ReplayOptions;
  readonly #history: History;
  readonly #fleet: FleetOfBots;
  #customers: Customers | null = null;
  #isCreating = false;
  #creating: Promise<void> | null = null;
  #readers: readonly RecordedCustomer[] = [];

  constructor(system: System, options: ReplayOptions, history: History) {
    this.#system = system;
    this.#options = options;
    this.#history = history;
    this.#fleet = new FleetOfBots((id, given) => new RecordedCourier(id, given, history));
  }

  /**
   * Resolves to the world's name once couriers are connected and deliveries are being asked for.
   */
  async start(): Promise<string> {
    const { seed, couriers, ordersPerDay, flat, startS, compression, data } = this.#options;
    const world =
      data === null
        ? makeWorld({ couriers, ordersPerDay, seed, startS })
        : await readDataWorld({ folder: data, couriers, ordersPerDay, seed, flat });
    const clock = new WorldClock(startS, compression);
    const { tales } = this;
    await this.#fleet.open(this.#system, world, clock, tales, this.#options, () => undefined);
    const clients = await Promise.all(
      Array.from({ length: CUSTOMERS }, async (_, i) => {
        const sub = `cus_faults_${i + 1}`;
        const token = await this.#system.token("customer", sub);
        const options = { url: this.#system.publicUrl, getToken: () => token, webSocket };
        return { sub, client: new RecordedCustomer(sub, options, this.#history) };
      }),
    );
    this.#readers = clients.map(({ client }) => client);
    const random = seeded(seed * 31 + 7);
    const replay = this.#options;
    this.#customers = new Customers({
      clients,
      world,
      clock,
      tales,
      random,
      replay,
      addresses: false,
    });
    this.#isCreating = true;
    this.#creating = this.#create(this.#customers);
    return world.name;
  }

  async #create(customers: Customers): Promise<void> {
    let readAt = 0;
    while (this.#isCreating) {
      customers.tick();
      if (Date.now() - readAt >= READ_MS) {
        readAt = Date.now();
        void this.#readOne();
      }
      await sleep(TICK_MS);
    }
  }

  /** Its customer looks after one of the youngest deliveries. */
  async #readOne(): Promise<void> {
    const { creates } = this.tales.acknowledged;
    const recent = creates.slice(-30);
    const chosen = recent[Math.floor(Math.random() * recent.length)];
    const tale = chosen === undefined ? null : this.tales.of(chosen.id);
    if (chosen === undefined || tale === null) return;
    if (Date.now() - (tale.createdAt ?? 0) > READ_FOR_MS) return;
    const reader = this.#readers[Number(chosen.customer.split("_").at(-1)) - 1];
    try {
      await reader?.get(chosen.id);
    } catch (error) {
      this.tales.error("read", error);
    }
  }

  /** Attempts that were refused or failed so far, whether repeated or given up. */
  troubles(): number {
    const sum = (map: ReadonlyMap<string, number>): number =>
      [...map].reduce((total, [what, n]) => (isTheirOwnFault(what) ? total : total + n), 0);
    return sum(this.tales.errors) + sum(this.tales.healed);
  }

  /** Asks for nothing more, waits until nothing is open (bounded), and goes home. */
  async stop(say: (text: string) => void): Promise<void> {
    this.#isCreating = false;
    await this.#creating;
    const customers = this.#customers;
    if (customers === null) return;
    const show = (): void => say(`${this.#open()} deliveries are still open`);
    await letFinish(this.#system, this.tales, this.#fleet, customers, this.#options, show);
    customers.close();
    await this.#fleet.close(this.tales);
  }

  #open(): number {
    return this.tales.own().filter(({ status }) => status === "open").length;
  }
}

/** Refusals that are right: somebody else was faster, or it was over. */
const RIGHT = ["delivery_taken", "delivery_over", "courier_busy", "wrong_status", "not_found"];
function isTheirOwnFault(what: string): boolean {
  return RIGHT.some((code) => what.endsWith(` ${code}`)) || what.endsWith(" not_offered");
}
