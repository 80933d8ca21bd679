/**
 * Test mode, as names. A delivery of a test, the robot courier who carries it and a principal who
 * can only make tests are known by their ids, so that nothing has to be looked up for it and
 * nothing can change it afterwards: the statements that assign (`engine/store/accept.ts`), the
 * candidate gate (`actors/matching.ts`) and a constraint of the table compare these names, and so a
 * test never comes to a courier, nor a robot to somebody's parcel.
 *
 * `tst_`, shard, letter of the scenario, then what every delivery id has; `bot_`, the same, `_` and
 * the robot's number.
 */
import type { CourierId, DeliveryId } from "./ids.ts";

/** How a test goes, and the letter by which its id says so. */
export const TEST_SCENARIOS = {
  /** As it should go. */
  delivered: "d",
  /** The same, four times as slow. */
  slow: "s",
  /** Nobody is at the door: the parcel goes back. */
  returned: "r",
  /** Canceled from our side while the courier is on the way to the pickup. */
  canceled: "c",
  /** The first courier rides away and is replaced; the second delivers. */
  replaced: "p",
  /** Nobody accepts it. */
  unfilled: "u",
} as const;
export type TestScenario = keyof typeof TEST_SCENARIOS;
export const TEST_SCENARIO_NAMES = Object.keys(TEST_SCENARIOS) as readonly TestScenario[];

export const TEST_DELIVERY_PREFIX = "tst_";
export const ROBOT_PREFIX = "bot_";
const TEST_PRINCIPAL_PREFIX = "test_";
const PREFIX_CHARS = TEST_DELIVERY_PREFIX.length;
/** Where the letter stands: behind the prefix and the shard. */
const LETTER_AT = PREFIX_CHARS + 3;

export const isTestDelivery = (id: string): boolean => id.startsWith(TEST_DELIVERY_PREFIX);
export const isRobot = (id: string): boolean => id.startsWith(ROBOT_PREFIX);
/** Everything that this principal asks for is a test. */
export const isTestPrincipal = (id: string): boolean => id.startsWith(TEST_PRINCIPAL_PREFIX);

const SCENARIO_OF = new Map<string, TestScenario>(
  TEST_SCENARIO_NAMES.map((name) => [TEST_SCENARIOS[name], name]),
);

/** How this test goes. A letter that is not known here is one of a newer version: as it should. */
export const scenarioOf = (id: DeliveryId): TestScenario =>
  SCENARIO_OF.get(id.charAt(LETTER_AT)) ?? "delivered";

/** The `number`th robot of a test, from 1. */
export const robotOf = (id: DeliveryId, number: number): CourierId =>
  `${ROBOT_PREFIX}${id.slice(PREFIX_CHARS)}_${number}` as CourierId;

/** Its number; 0 for who is no robot. */
export const robotNumber = (id: CourierId): number =>
  isRobot(id) ? Number(id.slice(id.lastIndexOf("_") + 1)) : 0;
