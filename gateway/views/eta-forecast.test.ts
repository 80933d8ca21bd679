/** What a new delivery may expect of the fleet. */
import { describe, expect, it } from "vitest";
import { PICKUP_HANDLING_S, createGreatCircleTravel } from "../../engine/geo/travel-time.ts";
import { VirtualClock } from "../../engine/io/virtual-clock.ts";
import { createLog } from "../../engine/io/log.ts";
import type { Fleet, FleetCourier, FleetDelivery } from "../../engine/store/fleet.ts";
import type { CourierId, DeliveryId } from "../../proto/ids.ts";
import { DISPATCH_DEFAULTS, FLEET_AGE_MAX_MS, FLEET_READ_MS } from "../../proto/limits.ts";
import type { Deps } from "../base/deps.ts";
import { ASSIGNMENT_S, EtaForecast } from "./eta-forecast.ts";
import type { Expectation, Trip } from "./eta-forecast.ts";

const NOW = Date.parse("2026-05-03T14:00:00Z");
const east = (metres: number) => ({ lng: -122.42 + metres / 87_900, lat: 37.77 });
const courier = (id: string, metres: number, more: Partial<FleetCourier> = {}): FleetCourier => ({
  ...{ ...east(metres), id: id as CourierId, vehicle: "bike", slots: 1 },
  ...more,
});
const delivery = (carrier: string, fromM: number, toM: number): FleetDelivery => ({
  id: `del_${carrier}` as DeliveryId,
  courier: carrier as CourierId,
  pickup: east(fromM),
  dropoff: east(toM),
  readyAt: null,
  searchS: 20,
});
const trip: Trip = {
  ...{ pickup: east(0), dropoff: east(2_000), vehicle: null, size: "small", readyAt: null },
};
const empty: Fleet = { couriers: [], deliveries: [], backlogs: [] };

function outlookOf(fleet: () => Promise<Fleet>) {
  const clock = new VirtualClock(NOW);
  const deps = {
    fleet: { fleet },
    travel: createGreatCircleTravel(),
    clock,
    log: createLog("silent", {}),
    config: { settings: DISPATCH_DEFAULTS },
  } as unknown as Deps;
  return { clock, forecast: new EtaForecast(deps) };
}
const expectOf = (fleet: Partial<Fleet>, more: Partial<Trip> = {}): Expectation | null => {
  const { forecast } = outlookOf(() => new Promise(() => undefined));
  forecast.learn({ ...empty, ...fleet });
  return forecast.expect({ ...trip, ...more });
};
const pickedUpS = (expected: Expectation | null): number =>
  expected?.kind === "couriers" ? expected.pickedUpS : Number.NaN;

describe("the forecast", () => {
  it("is sooner the nearer the couriers are", () => {
    const near = pickedUpS(expectOf({ couriers: [courier("a", 300)] }));
    const far = pickedUpS(expectOf({ couriers: [courier("a", 3_000)] }));
    expect(near).toBeLessThan(far);
  });

  it("counts what a courier carries already", () => {
    const couriers = [courier("a", 800)];
    const free = pickedUpS(expectOf({ couriers }));
    const loaded = pickedUpS(expectOf({ couriers, deliveries: [delivery("a", 700, 100)] }));
    expect(loaded).toBeGreaterThan(free + 300);
  });

  it("is that of the three who would be asked, any of whom may take it", () => {
    const distances = [200, 400, 600, 4_000];
    const couriers = distances.map((metres) => courier(`c${metres}`, metres));
    const three = pickedUpS(expectOf({ couriers }));
    const single = distances.map((metres) =>
      pickedUpS(expectOf({ couriers: [courier("x", metres)] })),
    );
    const [a = 0, b = 0, c = 0] = single;
    expect(three).toBeCloseTo((a + b + c) / 3, 6);
  });

  it("leaves out who is full, cannot carry it or is not of the wanted kind", () => {
    const full = courier("full", 100, { slots: 0 });
    const walker = courier("walker", 100, { vehicle: "walk" });
    expect(expectOf({ couriers: [full, walker] }, { size: "medium" })).toBeNull();
    expect(expectOf({ couriers: [walker] }, { vehicle: "bike" })).toBeNull();
    expect(expectOf({ couriers: [walker] })).not.toBeNull();
  });

  it("is a wait where everybody within reach is busy, longer with each who waits", () => {
    const couriers = [courier("a", 500, { slots: 0 })];
    const deliveries = [delivery("a", 600, 1_600)];
    const alone = expectOf({ couriers, deliveries });
    const backlogs = [{ ...east(100), waiting: 3 }];
    const fourth = expectOf({ couriers, deliveries, backlogs });
    if (alone?.kind !== "backlog" || fourth?.kind !== "backlog") throw new Error("no wait");
    expect(alone.waitS).toBeGreaterThan(300);
    expect(fourth.waitS).toBeCloseTo(alone.waitS * 4, 6);
  });

  it("is a wait that only those count for who are within reach and of the wanted kind", () => {
    const couriers = [courier("a", 500, { slots: 0 })];
    const deliveries = [delivery("a", 600, 1_600)];
    const alone = expectOf({ couriers, deliveries });
    if (alone?.kind !== "backlog") throw new Error("no wait");
    const far = courier("far", 8_000, { slots: 0 });
    const van = courier("van", 300, { slots: 0, vehicle: "van" });
    const more = [...deliveries, delivery("far", 8_000, 8_100), delivery("van", 300, 400)];
    const backlogs = [{ ...east(8_000), waiting: 50 }];
    const all = { couriers: [...couriers, far, van], deliveries: more, backlogs };
    expect(expectOf(all, { vehicle: "bike" })).toEqual(alone);
    expect(expectOf({ ...all, couriers: [far] })).toBeNull();
    // Twice the couriers, half the wait for as many.
    const two = [...couriers, courier("b", 500, { slots: 0 })];
    const both = expectOf({
      couriers: two,
      deliveries: [...deliveries, delivery("b", 600, 1_600)],
    });
    if (both?.kind !== "backlog") throw new Error("no wait");
    expect(both.waitS).toBeCloseTo(alone.waitS / 2, 6);
  });

  it("is no sooner than the parcel is ready, and in seconds", () => {
    const couriers = [courier("a", 300)];
    const now = expectOf({ couriers });
    const later = expectOf({ couriers }, { readyAt: NOW + 3_600_000 });
    if (now?.kind !== "couriers" || later?.kind !== "couriers") throw new Error("nobody");
    expect(later.pickedUpS).toBeCloseTo(3_600 + PICKUP_HANDLING_S, 6);
    expect(later.deliveredS - later.pickedUpS).toBeCloseTo(now.deliveredS - now.pickedUpS, 6);
  });

  it("learns how long a search takes, from ten of them on", () => {
    const couriers = [courier("a", 300)];
    const searches = (count: number): FleetDelivery[] =>
      Array.from({ length: count }, (_, i) => delivery(`other${i}`, 0, 100));
    const unknown = pickedUpS(expectOf({ couriers, deliveries: searches(9) }));
    const known = pickedUpS(expectOf({ couriers, deliveries: searches(10) }));
    expect(unknown - known).toBeCloseTo(ASSIGNMENT_S - 20, 6);
  });

  it("is read again and again, and none when the last reading is too old", async () => {
    let isAway = false;
    const fleet = { ...empty, couriers: [courier("a", 300)] };
    const { clock, forecast } = outlookOf(() =>
      isAway ? Promise.reject(new Error("away")) : Promise.resolve(fleet),
    );
    expect(forecast.expect(trip)).toBeNull();
    await clock.advance(FLEET_READ_MS);
    expect(forecast.expect(trip)).not.toBeNull();
    isAway = true;
    await clock.advance(FLEET_AGE_MAX_MS);
    expect(forecast.expect(trip)).not.toBeNull();
    await clock.advance(2 * FLEET_READ_MS);
    expect(forecast.expect(trip)).toBeNull();
    forecast.stop();
  });
});
