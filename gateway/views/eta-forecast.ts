/**
 * What a new delivery may expect of the fleet as it stands: the couriers who would be asked, with
 * what they carry already, or the backlog where nobody is free. It reads the fleet every few
 * seconds and answers from memory; a create never waits for it, and without a fresh reading there
 * is no forecast (`estimates.ts` then takes an average courier).
 */
import { distanceM } from "../../actors/geo.ts";
import { visits } from "../../engine/geo/route.ts";
import type { Errand, Visit } from "../../engine/geo/route.ts";
import type { TravelTime } from "../../engine/geo/travel-time.ts";
import { repeat } from "../../engine/io/clock.ts";
import { errorFields } from "../../engine/io/log.ts";
import type { Fleet, FleetCourier } from "../../engine/store/fleet.ts";
import { CARRIES } from "../../proto/geo.ts";
import type { LngLat, PackageSize, Vehicle } from "../../proto/geo.ts";
import type { CourierId, Millis } from "../../proto/ids.ts";
import { FLEET_AGE_MAX_MS, FLEET_READ_MS } from "../../proto/limits.ts";
import type { Deps } from "../base/deps.ts";

/**
 * From the create to the accept where nothing is known: people need 15 to 30 s, and not everybody
 * takes the first offer.
 */
export const ASSIGNMENT_S = 60;
/** So many searches say how long one takes at present. */
const SEARCHES_MIN = 10;
/** Couriers near enough to be ranked by travel time: a car from further away may be there first. */
const RANKED_COURIERS = 8;
const METRES_PER_DEGREE = 111_195;
const NEW = "new";

export type Trip = {
  readonly pickup: LngLat;
  readonly dropoff: LngLat;
  /** Required by the customer, or null. */
  readonly vehicle: Vehicle | null;
  readonly size: PackageSize;
  readonly readyAt: Millis | null;
};
/** Seconds from now. `waitS`: nobody is free, and probably so long. */
export type Expectation =
  | { readonly kind: "couriers"; readonly pickedUpS: number; readonly deliveredS: number }
  | { readonly kind: "backlog"; readonly waitS: number };

type Reading = {
  readonly at: Millis;
  readonly fleet: Fleet;
  /**
   * Where the couriers are, and whether they may take more: flat, since each create looks at all of
   * them.
   */
  readonly lng: Float64Array;
  readonly lat: Float64Array;
  readonly free: Uint8Array;
  readonly carried: ReadonlyMap<CourierId, readonly Errand[]>;
  readonly searchS: number;
  /**
   * Of each courier, in the fleet's order, what it has left to do; reckoned when it is first
   * needed.
   */
  left: readonly Left[] | null;
};
/** Seconds until each errand is done, added up, and how many they are. */
type Left = { readonly seconds: number; readonly places: number };

export class EtaForecast {
  readonly #deps: Pick<Deps, "travel" | "clock" | "config">;
  readonly #stop: () => void;
  #reading: Reading | null = null;

  constructor(deps: Pick<Deps, "fleet" | "travel" | "clock" | "config" | "log">) {
    this.#deps = deps;
    const { fleet, clock, log } = deps;
    if (fleet === undefined) {
      this.#stop = () => undefined;
      return;
    }
    const read = async (): Promise<void> => {
      try {
        this.learn(await fleet.fleet());
      } catch (error) {
        log.debug(errorFields(error), "the fleet could not be read for estimates");
      }
    };
    const stop = repeat(clock, FLEET_READ_MS, read);
    this.#stop = () => void stop();
  }

  /** Takes in a reading of the fleet. */
  learn(fleet: Fleet): void {
    const at = this.#deps.clock.now();
    const carried = new Map<CourierId, Errand[]>();
    for (const { id, courier, pickup, dropoff, readyAt } of fleet.deliveries) {
      const errands = carried.get(courier) ?? [];
      carried.set(courier, errands);
      errands.push({ id, pickup, dropoff, readyS: Math.max(0, ((readyAt ?? 0) - at) / 1000) });
    }
    const { couriers } = fleet;
    this.#reading = {
      at,
      fleet,
      lng: Float64Array.from(couriers, ({ lng }) => lng),
      lat: Float64Array.from(couriers, ({ lat }) => lat),
      free: Uint8Array.from(couriers, ({ slots }) => (slots > 0 ? 1 : 0)),
      carried,
      searchS: usualSearchS(fleet),
      left: null,
    };
  }

  /** What the courier carries, as far as it is known. */
  carriedBy(courier: CourierId): readonly Errand[] {
    return this.#fresh()?.carried.get(courier) ?? [];
  }

  /** Null when nothing is known of the fleet, or nobody is within reach. */
  expect(trip: Trip): Expectation | null {
    const reading = this.#fresh();
    if (reading === null) return null;
    const reachM = this.#deps.config.settings.WAVE_3_RADIUS_M;
    const asked = this.#askedFirst(reading, trip, reachM);
    if (asked.length === 0) return expectBacklog(this.#deps.travel, reading, trip, reachM);
    const { pickup, dropoff, readyAt } = trip;
    const readyS = readyAt === null ? 0 : (readyAt - this.#deps.clock.now()) / 1000;
    const errand: Errand = { id: NEW, pickup, dropoff, readyS: readyS - reading.searchS };
    let [pickedUpS, deliveredS] = [0, 0];
    for (const courier of asked) {
      const errands = [...(reading.carried.get(courier.id) ?? []), errand];
      const all = visits(this.#deps.travel, courier, courier.vehicle, errands);
      const visit = all.get(NEW) as Visit;
      pickedUpS += (visit.pickedUpS as number) / asked.length;
      deliveredS += visit.deliveredS / asked.length;
    }
    const { searchS } = reading;
    return { kind: "couriers", pickedUpS: pickedUpS + searchS, deliveredS: deliveredS + searchS };
  }

  /** Those who would get the first offers. Any of them may be the one who takes it. */
  #askedFirst(reading: Reading, trip: Trip, reachM: number): FleetCourier[] {
    const { travel, config } = this.#deps;
    const { pickup, vehicle, size } = trip;
    const { lng, lat, free } = reading;
    const carriers = CARRIES[size];
    const cosine = cosineOf(pickup);
    const near: { courier: FleetCourier; away: number }[] = [];
    let worst = squareOf(reachM);
    for (let i = 0; i < free.length; i++) {
      if (free[i] === 0) continue;
      const east = ((lng[i] as number) - pickup.lng) * cosine;
      const north = (lat[i] as number) - pickup.lat;
      const away = east * east + north * north;
      if (away > worst) continue;
      const courier = reading.fleet.couriers[i] as FleetCourier;
      if (!carriers.includes(courier.vehicle) || (vehicle ?? courier.vehicle) !== courier.vehicle) {
        continue;
      }
      near.push({ courier, away });
      near.sort((a, b) => a.away - b.away);
      if (near.length > RANKED_COURIERS) near.pop();
      if (near.length === RANKED_COURIERS) worst = (near.at(-1) as { away: number }).away;
    }
    return near
      .map(({ courier }) => ({ courier, s: travel.estimateS(courier, pickup, courier.vehicle) }))
      .toSorted((a, b) => a.s - b.s)
      .slice(0, config.settings.WAVE_COURIERS)
      .map(({ courier }) => courier);
  }

  #fresh(): Reading | null {
    const reading = this.#reading;
    const isFresh = reading !== null && this.#deps.clock.now() - reading.at <= FLEET_AGE_MAX_MS;
    return isFresh ? reading : null;
  }

  stop(): void {
    this.#stop();
  }
}

/**
 * The median of the present deliveries; what waited for a free courier says nothing of those who
 * find one.
 */
function usualSearchS({ deliveries }: Fleet): number {
  if (deliveries.length < SEARCHES_MIN) return ASSIGNMENT_S;
  const sorted = deliveries.map(({ searchS }) => searchS).toSorted((a, b) => a - b);
  return Math.min(ASSIGNMENT_S, sorted[sorted.length >> 1] as number);
}

/**
 * Everybody within reach is busy. Places become free at the rate places / time that one is taken;
 * what is left of that time is half of it on average. So long until everybody who waits, and this
 * one, has had a place.
 */
function expectBacklog(
  travel: TravelTime,
  reading: Reading,
  { pickup, vehicle }: Trip,
  reachM: number,
): Expectation | null {
  const left = (reading.left ??= leftOf(travel, reading));
  const { lng, lat, fleet } = reading;
  const cosine = cosineOf(pickup);
  const reach = squareOf(reachM);
  let places = 0;
  let seconds = 0;
  for (let i = 0; i < lng.length; i++) {
    const east = ((lng[i] as number) - pickup.lng) * cosine;
    const north = (lat[i] as number) - pickup.lat;
    if (east * east + north * north > reach) continue;
    if (vehicle !== null && fleet.couriers[i]?.vehicle !== vehicle) continue;
    const own = left[i] as Left;
    places += own.places;
    seconds += own.seconds;
  }
  if (places === 0) return null;
  const waiting = fleet.backlogs
    .filter((backlog) => distanceM(backlog, pickup) <= reachM)
    .reduce((sum, backlog) => sum + backlog.waiting, 1);
  return { kind: "backlog", waitS: (waiting * 2 * (seconds / places)) / places };
}

const leftOf = (travel: TravelTime, { fleet, carried }: Reading): Left[] =>
  fleet.couriers.map((courier) => {
    const errands = carried.get(courier.id) ?? [];
    const done = visits(travel, courier, courier.vehicle, errands);
    const seconds = [...done.values()].reduce((sum, { deliveredS }) => sum + deliveredS, 0);
    return { seconds, places: done.size };
  });

const squareOf = (metres: number): number => (metres / METRES_PER_DEGREE) ** 2;

/**
 * Distances are those of a plane, in degrees of latitude, squared: good enough within a city, and
 * quick.
 */
const cosineOf = ({ lat }: LngLat): number => Math.cos((lat * Math.PI) / 180);
