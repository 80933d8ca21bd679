/**
 * One courier: follows its trace, answers offers as people do, rides to doors and reports. It moves
 * in world time and knows the server only through the SDK. It refuses to teleport: whatever the
 * trace does, it moves at a speed that the server believes.
 */
import { distanceM } from "../../actors/geo.ts";
import { DETOUR_FACTOR, DROPOFF_HANDLING_S, PACES } from "../../engine/geo/travel-time.ts";
import { PICKUP_HANDLING_S } from "../../engine/geo/travel-time.ts";
import { DispatchError } from "../../proto/errors.ts";
import type { LngLat, Vehicle } from "../../proto/geo.ts";
import type { CourierClient, Offer } from "../../sdk/courier-client.ts";
import type { AssignmentView } from "../../proto/views.ts";
import { FLEET_SPEED_MAX_MPS } from "./fleet.ts";
import type { ReplayOptions } from "./options.ts";
import { logNormal } from "./random.ts";
import type { Random } from "./random.ts";
import type { Tales } from "./tales.ts";
import type { WorldClock } from "./world-clock.ts";
import { towards } from "./world.ts";
import type { Trace } from "./world.ts";

export type BotOptions = {
  readonly id: string;
  readonly vehicle: Vehicle;
  readonly client: CourierClient;
  readonly trace: Trace;
  readonly clock: WorldClock;
  readonly tales: Tales;
  readonly random: Random;
  readonly replay: ReplayOptions;
  /** Wall-clock metres a second that the server still believes, with a margin. */
  readonly believedMps: number;
};

/** Of each accept this share is sent a second time: the answer must be the same (D4). */
const REPEATED_ACCEPTS = 0.03;
/**
 * Straight distance below which a leg's start time counts in proportion (as the server's estimate
 * has it).
 */
const START_FULL_M = 500;
/**
 * How much couriers differ from each other, and one stop from another: 95th percentile over median.
 */
const PACE_SPREAD = 1.25;
const HANDLING_SPREAD = 2;

/** One delivery in the bag, or to be fetched. */
type Task = {
  readonly delivery: string;
  readonly pickup: LngLat;
  readonly dropoff: LngLat;
  pickedUp: boolean;
  /** World time until which it stands at the present stop; null when it is not there yet. */
  handlingUntilS: number | null;
  /** World time at which it sets off on the present leg; null before the leg is begun. */
  setsOffAtS: number | null;
  reporting: boolean;
};

export class CourierBot {
  readonly #o: BotOptions;
  readonly #tasks = new Map<string, Task>();
  readonly #paceFactor: number;
  #position: LngLat | null = null;
  #movedAtS: number;
  #wantsShift = false;
  #shiftChanging = false;
  #deciding = 0;
  #closing = false;

  constructor(options: BotOptions) {
    this.#o = options;
    this.#paceFactor = logNormal(options.random, 1, PACE_SPREAD);
    this.#movedAtS = options.clock.at();
    const { client, tales } = options;
    client.on("offer", (offer) => this.#offered(offer));
    client.on("withdrawn", () => tales.count("withdrawn"));
    client.on("assignment", (assignment) => this.#assigned(assignment));
    client.on("assignmentOver", ({ delivery, reason }) => {
      this.#tasks.delete(delivery);
      tales.count(`assignment over: ${reason}`);
    });
    client.on("state", (state) => {
      // The first connection was made before there was a bot.
      if (state.at === "connected") tales.count("courier reconnects");
      if (state.at === "closed" && state.reason.code !== 101) {
        tales.count(`courier closed: ${state.reason.code}`);
      }
    });
    client.on("error", (error) => tales.error("courier socket", error));
    client.on("healed", (error) => tales.heal("courier", error));
  }

  get id(): string {
    return this.#o.id;
  }
  get isBusy(): boolean {
    return this.#tasks.size > 0;
  }
  get position(): LngLat | null {
    return this.#position;
  }

  /** Moves to where it is now in world time and reports that. Called once in each ping interval. */
  tick(): void {
    const nowS = this.#o.clock.at();
    const seconds = Math.max(0, nowS - this.#movedAtS);
    this.#movedAtS = nowS;
    const spot = this.#o.trace.at(nowS);
    this.#position ??= spot;
    if (this.#position === null) return;
    const task = this.#nextTask();
    if (task !== null) this.#work(task, nowS, seconds);
    else if (spot !== null) this.#follow(spot, seconds);
    this.#decideShift(spot !== null || this.#tasks.size > 0);
    if (!this.#wantsShift) return;
    this.#o.client.ping(this.#position);
    this.#o.tales.count("pings");
  }

  /** Takes no more offers. */
  close(): void {
    this.#closing = true;
  }

  #follow(spot: LngLat, seconds: number): void {
    const here = this.#position as LngLat;
    const metres = distanceM(here, spot);
    this.#position = towards(here, spot, metres, this.#reach(seconds, metres));
  }

  /** Metres that it may move in so many world seconds without being taken for a teleport. */
  #reach(seconds: number, metres: number, wantedMps = FLEET_SPEED_MAX_MPS): number {
    const believed = this.#o.believedMps / this.#o.clock.compression;
    const reach = Math.min(wantedMps, believed) * seconds;
    if (wantedMps > believed && metres > reach) {
      this.#o.tales.count("moves held back by the speed limit");
    }
    return reach;
  }

  #decideShift(online: boolean): void {
    const { client, tales } = this.#o;
    this.#wantsShift = online && !this.#closing ? true : this.#tasks.size > 0;
    if (this.#shiftChanging || client.state.at !== "connected") return;
    if (client.online === this.#wantsShift) return;
    this.#shiftChanging = true;
    const change = this.#wantsShift ? client.goOnShift() : client.goOffShift();
    change
      .catch((error: unknown) => tales.error("shift", error))
      .finally(() => {
        this.#shiftChanging = false;
      });
  }

  #offered(offer: Offer): void {
    const { replay, random, clock, tales } = this.#o;
    const tale = tales.of(offer.delivery);
    tale.offers++;
    tale.firstOfferAt ??= Date.now();
    tales.count("offers");
    const full = this.#tasks.size + this.#deciding >= replay.capacity;
    const mood = random();
    if (full || this.#closing || mood < replay.ignoreRate) {
      tales.count("offers ignored");
      return;
    }
    const declines = mood < replay.ignoreRate + replay.declineRate;
    const { p50, p95 } = replay.acceptDelayMs;
    const waitMs = clock.wallMs(logNormal(random, p50, p95) / 1_000);
    if (!declines) this.#deciding++;
    setTimeout(() => {
      if (declines) return void this.#decline(offer);
      void this.#accept(offer).finally(() => this.#deciding--);
    }, waitMs);
  }

  async #decline(offer: Offer): Promise<void> {
    const { client, tales } = this.#o;
    try {
      await client.decline(offer.delivery, "too far");
      tales.count("declines");
    } catch (error) {
      tales.error("decline", error);
    }
  }

  async #accept(offer: Offer): Promise<void> {
    const { client, tales, random, id } = this.#o;
    const open = client.offers().some((other) => other.delivery === offer.delivery);
    if (!open) return tales.count("offers gone before the tap");
    const sentAt = Date.now();
    try {
      await client.accept(offer.delivery);
    } catch (error) {
      return tales.error("accept", error);
    }
    const tale = tales.of(offer.delivery);
    tale.acceptSentAt ??= sentAt;
    tale.acceptedAt ??= Date.now();
    tale.courier = id;
    tale.pickupDistanceM ??= offer.distanceM;
    tales.count("accepts");
    tales.acknowledged.accepts.push({ delivery: offer.delivery, courier: id });
    if (random() < REPEATED_ACCEPTS) await this.#acceptAgain(offer.delivery);
  }

  async #acceptAgain(delivery: string): Promise<void> {
    const { client, tales, id } = this.#o;
    try {
      await client.accept(delivery);
      tales.count("repeated accepts");
    } catch (error) {
      tales.error("repeated accept", error);
      const answered = error instanceof DispatchError && error.code === "delivery_taken";
      // Unless it was taken away in the meantime, which the client would have told.
      if (answered && this.#tasks.has(delivery)) {
        const text = `a repeated accept of ${id} was refused`;
        tales.violations.push({ rule: "D4", delivery, text });
      }
    }
  }

  #assigned(assignment: AssignmentView): void {
    if (this.#tasks.has(assignment.id)) return;
    this.#tasks.set(assignment.id, {
      delivery: assignment.id,
      pickup: { lng: assignment.origin.lng, lat: assignment.origin.lat },
      dropoff: { lng: assignment.destination.lng, lat: assignment.destination.lat },
      pickedUp: assignment.status === "picked_up",
      handlingUntilS: null,
      setsOffAtS: null,
      reporting: false,
    });
  }

  /** The stop it stands at, else the nearest one. */
  #nextTask(): Task | null {
    let best: Task | null = null;
    let bestM = Number.POSITIVE_INFINITY;
    for (const task of this.#tasks.values()) {
      if (task.handlingUntilS !== null || task.setsOffAtS !== null) return task;
      const metres = distanceM(this.#position as LngLat, stopOf(task));
      if (metres < bestM) [best, bestM] = [task, metres];
    }
    return best;
  }

  #work(task: Task, nowS: number, seconds: number): void {
    const here = this.#position as LngLat;
    const pace = PACES[this.#o.vehicle];
    const metres = distanceM(here, stopOf(task));
    if (task.handlingUntilS !== null) {
      if (nowS >= task.handlingUntilS && !task.reporting) void this.#report(task);
      return;
    }
    task.setsOffAtS ??= nowS + pace.startS * Math.min(1, metres / START_FULL_M);
    const riding = Math.min(seconds, nowS - task.setsOffAtS);
    if (riding <= 0) return;
    const speed = (pace.speedMps * this.#paceFactor) / DETOUR_FACTOR;
    const reach = this.#reach(riding, metres, speed);
    this.#position = towards(here, stopOf(task), metres, reach);
    if (metres > reach) return;
    const handlingS = task.pickedUp ? DROPOFF_HANDLING_S : PICKUP_HANDLING_S;
    // The rest of this tick is already spent at the door.
    const late = reach <= 0 ? 0 : seconds * (1 - metres / reach);
    task.handlingUntilS =
      nowS - late + logNormal(this.#o.random, handlingS, handlingS * HANDLING_SPREAD);
  }

  async #report(task: Task): Promise<void> {
    const { client, tales } = this.#o;
    const status = task.pickedUp ? "delivered" : "picked_up";
    task.reporting = true;
    try {
      await client.reportStatus(task.delivery, status);
      tales.acknowledged.statuses.push({ delivery: task.delivery, status });
      tales.count(status);
      this.#reported(task);
    } catch (error) {
      tales.error(`status ${status}`, error);
      const over = error instanceof DispatchError && error.retryAfterS === null;
      if (over) this.#tasks.delete(task.delivery);
    } finally {
      task.reporting = false;
    }
  }

  #reported(task: Task): void {
    const tale = this.#o.tales.of(task.delivery);
    task.handlingUntilS = null;
    task.setsOffAtS = null;
    if (!task.pickedUp) {
      task.pickedUp = true;
      tale.pickedUpAt = Date.now();
      return;
    }
    tale.endedAt = Date.now();
    tale.status = "delivered";
    this.#tasks.delete(task.delivery);
  }
}

const stopOf = (task: Task): LngLat => (task.pickedUp ? task.dropoff : task.pickup);
