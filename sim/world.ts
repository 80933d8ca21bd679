/**
 * A whole system in one process, on virtual time and from one seed: production nodes and gateways
 * over a fake NATS and a fake Postgres, couriers and customers with the SDK. It is first run with
 * faults, then without them until everything has come to rest; checks watch throughout. Two runs of
 * a seed give the same history, byte for byte.
 */
import { shardOfCourier } from "../engine/cluster/shards.ts";
import type { Millis } from "../proto/ids.ts";
import type { StreamKey } from "../proto/subjects.ts";
import { STREAMS } from "../proto/subjects.ts";
import type { AppPorts } from "./app-ports.ts";
import { Checks } from "./checks.ts";
import { SHARDS, SIM_CONFIG, SIM_SETTINGS, hashOf, placeIn, vehicleFor, wishOf } from "./city.ts";
import { SimClock } from "./clock.ts";
import { CourierApp } from "./courier-app.ts";
import { Customer } from "./customer.ts";
import type { CustomerRole } from "./customer.ts";
import { Doors } from "./doors.ts";
import { FakeNats } from "./fake-nats.ts";
import { FakePostgres } from "./fake-postgres.ts";
import { FakeStore } from "./fake-store.ts";
import { NO_PLAN, drawPlan } from "./faults.ts";
import type { Plan } from "./faults.ts";
import { History } from "./history.ts";
import { Injector } from "./injector.ts";
import { Liveness } from "./liveness.ts";
import type { Skew } from "./machine.ts";
import { Network, QUIET } from "./network.ts";
import { randomFrom } from "./place.ts";
import type { PlaceParts } from "./place.ts";
import type { NewDelivery } from "../sdk/rest.ts";
import { SeededRandom } from "./random.ts";
import { SimGateway } from "./sim-gateway.ts";
import { SimNode } from "./sim-node.ts";

export type WorldOptions = {
  readonly seed: number;
  readonly minutes: number;
  readonly nodes?: number;
  readonly gateways?: number;
  readonly couriers?: number;
  /** Mean time between two creates. */
  readonly createEveryMs?: number;
  /** In place of the one drawn from the seed. */
  readonly plan?: Plan;
  /** Hours and days pass at once between parts of the run. */
  readonly days?: boolean;
  /** Keep the history's lines, not only their digest. */
  readonly keepLines?: boolean;
};

const START: Millis = 1_700_000_000_000;
const CUSTOMERS: readonly (readonly [name: string, role: CustomerRole])[] = [
  ["shop", "customer"],
  ["bakery", "customer"],
  ["acme", "partner"],
  ["zenith", "partner"],
];
/** Of creates: another customer asks for the same under the same key at the same moment. */
const TWIN_RATE = 0.2;
const REST_MAX_MS = 20 * 60_000;
/** After the last fault: reconnects with their back-off, elections, restarts. */
const GRACE_MS = 30_000;
const LAST_PINGS_MS = 12_000;
const LAST_LOST_RATE = 0.05;
/**
 * Longer than the time between two digests, so that followers can hear of what they missed and
 * fetch it.
 */
const QUIET_MS = 12_000;
const LISTS_MS = 60_000;
const DAYS_PARTS = 3;
/** Beyond the time for which keys are kept. */
const SLEEP_MAX_H = 72;
const AWAKE_MS = 20_000;
const OLD_KEYS = 5;
const SKEW_MAX_MS = 500;
const DRIFT_MAX_PPM = 200;
const STREAM_KEYS = Object.keys(STREAMS) as StreamKey[];

export class World {
  readonly plan: Plan;
  readonly clock = new SimClock(START);
  readonly history: History;
  readonly store: FakeStore;
  readonly checks: Checks;
  readonly network: Network;
  readonly postgres: FakePostgres;
  readonly doors: Doors;
  readonly injector: Injector;
  readonly nodes: readonly SimNode[];
  readonly gateways: readonly SimGateway[];
  readonly apps: readonly CourierApp[];
  readonly customers: readonly Customer[];
  readonly #options: WorldOptions;
  readonly #liveness: Liveness;
  /** Streams of their own, so that what one draws does not shift the others. */
  readonly #city: SeededRandom;
  #people: Plan["people"];
  #isOpen = true;
  /** How far the database's clock is off. */
  #storeAheadMs = 0;
  #keys = 0;
  readonly #asked: [Customer, NewDelivery, string][] = [];

  constructor(options: WorldOptions) {
    const { seed, minutes } = options;
    this.#options = options;
    this.history = new History(this.clock, options.keepLines ?? false);
    const chance = (name: string): SeededRandom => new SeededRandom(hashOf(`${seed} ${name}`));
    this.plan = options.plan ?? drawPlan(chance("plan"), minutes);
    this.#people = this.plan.people;
    this.#city = chance("city");
    this.store = new FakeStore(() => Math.floor(this.clock.now()) + this.#storeAheadMs);
    this.checks = new Checks(this.history, this.store, SIM_SETTINGS);
    this.network = new Network(this.clock, chance("network"));
    const nats = new FakeNats(this.clock, this.network, SIM_CONFIG.natsPrefix);
    nats.streams.get("EVENTS").onStored = (message) => this.checks.stored(message);
    this.postgres = new FakePostgres(
      this.clock,
      chance("postgres"),
      this.store,
      (machine, ...call) => this.checks.done(machine.name, ...call),
    );
    const { clock, history, postgres, checks } = this;
    checks.awayMsSince = (at) => postgres.awayMsSince(at);
    const parts: PlaceParts = {
      clock,
      nats,
      postgres,
      history,
      checks,
      random: randomFrom(chance("ids")),
    };
    const skews = chance("skews");
    const skew = (): Skew => ({
      offsetMs: skews.between(-SKEW_MAX_MS, SKEW_MAX_MS),
      driftPpm: skews.between(-DRIFT_MAX_PPM, DRIFT_MAX_PPM),
    });
    this.nodes = named("n", options.nodes ?? 3).map((n) => new SimNode(n, parts, SIM_CONFIG, skew));
    this.gateways = named("g", options.gateways ?? 2).map(
      (g) => new SimGateway(g, parts, SIM_CONFIG, skew),
    );
    this.doors = new Doors(clock, chance("doors"), checks, this.gateways);
    this.apps = named("cur_", options.couriers ?? 25).map((id) => this.#courier(id, seed));
    checks.waitingIn = () => nats.streams.intake.waitingIds();
    this.customers = CUSTOMERS.map(
      ([name, role]) => new Customer(name, role, this.#appPorts(), chance(name)),
    );
    const { nodes, gateways, apps, customers, doors } = this;
    this.injector = new Injector(
      {
        ...{ clock, history, nats, postgres, doors, checks, nodes, gateways, apps },
        stepStoreClock: (byMs) => {
          this.#storeAheadMs += byMs;
        },
      },
      STREAM_KEYS,
    );
    this.#liveness = new Liveness(history, this.store, checks, {
      ...{ nodes, gateways, apps, customers, doors, intake: nats.streams.intake },
    });
    this.#begin();
  }

  get isViolated(): boolean {
    return this.history.violation !== null;
  }

  elapsedMs(): number {
    return this.clock.now() - START;
  }

  /** Everything that was counted, by name. */
  counts(): Readonly<Record<string, number>> {
    const { checks, network, postgres, doors, injector } = this;
    const parts = [injector, network, postgres, doors, checks];
    return Object.assign({}, ...parts.map(({ counts }) => counts)) as Record<string, number>;
  }

  /**
   * The whole run: faults, then rest. Gives whether everything held; what did not is in
   * `history.violation`. Must be called outside of every promise (`inMacrotask`).
   */
  run(): boolean {
    const onRejection = (error: unknown): void =>
      this.history.violate(
        "P",
        `nobody handled: ${error instanceof Error ? error.stack : String(error)}`,
        [],
      );
    process.on("unhandledRejection", onRejection);
    try {
      this.#runFaults();
      if (!this.isViolated) this.#settle();
    } finally {
      process.off("unhandledRejection", onRejection);
    }
    return !this.isViolated;
  }

  #advance(ms: number): void {
    if (!this.isViolated) this.clock.advance(ms, () => this.history.violation !== null);
  }

  #begin(): void {
    for (const place of [...this.nodes, ...this.gateways]) place.startAfter(0);
    for (const app of this.apps) this.clock.after(this.#city.between(500, 4_000), () => app.open());
    this.#createLater();
    // The first seconds are without noise: a start that fails is a fault of its own.
    this.clock.after(3_000, () => this.#makeNoise(this.plan));
  }

  /**
   * With days between its parts: faults are armed for their part, since a leap would bring all at
   * once.
   */
  #runFaults(): void {
    const ms = this.#options.minutes * 60_000;
    const { faults } = this.plan;
    if (this.#options.days !== true) {
      this.injector.arm(faults, this.clock.now());
      return this.#advance(ms);
    }
    const partMs = ms / DAYS_PARTS;
    for (let part = 0; part < DAYS_PARTS && !this.isViolated; part++) {
      const fromMs = part * partMs;
      const mine = faults.filter(({ atMs }) => atMs >= fromMs && atMs < fromMs + partMs);
      this.injector.arm(mine, this.clock.now() - fromMs);
      this.#advance(partMs);
      this.#sleep();
    }
  }

  /** Everything is suspended for hours or days; then some ask once more with keys of before. */
  #sleep(): void {
    const hours = this.#city.between(1, SLEEP_MAX_H);
    this.history.line("world", `sleeps for ${hours.toFixed(1)} h`);
    this.clock.leap(hours * 3_600_000);
    this.clock.after(AWAKE_MS, () => {
      for (const [customer, wish, key] of this.#asked.slice(0, OLD_KEYS)) {
        customer.ask(wish, key, null);
      }
    });
  }

  #makeNoise({ network, store, answerLostRate, people }: Plan): void {
    this.network.noise = network;
    this.postgres.noise = store;
    this.doors.answerLostRate = answerLostRate;
    this.#people = people;
  }

  /** No more faults, no more customers; then long enough for everything to end. */
  #settle(): void {
    this.history.line("world", "the faults are over");
    this.#isOpen = false;
    this.#makeNoise(NO_PLAN);
    this.injector.mendAll();
    for (const place of [...this.nodes, ...this.gateways]) place.start();
    for (const app of this.apps) app.comeToSenses();
    const startedAt = this.clock.now();
    this.#advance(GRACE_MS);
    while (!this.isViolated && this.clock.now() - startedAt < REST_MAX_MS) {
      this.#liveness.calm(this.clock.now());
      if (this.#liveness.isOver()) break;
      this.#advance(1_000);
    }
    this.#advance(3 * SIM_SETTINGS.REMIND_MS);
    // Of the last records some are lost: followers find it out by themselves.
    this.network.noise = { ...QUIET, lostRate: LAST_LOST_RATE };
    this.#advance(LAST_PINGS_MS);
    for (const app of this.apps) app.stopPinging();
    this.#advance(LAST_PINGS_MS);
    this.network.noise = QUIET;
    this.#advance(QUIET_MS);
    if (!this.isViolated) this.#liveness.atRest();
    for (const customer of this.customers) customer.list();
    const listsUntil = this.clock.now() + LISTS_MS;
    while (this.customers.some(({ isListing }) => isListing) && this.clock.now() < listsUntil) {
      if (this.isViolated) break;
      this.#advance(1_000);
    }
    for (const { name, isListing } of this.customers) {
      const isHeard = !isListing || this.isViolated;
      this.history.demand(isHeard, "L1", `${name} waits for its list for ever`);
    }
  }

  #appPorts(): AppPorts {
    const { clock, doors, checks, history } = this;
    return {
      clock,
      doors,
      checks,
      history,
      people: () => this.#people,
      isOpen: () => this.#isOpen,
    };
  }

  #courier(name: string, seed: number): CourierApp {
    const city = this.#city;
    const id = name as CourierApp["id"];
    const vehicle = vehicleFor(city);
    const capacity = city.chance(0.2) ? 2 : 1;
    const shard = shardOfCourier(id, SHARDS);
    this.store.putCourier({ id, name, phone: "", vehicle, capacity, shard });
    const random = new SeededRandom(hashOf(`${seed} ${id}`));
    return new CourierApp(id, vehicle, placeIn(city), this.#appPorts(), random);
  }

  #createLater(): void {
    const everyMs = this.#options.createEveryMs ?? 4_000;
    this.clock.after(this.#city.between(0, 2 * everyMs), () => {
      if (!this.#isOpen) return;
      const customer = this.#city.pick(this.customers);
      const other = this.#city.pick(this.customers);
      const wish = wishOf(this.#city);
      const key = `key-${++this.#keys}`;
      customer.ask(wish, key, other === customer ? null : other);
      if (this.#asked.length < OLD_KEYS) this.#asked.push([customer, wish, key]);
      if (other !== customer && this.#city.chance(TWIN_RATE)) other.ask(wish, key, null);
      this.#createLater();
    });
  }
}

const named = (prefix: string, count: number): readonly string[] =>
  Array.from({ length: count }, (_, i) => `${prefix}${i + 1}`);
