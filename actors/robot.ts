/**
 * The robots of test mode: what the robots of one test do at a moment. A pure function of the
 * delivery's row and the time: a robot has no memory, so whoever runs it, and however often, does
 * the same, and a restart changes nothing. Every test has robots of its own, numbered from 1; the
 * next one is made when the one before cannot do it any more.
 *
 * A robot goes by the same rules as a courier: on shift near the pickup it is offered the test by
 * the real search, accepts by the real statement, sends pings, reports. All in about a minute, so
 * that a partner's tests do not take an afternoon: as fast as pings are believed.
 */
import type { LngLat, Vehicle } from "../proto/geo.ts";
import type { Millis } from "../proto/ids.ts";
import { ROBOTS_PER_TEST_MAX, searchStart } from "../proto/limits.ts";
import type { DispatchSettings } from "../proto/limits.ts";
import type { Job } from "../proto/messages.ts";
import { robotNumber, robotOf, scenarioOf } from "../proto/test-mode.ts";
import type { DeliverySnapshot } from "../proto/writes.ts";
import type { RobotDeed } from "./actor.ts";
import { distanceM } from "./geo.ts";
import { canCarry } from "./matching.ts";

/** So far north of the pickup a robot waits. */
const START_M = 300;
const METRES_PER_DEGREE_LAT = 111_195;
const TO_PICKUP_MS = 15_000;
/** The least; further is longer. */
const TO_DROPOFF_MS = 30_000;
/** At each door. */
const DOOR_MS = 5_000;
const CANCELED_AFTER_MS = 10_000;
const SLOW_FACTOR = 4;
/** Of what is believed of a ping. */
const SPEED_SHARE = 0.7;
/**
 * The version of a delivery that was assigned once: whichever robot that is, it is to be replaced.
 */
const FIRST_ASSIGNMENT = 2;
/** Who is to be replaced rides away like this, so far. */
const AWAY_MPS = 50;
const AWAY_MAX_M = 1_500;

const northOf = (from: LngLat, metres: number): LngLat => ({
  lng: from.lng,
  lat: from.lat + metres / METRES_PER_DEGREE_LAT,
});

const between = (from: LngLat, to: LngLat, share: number): LngLat => {
  const done = Math.min(1, Math.max(0, share));
  return {
    lng: from.lng + (to.lng - from.lng) * done,
    lat: from.lat + (to.lat - from.lat) * done,
  };
};

const pickupOf = (job: Job): LngLat => ({ lng: job.pickupLng, lat: job.pickupLat });
const dropoffOf = (job: Job): LngLat => ({ lng: job.dropoffLng, lat: job.dropoffLat });

/**
 * The smallest vehicle that may carry it. What no vehicle may carry stays without a courier, as it
 * would for people.
 */
const vehicleFor = ({ vehicle, size }: Job): Vehicle =>
  vehicle ?? (canCarry("bike", size) ? "bike" : "van");

/** What is to be done for an open delivery of a test. Doing any of it twice changes nothing. */
export function robotDeeds(
  test: DeliverySnapshot,
  now: Millis,
  settings: DispatchSettings,
): readonly RobotDeed[] {
  const { status, replacing } = test;
  if (status === "pending") return now < searchStart(test.job, settings) ? [] : apply(test, now);
  const search = status === "assigned" && replacing ? apply(test, now) : [];
  return [...search, ...carry(test, now, settings)];
}

/** Takes the offer that there is, or stands there to get one. */
function apply(test: DeliverySnapshot, now: Millis): readonly RobotDeed[] {
  const { job, offers, asked, courier } = test;
  if (scenarioOf(job.id) === "unfilled") return [];
  const offer = offers.find(({ courier: to, until }) => robotNumber(to) > 0 && until > now);
  if (offer !== undefined) return [{ do: "accept", robot: offer.courier }];
  const used = [...asked, ...(courier === null ? [] : [courier])].map(robotNumber);
  const number = Math.max(0, ...used) + 1;
  if (number > ROBOTS_PER_TEST_MAX) return [];
  const robot = robotOf(job.id, number);
  return [{ do: "stand", robot, at: northOf(pickupOf(job), START_M), vehicle: vehicleFor(job) }];
}

function carry(
  test: DeliverySnapshot,
  now: Millis,
  settings: DispatchSettings,
): readonly RobotDeed[] {
  const { job, courier: robot, assignedAt, status, version } = test;
  if (robot === null || assignedAt === null) return [];
  const number = robotNumber(robot);
  const scenario = scenarioOf(job.id);
  const sinceMs = (now - assignedAt) * settings.ROBOT_PACE;
  const before: readonly RobotDeed[] =
    number > 1 ? [{ do: "leave", robot: robotOf(job.id, number - 1) }] : [];
  if (status === "assigned" && scenario === "canceled" && sinceMs >= CANCELED_AFTER_MS) {
    return [{ do: "cancel" }];
  }
  if (status === "assigned" && scenario === "replaced" && version === FIRST_ASSIGNMENT) {
    const away = Math.min(AWAY_MAX_M, (sinceMs / 1_000) * AWAY_MPS);
    return [{ do: "ride", robot, at: northOf(pickupOf(job), START_M + away) }];
  }
  const slow = scenario === "slow" ? SLOW_FACTOR : 1;
  const ride = rideAt(job, sinceMs, slow, settings);
  const at: RobotDeed = { do: "ride", robot, at: ride.at };
  if (status === "assigned") {
    const there: readonly RobotDeed[] =
      ride.leg === "to_pickup" ? [] : [{ do: "report", robot, status: "picked_up" }];
    return [...before, at, ...there];
  }
  const end = scenario === "returned" ? ("returned" as const) : ("delivered" as const);
  const isOver = end === "returned" ? ride.leg === "back" : ride.leg !== "to_dropoff";
  return [at, ...(isOver ? [{ do: "report", robot, status: end } as const] : [])];
}

type Ride = {
  /** `to_dropoff` includes the door there; `home`: on the way back; `back`: at the pickup again. */
  readonly leg: "to_pickup" | "to_dropoff" | "home" | "back";
  readonly at: LngLat;
};

/** Where the robot is so long after the accept by its own clock, if all went by that. */
function rideAt(job: Job, sinceMs: number, slow: number, settings: DispatchSettings): Ride {
  const pickup = pickupOf(job);
  const dropoff = dropoffOf(job);
  const fastestMs =
    (distanceM(pickup, dropoff) / (settings.PING_SPEED_MAX_MPS * SPEED_SHARE)) *
    1_000 *
    settings.ROBOT_PACE;
  const firstMs = TO_PICKUP_MS * slow;
  const secondMs = Math.max(TO_DROPOFF_MS, fastestMs) * slow;
  const from = northOf(pickup, START_M);
  if (sinceMs < firstMs + DOOR_MS) {
    return { leg: "to_pickup", at: between(from, pickup, sinceMs / firstMs) };
  }
  const laterMs = sinceMs - firstMs - DOOR_MS;
  if (laterMs < secondMs + DOOR_MS) {
    return { leg: "to_dropoff", at: between(pickup, dropoff, laterMs / secondMs) };
  }
  const homeMs = laterMs - secondMs - DOOR_MS;
  const at = between(dropoff, pickup, homeMs / secondMs);
  return { leg: homeMs < secondMs ? "home" : "back", at };
}
