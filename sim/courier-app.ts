/**
 * One courier with a phone: moves, pings, thinks about offers, accepts or not, carries, sometimes vanishes. It behaves
 * like an app of the SDK: commands are repeated until they are answered, frames of an older epoch are dropped.
 * Everything it knows it was told; it never looks into the world.
 */
import { distanceM } from "../actors/geo.ts";
import type { LngLat, Vehicle } from "../proto/geo.ts";
import type { CourierId, DeliveryId, Millis } from "../proto/ids.ts";
import type { ServerFrame } from "../proto/frames.ts";
import type { DeliveryRow } from "../engine/store/port.ts";
import type { Faults } from "./faults.ts";
import type { SeededRandom } from "./random.ts";

/** What the phone can reach. Answers come later, or never: then the app asks again. */
export type Doors = {
  readonly now: () => Millis;
  readonly after: (delayMs: number, run: () => void) => void;
  readonly faults: () => Faults;
  readonly open: (app: CourierApp) => void;
  readonly close: (app: CourierApp) => void;
  readonly ping: (app: CourierApp, seq: number) => void;
  readonly shift: (courier: CourierId, online: boolean, answered: () => void) => void;
  readonly decline: (courier: CourierId, delivery: DeliveryId, answered: () => void) => void;
  readonly accept: (
    courier: CourierId,
    delivery: DeliveryId,
    answered: (row: DeliveryRow | null) => void,
  ) => void;
  readonly status: (
    courier: CourierId,
    delivery: DeliveryId,
    status: "picked_up" | "delivered" | "returned",
    answered: (isDone: boolean) => void,
  ) => void;
};

type Task = {
  readonly delivery: DeliveryId;
  readonly pickup: LngLat;
  readonly dropoff: LngLat;
  pickedUp: boolean;
  isBusy: boolean;
};

const TICK_MS = 5_000;
const PINGS_EVERY_TICKS = 2;
const AT_STOP_M = 30;
const RETRY_MS = 2_000;
const SPEEDS_MPS: Readonly<Record<Vehicle, number>> = {
  walk: 1.5,
  bike: 5,
  scooter: 8,
  car: 9,
  van: 8,
};

export class CourierApp {
  readonly id: CourierId;
  readonly vehicle: Vehicle;
  readonly capacity: number;
  point: LngLat;
  /** Name of the present connection; null without one. */
  session: string | null = null;
  readonly #doors: Doors;
  readonly #random: SeededRandom;
  readonly #tasks: Task[] = [];
  readonly #offers = new Map<DeliveryId, Millis>();
  #sessions = 0;
  #seq = 0;
  #ticks = 0;
  #epoch = 0;
  #silentUntil: Millis = 0;
  #standsUntil: Millis = 0;

  constructor(
    id: CourierId,
    vehicle: Vehicle,
    capacity: number,
    point: LngLat,
    doors: Doors,
    random: SeededRandom,
  ) {
    this.id = id;
    this.vehicle = vehicle;
    this.capacity = capacity;
    this.point = point;
    this.#doors = doors;
    this.#random = random;
  }

  start(): void {
    this.#connect();
    this.#goOnline();
    this.#doors.after(this.#random.between(0, TICK_MS), () => this.#tick());
  }

  #goOnline(): void {
    let isAnswered = false;
    this.#doors.shift(this.id, true, () => {
      isAnswered = true;
    });
    this.#doors.after(RETRY_MS, () => {
      if (!isAnswered) this.#goOnline();
    });
  }

  #connect(): void {
    this.session = `${this.id}-${++this.#sessions}`;
    this.#doors.open(this);
  }

  #isSilent(): boolean {
    return this.#doors.now() < this.#silentUntil;
  }

  #tick(): void {
    this.#doors.after(TICK_MS, () => this.#tick());
    this.#ticks += 1;
    if (this.#doors.now() >= this.#standsUntil) this.#move();
    if (this.#isSilent()) return;
    if (this.session === null) this.#connect();
    else if (this.#random.chance(this.#doors.faults().lostRate / 20)) {
      this.#doors.close(this);
      this.session = null;
      return;
    }
    if (this.#ticks % PINGS_EVERY_TICKS === 0) this.#doors.ping(this, ++this.#seq);
    const [task] = this.#tasks;
    if (task !== undefined && !task.isBusy) this.#work(task);
  }

  #move(): void {
    const [task] = this.#tasks;
    if (task === undefined) return;
    const goal = task.pickedUp ? task.dropoff : task.pickup;
    const away = distanceM(this.point, goal);
    const share = away === 0 ? 1 : Math.min(1, (SPEEDS_MPS[this.vehicle] * TICK_MS) / 1_000 / away);
    this.point = {
      lng: this.point.lng + (goal.lng - this.point.lng) * share,
      lat: this.point.lat + (goal.lat - this.point.lat) * share,
    };
  }

  /** At a stop for a while, then it reports. Pickup times are short so that a run of minutes sees whole lives. */
  #work(task: Task): void {
    const goal = task.pickedUp ? task.dropoff : task.pickup;
    if (distanceM(this.point, goal) > AT_STOP_M) return;
    task.isBusy = true;
    this.#doors.after(this.#random.between(5_000, 20_000), () => {
      const isReturned = task.pickedUp && this.#random.chance(0.05);
      this.#report(task, task.pickedUp ? (isReturned ? "returned" : "delivered") : "picked_up");
    });
  }

  #report(task: Task, status: "picked_up" | "delivered" | "returned"): void {
    if (!this.#tasks.includes(task)) return;
    let isAnswered = false;
    this.#doors.status(this.id, task.delivery, status, (isDone) => {
      if (isAnswered) return;
      isAnswered = true;
      task.isBusy = false;
      task.pickedUp = true;
      if (!isDone || status !== "picked_up") this.#forget(task.delivery);
    });
    this.#doors.after(RETRY_MS, () => {
      if (!isAnswered) this.#report(task, status);
    });
  }

  #forget(delivery: DeliveryId): void {
    const i = this.#tasks.findIndex((task) => task.delivery === delivery);
    if (i >= 0) this.#tasks.splice(i, 1);
  }

  /** A frame arrived on `session`. */
  receive(session: string, frame: ServerFrame): void {
    if (session !== this.session || this.#isSilent()) return;
    if (!("epoch" in frame) || frame.epoch < this.#epoch) return;
    this.#epoch = frame.epoch;
    if (frame.type === "offer") this.#consider(frame.delivery, this.#doors.now() + frame.ttlMs);
    if (frame.type === "withdrawn") this.#offers.delete(frame.delivery);
    if (frame.type === "assignment_over") this.#forget(frame.delivery);
  }

  #consider(delivery: DeliveryId, until: Millis): void {
    const isKnown = this.#offers.has(delivery);
    this.#offers.set(delivery, until);
    if (isKnown) return;
    const answer = this.#random.unit();
    this.#doors.after(this.#random.between(1_000, 12_000), () => {
      if (!this.#offers.has(delivery) || this.#isSilent()) return;
      if (answer < 0.5) this.#accept(delivery);
      else if (answer < 0.75) this.#decline(delivery);
    });
  }

  #decline(delivery: DeliveryId): void {
    this.#offers.delete(delivery);
    let isAnswered = false;
    let tries = 0;
    const ask = (): void => {
      if (isAnswered || tries++ > 3) return;
      this.#doors.decline(this.id, delivery, () => {
        isAnswered = true;
      });
      this.#doors.after(RETRY_MS, ask);
    };
    ask();
  }

  #accept(delivery: DeliveryId): void {
    let isAnswered = false;
    this.#doors.accept(this.id, delivery, (row) => {
      if (isAnswered) return;
      isAnswered = true;
      this.#offers.delete(delivery);
      if (row !== null) this.#begin(row);
      // D4: impatient people press twice.
      if (this.#random.chance(0.2)) this.#doors.accept(this.id, delivery, () => undefined);
    });
    this.#doors.after(RETRY_MS, () => {
      if (!isAnswered) this.#accept(delivery);
    });
  }

  #begin(row: DeliveryRow): void {
    const isMine = row.status === "assigned" && row.courierId === this.id;
    if (!isMine || this.#tasks.some((task) => task.delivery === row.id)) return;
    this.#tasks.push({
      delivery: row.id,
      pickup: { lng: row.pickupLng, lat: row.pickupLat },
      dropoff: { lng: row.dropoffLng, lat: row.dropoffLat },
      pickedUp: false,
      isBusy: false,
    });
    const { vanishRate, standRate } = this.#doors.faults();
    const now = this.#doors.now();
    if (this.#random.chance(vanishRate)) {
      this.#silentUntil = now + this.#random.between(60_000, 360_000);
      if (this.session !== null) this.#doors.close(this);
      this.session = null;
    } else if (this.#random.chance(standRate)) {
      this.#standsUntil = now + this.#random.between(60_000, 360_000);
    }
  }
}
