/**
 * One customer or partner with an app of the SDK: asks for deliveries, follows them, sometimes asks
 * twice under one key, opens a second page that follows one of them alone, cancels, looks through
 * its list, or pries into what is another's. Its keys are the same as everybody else's. What it is
 * shown is checked where it arrives (`doors.ts`); what it was promised and how fresh its positions
 * are is checked here and in `liveness.ts`.
 */
import { CustomerClient } from "../sdk/customer-client.ts";
import { RestClient } from "../sdk/rest.ts";
import type { NewDelivery } from "../sdk/rest.ts";
import type { Tracking } from "../sdk/tracking.ts";
import type { AppPorts } from "./app-ports.ts";
import { makePhone, sessionOptions } from "./app-ports.ts";
import type { Phone } from "./doors.ts";
import type { SeededRandom } from "./random.ts";

export type CustomerRole = "customer" | "partner";

const AGAIN_RATE = 0.15;
const CANCEL_RATE = 0.08;
const PRY_RATE = 0.05;
/** Of deliveries: a page of their own follows them, on a connection of its own. */
const PAGE_RATE = 0.3;
/** Of a partner's creates: without a key, under its own id for the delivery. */
const KEYLESS_RATE = 0.3;
const LIST_RATE = 0.1;
/** So small that there is always a page more. */
const LIST_PAGE_ROWS = 4;
const LIST_PAGES_MAX = 1_000;

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
  readonly #rest: RestClient;
  readonly #who: string;
  /** Known by an answer, and so in the database. */
  readonly #mine = new Set<string>();
  #pages = 0;
  #lastId: string | null = null;
  isListing = false;

  constructor(name: string, role: CustomerRole, ports: AppPorts, random: SeededRandom) {
    this.name = name;
    this.#ports = ports;
    this.#random = random;
    this.#who = `${role}:${name}`;
    this.phone = makePhone(name, ports, random);
    const options = sessionOptions(this.#who, this.phone, ports, random);
    this.#client = new CustomerClient(options);
    this.#rest = new RestClient(options);
  }

  /** What it asked for last, so that others can pry. */
  get lastId(): string | null {
    return this.#lastId;
  }
  get isConnected(): boolean {
    if (this.#client.state.at !== "connected") return false;
    return [...this.phone.sockets].some((socket) => socket.isWhole);
  }

  /** `key`: others may use the same one at the same time. */
  ask(input: NewDelivery, key: string, other: Customer | null): void {
    const isKeyless = this.#who.startsWith("partner:") && this.#random.chance(KEYLESS_RATE);
    const create = isKeyless
      ? () => this.#askKeyless({ ...input, external_id: key })
      : () => this.#client.createDelivery(input, key);
    const once = (): void => {
      create().then(
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
    if (this.#random.chance(LIST_RATE)) this.list();
  }

  async #askKeyless(input: NewDelivery): Promise<{ readonly delivery_id: string }> {
    const answer = await this.#rest.createDelivery(input, undefined as unknown as string);
    return answer.body ?? { delivery_id: "" };
  }

  #got(id: string): void {
    this.#lastId = id;
    if (!this.watched.has(id)) this.#watch(id);
    if (this.#random.chance(PAGE_RATE)) this.#openPage(id);
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

  /** A second connection of the same customer, which follows this delivery and nothing else. */
  #openPage(id: string): void {
    const { clock } = this.#ports;
    const phone = makePhone(this.name, this.#ports, this.#random, `${this.name}#${++this.#pages}`);
    const client = new CustomerClient(sessionOptions(this.#who, phone, this.#ports, this.#random));
    const { checks } = this.#ports;
    const follow = async (): Promise<void> => {
      for await (const event of client.track(id)) if (event.type !== "position") continue;
    };
    follow()
      .catch((error: unknown) => {
        if (checks.promises.isLost(id)) return;
        const text = `${phone.name} may not follow ${id}: ${String(error)}`;
        this.#ports.history.violate("D6", text, [id]);
      })
      .finally(() => {
        // Closed in an orderly way, and then the tab is gone.
        client.close();
        clock.after(1_000, () => phone.machine.kill());
      });
  }

  async #follow(watched: Watched): Promise<void> {
    const { tracking } = watched;
    const { checks, clock, history } = this.#ports;
    try {
      for await (const event of tracking) {
        if (event.type === "delivery") this.#mine.add(tracking.deliveryId);
        if (event.type !== "position") continue;
        watched.positionAt = event.position.at;
        watched.positionCameAt = clock.now();
      }
    } catch (error) {
      if (checks.promises.isLost(tracking.deliveryId)) return;
      const text = `${this.name} may not follow its own ${tracking.deliveryId}: ${String(error)}`;
      history.violate("D6", text, [tracking.deliveryId]);
    }
  }

  /**
   * D3, D6: a list shows everything that is its owner's once, and nothing else, however small its
   * pages.
   */
  list(): void {
    if (this.isListing) return;
    this.isListing = true;
    const known = [...this.#mine];
    this.#readPages()
      .then(
        (ids) => {
          const seen = new Set(ids);
          const twice = ids.length - seen.size;
          const missing = known.find((id) => !seen.has(id));
          const { history } = this.#ports;
          history.line(this.name, `lists ${ids.length} of its ${known.length}`);
          history.demand(twice === 0, "D3", `${this.name} is listed ${twice} of its twice`, []);
          const text = `${this.name} does not find ${missing} in its list of ${ids.length}`;
          history.demand(missing === undefined, "D3", text, [missing ?? ""]);
        },
        () => undefined, // It looks again another time.
      )
      .finally(() => {
        this.isListing = false;
      });
  }

  async #readPages(): Promise<readonly string[]> {
    const ids: string[] = [];
    let cursor: string | null = null;
    for (let page = 0; page < LIST_PAGES_MAX; page++) {
      const query: { limit: number; cursor?: string } = { limit: LIST_PAGE_ROWS };
      if (cursor !== null) query.cursor = cursor;
      const { deliveries, next_cursor } = await this.#rest.deliveries(query);
      for (const { id } of deliveries) ids.push(id);
      cursor = next_cursor;
      if (cursor === null) return ids;
    }
    return ids;
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
