/**
 * How the tests of test mode go, second by second: the whole plan of a robot is a function of the
 * row and the time.
 */
import { describe, expect, it } from "vitest";
import type { CourierId, DeliveryId, Millis } from "../proto/ids.ts";
import { DISPATCH_DEFAULTS, ROBOTS_PER_TEST_MAX } from "../proto/limits.ts";
import { TEST_SCENARIOS, robotOf } from "../proto/test-mode.ts";
import type { TestScenario } from "../proto/test-mode.ts";
import type { DeliverySnapshot } from "../proto/writes.ts";
import type { RobotDeed } from "./actor.ts";
import { distanceM } from "./geo.ts";
import { robotDeeds } from "./robot.ts";

const T0 = 1_800_000_000_000;
const PICKUP = { lng: -122.4, lat: 37.78 };
const DROPOFF = { lng: -122.42, lat: 37.76 };
const idOf = (scenario: TestScenario): DeliveryId =>
  `tst_005${TEST_SCENARIOS[scenario]}0000000000000000001` as DeliveryId;

function testOf(scenario: TestScenario, more: Partial<DeliverySnapshot> = {}): DeliverySnapshot {
  return {
    job: {
      id: idOf(scenario),
      owner: "acme" as never,
      pickupLng: PICKUP.lng,
      pickupLat: PICKUP.lat,
      pickupArea: null,
      dropoffLng: DROPOFF.lng,
      dropoffLat: DROPOFF.lat,
      dropoffArea: null,
      size: "small",
      vehicle: null,
      createdAt: T0,
      searchUntil: T0 + DISPATCH_DEFAULTS.SEARCH_DEADLINE_MS,
      receivedAtUs: 0,
    },
    status: "pending",
    version: more.status === "assigned" ? 2 : 1,
    courier: null,
    assignedAt: null,
    wave: 0,
    offers: [],
    asked: [],
    nextAttemptAt: T0 + 1_000,
    replacing: false,
    ...more,
  };
}
const deedsOf = (test: DeliverySnapshot, at: Millis): readonly RobotDeed[] =>
  robotDeeds(test, at, DISPATCH_DEFAULTS);

/**
 * Plays the part of the store: what the robot asks for happens at once. Second and deed of
 * everything but rides.
 */
function play(scenario: TestScenario, seconds: number): string[] {
  const first = robotOf(idOf(scenario), 1);
  let test = testOf(scenario, { status: "assigned", courier: first, assignedAt: T0 });
  const log: string[] = [];
  for (let s = 0; s <= seconds; s++) {
    for (const deed of deedsOf(test, T0 + s * 1_000)) {
      if (deed.do === "cancel") test = { ...test, status: "canceled" };
      if (deed.do === "report") test = { ...test, status: deed.status };
      if (deed.do !== "ride") log.push(`${s} ${deed.do === "report" ? deed.status : deed.do}`);
    }
    if (!["assigned", "picked_up"].includes(test.status)) break;
  }
  return log;
}

describe("a test", () => {
  it.each([
    ["delivered", ["20 picked_up", "55 delivered"]],
    ["slow", ["65 picked_up", "190 delivered"]],
    ["returned", ["20 picked_up", "85 returned"]],
    ["canceled", ["10 cancel"]],
    ["replaced", []],
  ] as const)("%s: %j", (scenario, expected) => {
    expect(play(scenario, 300)).toEqual(expected);
  });

  it("waits for a robot near the pickup, which takes the offer as soon as there is one", () => {
    const robot = robotOf(idOf("delivered"), 1);
    const [stand, ...others] = deedsOf(testOf("delivered"), T0);
    expect(others).toEqual([]);
    expect(stand).toMatchObject({ do: "stand", robot, vehicle: "bike" });
    const at = stand?.do === "stand" ? stand.at : PICKUP;
    expect(distanceM(at, PICKUP)).toBeCloseTo(300, -1);
    const offers = [{ courier: robot, until: T0 + 20_000, distanceM: 300, etaS: 60 }];
    const offered = testOf("delivered", { wave: 1, offers, asked: [robot] });
    expect(deedsOf(offered, T0 + 2_000)).toEqual([{ do: "accept", robot }]);
  });

  it("gets the next robot when the offer of the one before has lapsed, up to a bound", () => {
    const id = idOf("delivered");
    const lapsed = { courier: robotOf(id, 1), until: T0, distanceM: 300, etaS: 60 };
    const asked = [robotOf(id, 1)];
    const waiting = testOf("delivered", { wave: 1, offers: [lapsed], asked });
    expect(deedsOf(waiting, T0)).toMatchObject([{ do: "stand", robot: robotOf(id, 2) }]);
    const all = Array.from({ length: ROBOTS_PER_TEST_MAX }, (_, i) => robotOf(id, i + 1));
    expect(deedsOf(testOf("delivered", { asked: all }), T0)).toEqual([]);
  });

  it("that nobody accepts has no robot, and one that is ready later has none yet", () => {
    expect(deedsOf(testOf("unfilled"), T0)).toEqual([]);
    const later = testOf("delivered");
    const inTwoHours = T0 + 7_200_000 + DISPATCH_DEFAULTS.SEARCH_DEADLINE_MS;
    const scheduled = { ...later, job: { ...later.job, searchUntil: inTwoHours } };
    expect(deedsOf(scheduled, T0)).toEqual([]);
    expect(deedsOf(scheduled, T0 + 7_200_000)).toMatchObject([{ do: "stand" }]);
  });

  it("a large one is carried by a van, and one that asks for a vehicle by that", () => {
    const { job, ...rest } = testOf("delivered");
    const vehicleOf = (more: Partial<DeliverySnapshot["job"]>) =>
      deedsOf({ ...rest, job: { ...job, ...more } }, T0).map((d) => d.do === "stand" && d.vehicle);
    expect(vehicleOf({ size: "large" })).toEqual(["van"]);
    expect(vehicleOf({ vehicle: "car" })).toEqual(["car"]);
  });

  it("replaced: the first robot rides away until it counts as retreating, the second delivers", () => {
    const id = idOf("replaced");
    const carried = { status: "assigned", courier: robotOf(id, 1), assignedAt: T0 } as const;
    const far = deedsOf(testOf("replaced", carried), T0 + 30_000);
    const at = far[0]?.do === "ride" ? far[0].at : PICKUP;
    expect(distanceM(at, PICKUP) - 300).toBeGreaterThan(2 * DISPATCH_DEFAULTS.RETREAT_M);
    const looking = testOf("replaced", { ...carried, replacing: true });
    expect(deedsOf(looking, T0 + 90_000)[0]).toMatchObject({
      do: "stand",
      robot: robotOf(id, 2),
    });
    const second = { ...carried, courier: robotOf(id, 2), version: 3 };
    expect(deedsOf(testOf("replaced", second), T0 + 20_000)).toMatchObject([
      { do: "leave", robot: robotOf(id, 1) },
      { do: "ride" },
      { do: "report", status: "picked_up" },
    ]);
  });

  it("no ride is faster than pings are believed, and where it is depends on nothing but the time", () => {
    const far = testOf("delivered", {
      status: "picked_up",
      courier: robotOf(idOf("delivered"), 1),
      assignedAt: T0,
    });
    const test = { ...far, job: { ...far.job, dropoffLng: -122.1, dropoffLat: 37.9 } };
    const at = (s: number) => {
      const [ride] = deedsOf(test, T0 + s * 1_000);
      return ride?.do === "ride" ? ride.at : PICKUP;
    };
    for (let s = 0; s < 200; s++) {
      expect(distanceM(at(s), at(s + 1))).toBeLessThan(DISPATCH_DEFAULTS.PING_SPEED_MAX_MPS);
    }
    expect(at(77)).toEqual(at(77));
  });

  it("goes ten times as fast where that is set, but never faster than is believed", () => {
    const settings = { ...DISPATCH_DEFAULTS, ROBOT_PACE: 10 };
    const robot = robotOf(idOf("delivered"), 1);
    const test = testOf("delivered", { status: "assigned", courier: robot, assignedAt: T0 });
    expect(robotDeeds(test, T0 + 2_000, settings)).toMatchObject([
      { do: "ride" },
      { do: "report", status: "picked_up" },
    ]);
    const picked = { ...test, status: "picked_up" } as const;
    expect(robotDeeds(picked, T0 + 6_000, settings)).toHaveLength(1);
    expect(robotDeeds(picked, T0 + 20_000, settings)).toHaveLength(2);
  });

  it("does nothing about a courier who is no robot, which there cannot be", () => {
    const odd = { status: "pending", asked: ["cur_1" as CourierId] } as const;
    expect(deedsOf(testOf("delivered", odd), T0)).toMatchObject([
      { robot: robotOf(idOf("delivered"), 1) },
    ]);
  });
});
