/**
 * One courier: the SDK's client on a simulated network, and a person who moves, takes some offers,
 * carries, stands still, presses twice, goes home, and sometimes vanishes. It knows what it was
 * told and nothing else.
 */
import { distanceM } from "../actors/geo.ts";
import type { LngLat, Vehicle } from "../proto/geo.ts";
import type { CourierId, Millis } from "../proto/ids.ts";
import type { AssignmentView } from "../proto/views.ts";
import { CourierClient, type SeqStore } from "../sdk/courier-client.ts";
import { RestClient } from "../sdk/rest.ts";
import { type AppPorts, makePhone, sessionOptions } from "./app-ports.ts";
import { SIM_SETTINGS } from "./city.ts";
import type { Phone } from "./doors.ts";
import { FrameOrder } from "./frame-order.ts";
import type { SeededRandom } from "./random.ts";

type Task = {
  readonly id: string;
  readonly pickup: LngLat;
  readonly dropoff: LngLat;
  pickedUp: boolean;
  isBusy: boolean;
};

const TICK_MS = 5_000;
const PINGS_EVERY_TICKS = 2;
const AT_STOP_M = 30;
const THINK_MS = { min: 1_000, max: 9_000 } as const;
const PULL_RATE = 0.01;
const HOME_RATE = 0.002;
/** Goes home for longer than a node keeps it in memory, without a network. */
const LONG_REST_RATE = 0.25;
const LONG_REST_MS = { min: 200_000, max: 300_000 } as const;
/** Faster than in life, so that minutes see many deliveries from end to end. */
const SPEEDS_MPS: Readonly<Record<Vehicle, number>> = {
  walk: 10,
  bike: 20,
  scooter: 25,
  car: 30,
  van: 25,
};

const HURRY = 5;
const LATE_MS = 10_000;

export class CourierApp {
  readonly id: CourierId;
  readonly vehicle: Vehicle;
  point: LngLat;
  readonly #ports: AppPorts;
  readonly #random: SeededRandom;
  readonly #tasks = new Map<string, Task>();
  readonly #seq: SeqStore;
  #phone: Phone | null = null;
  #client: CourierClient | null = null;
  #ticks = 0;
  #standsUntil: Millis = 0;
  #keptSeq: number | null = null;
  /** Of this run of the app. */
  #order = new FrameOrder();
  /** The phone before this one, which nobody has turned off. */
  #older: Phone | null = null;
  #phones = 0;
  readonly #seen = new Set<string>();
  /** True time. */
  #connectedAt: Millis = 0;
  /** When it was said to be heard, true time. */
  readonly #refused = new Map<string, Millis>();
  #mayPing = true;

  constructor(
    id: CourierId,
    vehicle: Vehicle,
    point: LngLat,
    ports: AppPorts,
    random: SeededRandom,
  ) {
    this.id = id;
    this.vehicle = vehicle;
    this.point = point;
    this.#ports = ports;
    this.#random = random;
    this.#seq = {
      load: () => this.#keptSeq,
      save: (seq) => {
        this.#keptSeq = seq;
      },
    };
  }

  get phone(): Phone | null {
    return this.#phone;
  }
  get tasks(): number {
    return this.#tasks.size;
  }
  /**
   * The app believes so, and so it is: a connection may be dead for a minute before its ends
   * notice.
   */
  get isConnected(): boolean {
    if (this.#client?.state.at !== "connected") return false;
    return [...(this.#phone?.sockets ?? [])].some((socket) => socket.isWhole);
  }
  connectedForMs(now: Millis): number {
    return now - this.#connectedAt;
  }
  /**
   * Whether an offer of it was shown by this run of the app, or the courier has said something to
   * it.
   */
  hasSeen(delivery: string): boolean {
    return this.#seen.has(delivery);
  }
  /** The replicas are compared while nobody moves. */
  stopPinging(): void {
    this.#mayPing = false;
  }

  /** Starts the app, unless it runs. */
  open(): void {
    if (this.#client !== null) return;
    const phone = makePhone(this.id, this.#ports, this.#random, `${this.id}#${++this.#phones}`);
    const options = sessionOptions(`courier:${this.id}`, phone, this.#ports, this.#random);
    const client = new CourierClient({ ...options, seqStore: this.#seq });
    const order = new FrameOrder();
    phone.onFrame = (bytes) => order.hears(bytes);
    this.#order = order;
    this.#phone = phone;
    this.#client = client;
    this.#seen.clear();
    this.#listen(client);
    client.start().catch(() => undefined);
    this.#goOnShift(client);
    phone.machine.clock.after(this.#random.between(0, TICK_MS), () => this.#tick(client));
  }

  /** The phone is dead, at once and without a word. */
  vanish(): void {
    if (this.#phone === null) return;
    this.#ports.history.line(this.id, "vanishes");
    this.#phone.machine.kill();
    this.#ports.doors.breakAll(this.#phone);
    this.#phone = null;
    this.#client = null;
    this.#tasks.clear();
  }

  /** Signs in on another phone. The one before stays on until the gateway shows it the door. */
  openSecond(): boolean {
    if (this.#phone === null || this.#older !== null) return false;
    this.#ports.history.line(this.id, "takes another phone");
    this.#older = this.#phone;
    this.#phone = null;
    this.#client = null;
    this.#keptSeq = null;
    this.#tasks.clear();
    this.open();
    return true;
  }

  /** The phone before is turned off. */
  closeSecond(): void {
    const older = this.#older;
    if (older === null) return;
    this.#older = null;
    older.machine.kill();
    this.#ports.doors.breakAll(older);
  }

  /** All that keeps it from working ends. */
  comeToSenses(): void {
    this.closeSecond();
    this.#standsUntil = 0;
    if (this.#phone !== null) this.#phone.isOffline = false;
    this.open();
  }

  #goOnShift(client: CourierClient): void {
    client.goOnShift().catch(() => {
      this.#phone?.machine.clock.after(TICK_MS, () => {
        if (this.#client === client) this.#goOnShift(client);
      });
    });
  }

  #listen(client: CourierClient): void {
    const mine = (run: () => void): void => {
      if (this.#client === client) run();
    };
    client.on("state", ({ at }) =>
      mine(() => {
        if (at === "connected") this.#connectedAt = this.#ports.clock.now();
        // The older phone came back once more and was welcomed: the courier takes this one again.
        if (at === "closed") this.#takeAgain(client);
      }),
    );
    client.on("offer", ({ delivery }) =>
      mine(() => {
        this.#checkFrame("offer", delivery);
        this.#seen.add(delivery);
        this.#checkRefused(delivery);
        this.#consider(client, delivery);
      }),
    );
    client.on("withdrawn", ({ delivery, reason }) => {
      // Said by the client itself: no frame stands behind it.
      if (reason !== "not_recovered") mine(() => this.#checkFrame("withdrawn", delivery));
    });
    client.on("assignment", (assignment) => mine(() => this.#begin(assignment)));
    client.on("assignmentOver", ({ delivery, reason }) =>
      mine(() => {
        if (reason !== "reconciled") this.#checkFrame("assignment over", delivery);
        this.#tasks.delete(delivery);
      }),
    );
  }

  /**
   * D7: who refused is not asked again in the same search. An offer that was on its way, or whose
   * end was lost, may be shown once more as long as it would have been valid; that no owner asks
   * again is for `Checks.deliveryStepped` to say.
   */
  #checkRefused(delivery: string): void {
    const { checks, history, clock } = this.#ports;
    const refusedAt = this.#refused.get(delivery);
    if (refusedAt === undefined || checks.eventsOf(delivery).length > 1) return;
    const isOld = clock.now() - refusedAt > SIM_SETTINGS.OFFER_TTL_MS + LATE_MS;
    const text = `${this.id} refused ${delivery} at ${refusedAt} and is asked again`;
    history.demand(!isOld, "D7", text, [this.id, delivery]);
  }

  #takeAgain(client: CourierClient): void {
    this.#phone?.machine.clock.after(this.#random.between(THINK_MS.min, THINK_MS.max), () => {
      if (this.#client === client) client.start().catch(() => undefined);
    });
  }

  #checkFrame(what: string, delivery: string): void {
    this.#ports.history.line(this.id, `sees ${what} of ${delivery}`);
    const text = `${this.id} is shown an old ${what} of ${delivery}`;
    this.#ports.history.demand(!this.#order.isOld, "D8", text, [this.id, delivery]);
  }

  #tick(client: CourierClient): void {
    const phone = this.#phone;
    if (this.#client !== client || phone === null) return;
    const { clock } = phone.machine;
    clock.after(TICK_MS, () => this.#tick(client));
    this.#ticks += 1;
    if (clock.now() >= this.#standsUntil) this.#move();
    if (this.#ticks % PINGS_EVERY_TICKS === 0 && this.#mayPing) {
      this.#ports.checks.pinged(this.id, clock.now());
      client.ping(this.point);
    }
    const [task] = this.#tasks.values();
    if (task !== undefined) {
      if (!task.isBusy) this.#work(client, task);
    } else if (this.#ports.isOpen()) {
      if (this.#random.chance(PULL_RATE)) this.#pull(client, phone);
      else if (this.#random.chance(HOME_RATE)) this.#restAWhile(client);
    }
  }

  #move(): void {
    const [task] = this.#tasks.values();
    if (task === undefined) return;
    const goal = task.pickedUp ? task.dropoff : task.pickup;
    const away = distanceM(this.point, goal);
    // When it is over, everybody hurries home.
    const hurry = this.#ports.isOpen() ? 1 : HURRY;
    const stepM = (hurry * SPEEDS_MPS[this.vehicle] * TICK_MS) / 1_000;
    const share = away === 0 ? 1 : Math.min(1, stepM / away);
    this.point = {
      lng: this.point.lng + (goal.lng - this.point.lng) * share,
      lat: this.point.lat + (goal.lat - this.point.lat) * share,
    };
  }

  #work(client: CourierClient, task: Task): void {
    const goal = task.pickedUp ? task.dropoff : task.pickup;
    if (distanceM(this.point, goal) > AT_STOP_M) return;
    const status = task.pickedUp
      ? this.#random.chance(0.05)
        ? "returned"
        : "delivered"
      : "picked_up";
    task.isBusy = true;
    client.reportStatus(task.id, status).then(
      () => {
        task.isBusy = false;
        if (status === "picked_up") task.pickedUp = true;
        else this.#tasks.delete(task.id);
      },
      (error: { readonly code?: string }) => {
        task.isBusy = false;
        // Somebody else's by now, or over: what is true comes with the next welcome.
        if (error.code !== "unavailable") this.#tasks.delete(task.id);
      },
    );
  }

  #consider(client: CourierClient, delivery: string): void {
    const answer = this.#random.unit();
    const thinkMs = this.#random.between(THINK_MS.min, THINK_MS.max);
    this.#phone?.machine.clock.after(thinkMs, () => {
      if (this.#client !== client) return;
      const isOffered = client.offers().some((offer) => offer.delivery === delivery);
      if (!isOffered) return;
      if (answer < 0.6) this.#accept(client, delivery);
      else if (answer < 0.8) this.#decline(client, delivery);
    });
  }

  #decline(client: CourierClient, delivery: string): void {
    client.decline(delivery).then(
      () => {
        this.#refused.set(delivery, this.#ports.clock.now());
        this.#ports.checks.declineAnswered(delivery, this.id);
      },
      () => undefined,
    );
  }

  #accept(client: CourierClient, delivery: string): void {
    client.accept(delivery).catch(() => undefined);
    // D4: impatient people press twice, and once more when it is long done.
    if (this.#random.chance(0.15)) client.accept(delivery).catch(() => undefined);
    if (!this.#random.chance(0.1)) return;
    this.#phone?.machine.clock.after(this.#random.between(500, 20_000), () => {
      if (this.#client === client && this.#tasks.has(delivery)) {
        client.accept(delivery).catch(() => undefined);
      }
    });
  }

  /** Takes something that was not offered. */
  #pull(client: CourierClient, phone: Phone): void {
    const rest = new RestClient(
      sessionOptions(`courier:${this.id}`, phone, this.#ports, this.#random),
    );
    rest.available(this.point).then(
      (found) => {
        const [first] = found;
        if (first !== undefined && this.#client === client) this.#accept(client, first.id);
      },
      () => undefined,
    );
  }

  #restAWhile(client: CourierClient): void {
    const isLong = this.#random.chance(LONG_REST_RATE);
    const restMs = isLong
      ? this.#random.between(LONG_REST_MS.min, LONG_REST_MS.max)
      : this.#random.between(10_000, 40_000);
    client.goOffShift().then(
      () => {
        if (isLong && this.#client === client) this.#loseNetwork(restMs);
      },
      () => undefined,
    );
    this.#phone?.machine.clock.after(restMs, () => {
      if (this.#client === client) this.#goOnShift(client);
    });
  }

  /** The app goes on, and hears and says nothing until then. */
  #loseNetwork(lastsMs: number): void {
    const phone = this.#phone;
    if (phone === null || phone.isOffline || !this.#ports.isOpen()) return;
    this.#ports.history.line(this.id, "rests without a network");
    phone.isOffline = true;
    this.#ports.doors.breakAll(phone);
    this.#ports.clock.after(lastsMs, () => {
      phone.isOffline = false;
    });
  }

  #begin(view: AssignmentView): void {
    if (view.status !== "assigned" && view.status !== "picked_up") return;
    this.#ports.history.line(this.id, `begins ${view.id}`);
    const isNew = !this.#tasks.has(view.id);
    this.#tasks.set(view.id, {
      id: view.id,
      pickup: { lng: view.origin.lng, lat: view.origin.lat },
      dropoff: { lng: view.destination.lng, lat: view.destination.lat },
      pickedUp: view.status === "picked_up",
      isBusy: false,
    });
    if (isNew) this.#misfortune();
  }

  #misfortune(): void {
    const { vanishRate, standRate } = this.#ports.people();
    const chance = this.#random.unit();
    const now = this.#phone?.machine.clock.now() ?? 0;
    if (chance < vanishRate) {
      this.#ports.clock.after(this.#random.between(1_000, 60_000), () => {
        if (!this.#ports.isOpen()) return;
        this.vanish();
        this.#ports.clock.after(this.#random.between(5_000, 240_000), () => this.open());
      });
    } else if (chance < vanishRate + standRate) {
      this.#standsUntil = now + this.#random.between(60_000, 300_000);
    }
  }
}
