/**
 * One customer with an app of the SDK: asks for deliveries, follows them, sometimes asks twice under one key, cancels, or
 * pries into what is another's. What it is shown is checked where it arrives (`doors.ts`); what it was promised and
 * how fresh its positions are is checked here and in `liveness.ts`.
 */
import type { NewDelivery } from "../sdk/rest.ts";
import { CustomerClient } from "../sdk/customer-client.ts";
import type { Tracking } from "../sdk/tracking.ts";
import type { AppPorts } from "./app-ports.ts";
import { makePhone, sessionOptions } from "./app-ports.ts";
import type { Phone } from "./doors.ts";
import type { SeededRandom } from "./random.ts";

const AGAIN_RATE = 0.15;
const CANCEL_RATE = 0.08;
const PRY_RATE = 0.05;

/** A followed delivery as its watcher sees it. */
export type Watched = {
  readonly tracking: Tracking;
  /** When the newest position was measured, 0 before the first; when it came, true time. */
  positionAt: number;
  positionCameAt: number;
};

export class Customer {
  readonly name: string;
  readonly phone: Phone;
  readonly watched = new Map<string, Watched>();
  readonly #ports: AppPorts;
  readonly #random: SeededRandom;
  readonly #client: CustomerClient;
  #keys = 0;
  #lastId: string | null = null;

  constructor(name: string, ports: AppPorts, random: SeededRandom) {
    this.name = name;
    this.#ports = ports;
    this.#random = random;
    this.phone = makePhone(name, ports, random);
    this.#client = new CustomerClient(
      sessionOptions(`customer:${name}`, this.phone, ports, random),
    );
  }

  /** What it asked for last, so that others can pry. */
  get lastId(): string | null {
    return this.#lastId;
  }
  get isConnected(): boolean {
    if (this.#client.state.at !== "connected") return false;
    return [...this.phone.sockets].some((socket) => socket.isWhole);
  }

  ask(input: NewDelivery, other: Customer | null): void {
    const key = `${this.name}-${++this.#keys}`;
    const once = (): void => {
      this.#client.createDelivery(input, key).then(
        ({ delivery_id }) => this.#got(delivery_id),
        () => this.#ports.history.line(this.name, `does not know what became of ${key}`),
      );
    };
    once();
    // D4: the same again under the same key, at once or later, through whichever gateway.
    if (this.#random.chance(AGAIN_RATE)) {
      this.phone.machine.clock.after(this.#random.between(0, 3_000), once);
    }
    if (other !== null && this.#random.chance(PRY_RATE)) this.#pry(other);
  }

  #got(id: string): void {
    this.#lastId = id;
    if (!this.watched.has(id)) this.#watch(id);
    if (!this.#random.chance(CANCEL_RATE)) return;
    this.phone.machine.clock.after(this.#random.between(500, 90_000), () => {
      this.#client.cancel(id).catch(() => undefined);
    });
  }

  #watch(id: string): void {
    const watched = { tracking: this.#client.track(id), positionAt: 0, positionCameAt: 0 };
    this.watched.set(id, watched);
    void this.#follow(watched);
  }

  async #follow(watched: Watched): Promise<void> {
    const { tracking } = watched;
    try {
      for await (const event of tracking) {
        if (event.type !== "position") continue;
        watched.positionAt = event.position.at;
        watched.positionCameAt = this.#ports.clock.now();
      }
    } catch (error) {
      const text = `${this.name} may not follow its own ${tracking.deliveryId}: ${String(error)}`;
      this.#ports.history.violate("D6", text, [tracking.deliveryId]);
    }
  }

  /** D6: what is another's is not there. */
  #pry({ lastId }: Customer): void {
    if (lastId === null) return;
    this.#client.get(lastId).then(
      () => this.#ports.history.violate("D6", `${this.name} may read ${lastId}`, [lastId]),
      () => undefined,
    );
  }
}
