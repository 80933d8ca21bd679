// Couriers under way who are followed: each carries one delivery all day, moves a little every
// second, and a customer watches over a socket. What is measured is the longest time in which a
// follower saw no new position.

import { setTimeout as sleep } from "node:timers/promises";
import type { CourierClient } from "../../sdk/courier-client.ts";
import { RestClient } from "../../sdk/rest.ts";
import type { Tracking } from "../../sdk/tracking.ts";
import { webSocket } from "../replay/fleet-of-bots.ts";
import type { System } from "../replay/system.ts";
import { shifted } from "../replay/world.ts";
import { RecordedCourier, RecordedCustomer, nowMs, patiently } from "./history.ts";
import type { History } from "./history.ts";
import type { PullPlace } from "./places.ts";

const MOVE_MS = 1_000;
/** Forth and back by so much, and too little to arrive anywhere. */
const MOVE_M = 15;
const PHONE = "+1-415-555-0144";

type Ride = {
  readonly courier: CourierClient;
  readonly customer: RecordedCustomer;
  readonly delivery: string;
  readonly tracking: Tracking;
  /** When positions came over the socket, oldest first. */
  readonly seenAt: number[];
};

export class Rides {
  readonly #system: System;
  readonly #places: readonly PullPlace[];
  readonly #history: History;
  readonly #rides: Ride[] = [];
  readonly #moving: NodeJS.Timeout[] = [];

  constructor(system: System, places: readonly PullPlace[], history: History) {
    this.#system = system;
    this.#places = places;
    this.#history = history;
  }

  /** Gives each courier a delivery and sets him off. Resolves when all are followed. */
  async open(): Promise<void> {
    const token = await this.#system.token("operator", "ops_faults");
    const admin = new RestClient({ url: this.#system.publicUrl, getToken: () => token });
    for (const [i, place] of this.#places.entries()) {
      const profile = { name: "Ride", phone: PHONE, capacity: 1 };
      await patiently(() => admin.putCourier(place.courier, { ...profile, vehicle: "bike" }));
      this.#rides.push(await this.#setOff(place, `cus_ride_${i + 1}`));
    }
    while (this.#rides.some(({ seenAt }) => seenAt.length === 0)) await sleep(50);
  }

  async #setOff({ courier: id, at }: PullPlace, sub: string): Promise<Ride> {
    const { publicUrl: url } = this.#system;
    const [own, other] = await Promise.all([
      this.#system.token("courier", id),
      this.#system.token("customer", sub),
    ]);
    const asCourier = { url, getToken: () => own, webSocket, client: "faults" };
    const courier = new RecordedCourier(id, asCourier, this.#history);
    const asCustomer = { url, getToken: () => other, webSocket };
    const customer = new RecordedCustomer(sub, asCustomer, this.#history);
    await courier.start();
    await courier.goOnShift();
    const { delivery_id: delivery } = await customer.createDelivery({
      origin: shifted(at, 60, 0),
      destination: shifted(at, 900, 900),
      package_size: "small",
      phone: PHONE,
    });
    await courier.accept(delivery);
    await courier.reportStatus(delivery, "picked_up");
    let moves = 0;
    const move = (): void => courier.ping(shifted(at, ++moves % 2 === 0 ? 0 : MOVE_M, 0));
    this.#moving.push(setInterval(move, MOVE_MS));
    const tracking = customer.track(delivery);
    const seenAt: number[] = [];
    void follow(tracking, seenAt);
    return { courier, customer, delivery, tracking, seenAt };
  }

  /** The longest time without a new position that touches this span, of all followers, ms. */
  gapMs(from: number, to: number): number {
    return Math.max(0, ...this.#rides.map(({ seenAt }) => longestGap(seenAt, from, to)));
  }

  /** The deliveries arrive. */
  async close(): Promise<void> {
    for (const timer of this.#moving) clearInterval(timer);
    for (const { courier, customer, delivery, tracking } of this.#rides) {
      tracking.stop();
      await courier.reportStatus(delivery, "delivered");
      await courier.goOffShift();
      courier.stop();
      customer.close();
    }
  }
}

/** Ends with the tracking; a follower who is refused sees nothing more, and that shows as a gap. */
async function follow(tracking: Tracking, seenAt: number[]): Promise<void> {
  try {
    for await (const event of tracking) {
      if (event.type === "position" && event.source === "socket") seenAt.push(nowMs());
    }
  } catch {
    seenAt.push(nowMs());
  }
}

/**
 * Of moments in order: the longest stretch between two that touches the span, open at its end.
 * Pure.
 */
export function longestGap(moments: readonly number[], from: number, to: number): number {
  let longest = 0;
  let before = moments.findLast((at) => at <= from) ?? from;
  for (const at of moments.filter((one) => one > from && one <= to)) {
    longest = Math.max(longest, at - before);
    before = at;
  }
  return Math.max(longest, to - before);
}
