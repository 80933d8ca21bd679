/**
 * Those who ask for deliveries: a stream of creates that follows the world's demand whatever the
 * answers do, some of them followed over the socket, a few canceled. What a follower sees is held
 * against D6.
 */
import { DispatchError } from "../../proto/errors.ts";
import { isTerminal } from "../../proto/status.ts";
import type { DeliveryView } from "../../proto/views.ts";
import type { CustomerClient } from "../../sdk/customer-client.ts";
import { newKey } from "../../sdk/rest.ts";
import type { NewDelivery } from "../../sdk/rest.ts";
import type { Tracking } from "../../sdk/tracking.ts";
import type { ReplayOptions } from "./options.ts";
import { exponential } from "./random.ts";
import type { Random } from "./random.ts";
import type { Estimate, Tale, Tales } from "./tales.ts";
import type { WorldClock } from "./world-clock.ts";
import type { Order, Place, World } from "./world.ts";

export type CustomersOptions = {
  readonly clients: readonly { readonly sub: string; readonly client: CustomerClient }[];
  readonly world: World;
  readonly clock: WorldClock;
  readonly tales: Tales;
  readonly random: Random;
  readonly replay: ReplayOptions;
  /** Whether the server can geocode addresses of this world. */
  readonly addresses: boolean;
};

/** Deliveries followed at the same time over one customer's socket. */
const TRACKED_PER_CLIENT_MAX = 100;
/** Creates that may wait for their answer; beyond this the replay skips and counts. */
const CREATES_WAITING_MAX = 5_000;
/** Of these deliveries another customer tries to see something, and must not (D6). */
const PRY_SHARE = 0.02;
const PACKAGE_SIZES = ["small", "small", "small", "medium"] as const;

export class Customers {
  readonly #o: CustomersOptions;
  readonly #tracked = new Map<string, Tracking>();
  #waiting = 0;
  #nextAtS: number | null = null;
  #turn = 0;

  constructor(options: CustomersOptions) {
    this.#o = options;
    for (const { client } of options.clients) {
      client.on("healed", (error) => options.tales.heal("customer", error));
      client.on("error", (error) => options.tales.error("customer socket", error));
      let connections = 0;
      client.on("state", ({ at }) => {
        if (at === "connected" && connections++ > 0) options.tales.count("customer reconnects");
      });
    }
  }

  get waiting(): number {
    return this.#waiting;
  }

  /** Sends every create that is due by now in world time. Called often. */
  tick(): void {
    const { clock, world, random } = this.#o;
    const nowS = clock.at();
    this.#nextAtS ??= nowS + this.#gapS(nowS);
    while (this.#nextAtS <= nowS) {
      const order = world.order(this.#nextAtS, random);
      void this.#create(order);
      this.#nextAtS += this.#gapS(this.#nextAtS);
    }
  }

  /** World seconds to the next create: a Poisson stream of the world's present rate. */
  #gapS(worldS: number): number {
    const rate = this.#o.world.ordersPerS(worldS);
    return rate > 0 ? exponential(this.#o.random, 1 / rate) : 60;
  }

  async #create(order: Order): Promise<void> {
    const { clients, tales, random, replay } = this.#o;
    if (this.#waiting >= CREATES_WAITING_MAX) return tales.count("creates skipped: too many wait");
    const customer = clients[this.#turn++ % clients.length] as (typeof clients)[number];
    const input = this.#input(order);
    const key = newKey();
    const [cancels, tracks] = [random() < replay.cancelRate, random() < replay.trackShare];
    const sentAt = Date.now();
    this.#waiting++;
    tales.count("creates sent");
    try {
      const answer = await customer.client.createDelivery(input, key);
      const tale = tales.of(answer.delivery_id);
      tale.createSentAt = sentAt;
      tale.createdAt = Date.now();
      tale.origin = order.origin;
      tale.destination = order.destination;
      tale.estimates.create = {
        madeAt: tale.createdAt,
        pickupAt: timeOf(answer.estimated_pickup_time),
        arrivalAt: timeOf(answer.estimated_arrival),
      };
      const { sub } = customer;
      tales.acknowledged.creates.push({ id: tale.id, customer: sub, key, input, answer });
      if (tracks) this.#track(customer.client, tale);
      if (random() < PRY_SHARE) void this.#pry(sub, tale.id);
      if (cancels) this.#cancelLater(customer.client, tale);
    } catch (error) {
      tales.error("create", error);
    } finally {
      this.#waiting--;
    }
  }

  #input(order: Order): NewDelivery {
    const { random, addresses, replay } = this.#o;
    const size = PACKAGE_SIZES[Math.floor(random() * PACKAGE_SIZES.length)] ?? "small";
    const byAddress = addresses && random() < replay.addressShare;
    return {
      ...stop("origin", order.origin, byAddress),
      ...stop("destination", order.destination, byAddress),
      package_size: size,
      phone: "+1-415-555-0100",
    };
  }

  #cancelLater(client: CustomerClient, tale: Tale): void {
    const { clock, random, tales } = this.#o;
    const cancel = async (): Promise<void> => {
      if (tale.endedAt !== null || tale.pickedUpAt !== null) return;
      try {
        await client.cancel(tale.id);
        end(tale, "canceled", "canceled_by_customer");
        tales.acknowledged.cancels.push(tale.id);
        tales.count("canceled by customers");
      } catch (error) {
        const late = error instanceof DispatchError && error.code === "wrong_status";
        if (late) tales.count("canceled too late");
        else tales.error("cancel", error);
      }
    };
    setTimeout(() => void cancel(), clock.wallMs(30 + exponential(random, 180)));
  }

  /** Somebody else asks for the delivery, at both doors: to them it does not exist. */
  async #pry(owner: string, id: string): Promise<void> {
    const { clients, tales } = this.#o;
    const other = clients.find(({ sub }) => sub !== owner);
    if (other === undefined) return;
    const followed = other.client.track(id);
    const asked = [other.client.get(id), followed[Symbol.asyncIterator]().next()];
    const answers = await Promise.allSettled<unknown>(asked);
    followed.stop();
    for (const answer of answers) {
      const error: unknown = answer.status === "rejected" ? answer.reason : null;
      if (error instanceof DispatchError && error.code === "not_found")
        tales.count("pried in vain");
      else if (error === null)
        tales.violations.push({ rule: "D6", delivery: id, text: `${other.sub} saw ${owner}'s` });
      else tales.error("pry", error);
    }
  }

  #track(client: CustomerClient, tale: Tale): void {
    if (this.#tracked.size >= TRACKED_PER_CLIENT_MAX * this.#o.clients.length) return;
    const tracking = client.track(tale.id);
    this.#tracked.set(tale.id, tracking);
    void this.#follow(tracking, tale).finally(() => this.#tracked.delete(tale.id));
  }

  async #follow(tracking: Tracking, tale: Tale): Promise<void> {
    const { tales } = this.#o;
    try {
      for await (const event of tracking) {
        tales.count(`tracking ${event.type} by ${event.source}`);
        if (event.type === "delivery") this.#seen(tale, event.delivery);
      }
    } catch (error) {
      tales.error("track", error);
    }
    if (tracking.stale.socket > 0) {
      const text = `${tracking.stale.socket} older frames after newer`;
      tales.violations.push({ rule: "D6", delivery: tale.id, text });
    }
  }

  #seen(tale: Tale, delivery: DeliveryView): void {
    const estimate: Estimate = {
      madeAt: Date.now(),
      pickupAt: timeOf(delivery.estimated_pickup_time),
      arrivalAt: timeOf(delivery.estimated_arrival),
    };
    if (delivery.id !== tale.id) {
      const text = `who followed it was shown ${delivery.id}`;
      this.#o.tales.violations.push({ rule: "D6", delivery: tale.id, text });
    }
    if (delivery.status === "assigned") tale.estimates.assigned ??= estimate;
    if (delivery.status === "picked_up") tale.estimates.pickedUp ??= estimate;
    if (isTerminal(delivery.status)) end(tale, delivery.status, delivery.status_reason);
  }

  close(): void {
    for (const tracking of this.#tracked.values()) tracking.stop();
    for (const { client } of this.#o.clients) client.close();
  }
}

/** Notes that a delivery is over; what was noted first stands. */
export function end(tale: Tale, status: DeliveryView["status"], reason: string | null): void {
  if (tale.status !== "open" || tale.cutOff || !isTerminal(status)) return;
  tale.status = status as Tale["status"];
  tale.reason = reason;
  tale.endedAt ??= Date.now();
}

const timeOf = (text: string | null): number | null => (text === null ? null : Date.parse(text));

function stop(
  name: "origin" | "destination",
  place: Place,
  byAddress: boolean,
): Partial<NewDelivery> {
  if (byAddress && place.address !== null) return { [`${name}_address`]: place.address };
  return { [name]: { lat: round(place.lat), lng: round(place.lng) } };
}

const round = (degrees: number): number => Math.round(degrees * 1e6) / 1e6;
