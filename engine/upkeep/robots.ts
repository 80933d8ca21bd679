/**
 * Runs the robots of test mode: once a second the open tests of the shards that this node owns are
 * read, and what their robots would do now is done, by the statements and the messages that
 * couriers' doors use. There is no state but the rows: a test goes on wherever its shard goes, and
 * two nodes that both believe to own a shard do the same thing twice, which changes nothing.
 * Without tests it is one look at an index a second.
 */
import type { LngLat } from "../../proto/geo.ts";
import type { CourierId, DeliveryId, Millis, NodeId, ShardId } from "../../proto/ids.ts";
import { shardOfDelivery } from "../../proto/ids.ts";
import { ROBOT_STEP_MS, TESTS_SERVED_MAX } from "../../proto/limits.ts";
import type { ToCourier } from "../../proto/messages.ts";
import type { Posted } from "../../proto/posts.ts";
import { TEST_DELIVERY_PREFIX } from "../../proto/test-mode.ts";
import type { DeliverySnapshot } from "../../proto/writes.ts";
import type { RobotDeed } from "../../actors/actor.ts";
import type { Clock } from "../io/clock.ts";
import { backOffMs } from "../io/clock.ts";
import type { Store } from "../store/port.ts";

export type RobotPorts = {
  readonly clock: Pick<Clock, "now">;
  readonly node: NodeId;
  readonly store: Pick<Store, "openDeliveries" | "putCourier" | "accept" | "status" | "cancel">;
  readonly owned: () => readonly ShardId[];
  readonly shardOf: (courier: CourierId) => ShardId;
  readonly send: (post: Posted) => void;
  /** Something was committed. */
  readonly nudge: () => void;
  /** What the robots of a test do now: `actors/robot.ts`. */
  readonly deeds: (test: DeliverySnapshot, now: Millis) => readonly RobotDeed[];
  readonly onFailed: (error: unknown) => void;
};

const RETRY_MAX_MS = 10_000;
/** A robot is told so often that it is off shift: a message may be lost. */
const GOODBYES = 3;
const PROFILE = { name: "Robo Courier", phone: "+1-555-0100", capacity: 1 } as const;
/** What the operator's cancellation of a test says. */
const CANCELED = "canceled_by_operator: test";

type Test = { readonly robots: Set<CourierId>; goodbyes: number };

export class Robots {
  readonly #ports: RobotPorts;
  /** Tests that were served here, with the robots that are there: to be sent home in the end. */
  readonly #tests = new Map<DeliveryId, Test>();
  #failures = 0;

  constructor(ports: RobotPorts) {
    this.#ports = ports;
  }

  /**
   * One step, for `repeat`: resolves to the pause before the next one, milliseconds. Never rejects.
   */
  async once(): Promise<number> {
    try {
      await this.#step();
      this.#failures = 0;
      return ROBOT_STEP_MS;
    } catch (error) {
      this.#failures += 1;
      this.#ports.onFailed(error);
      return backOffMs(this.#failures, ROBOT_STEP_MS, RETRY_MAX_MS);
    }
  }

  async #step(): Promise<void> {
    const { clock, store, owned, deeds } = this.#ports;
    const shards = owned();
    if (shards.length === 0) return this.#tests.clear();
    // Nothing that is no test comes after this in the order of ids.
    const open = await store.openDeliveries(shards, TEST_DELIVERY_PREFIX, TESTS_SERVED_MAX);
    const now = clock.now();
    await Promise.all(
      open.map(async (test) => {
        for (const deed of deeds(test, now)) await this.#do(test.job.id, deed, now);
      }),
    );
    // A full answer does not say which tests are over.
    if (open.length < TESTS_SERVED_MAX) this.#leaveEnded(new Set(open.map(({ job }) => job.id)));
  }

  async #do(delivery: DeliveryId, deed: RobotDeed, now: Millis): Promise<void> {
    const { store, nudge } = this.#ports;
    // Also of a test that another node began: it is sent home from here.
    if (deed.do !== "stand" && deed.do !== "cancel") this.#known(delivery).robots.add(deed.robot);
    switch (deed.do) {
      case "stand":
        return this.#stand(delivery, deed, now);
      case "ride":
        return this.#ping(deed.robot, deed.at, now);
      case "leave":
        return this.#tell(deed.robot, { type: "shift", online: false });
      case "accept":
        await store.accept({ delivery, courier: deed.robot });
        return nudge();
      case "report": {
        const { robot: courier, status } = deed;
        await store.status({ delivery, courier, status, claimedAt: null, reason: null });
        return nudge();
      }
      case "cancel":
        await store.cancel({ delivery, by: { role: "operator" }, reason: CANCELED });
        return nudge();
    }
  }

  async #stand(
    delivery: DeliveryId,
    { robot, at, vehicle }: Extract<RobotDeed, { do: "stand" }>,
    now: Millis,
  ): Promise<void> {
    const { store, shardOf, send } = this.#ports;
    const { robots } = this.#known(delivery);
    const isNew = !robots.has(robot);
    if (isNew) await store.putCourier({ id: robot, shard: shardOf(robot), vehicle, ...PROFILE });
    robots.add(robot);
    this.#tell(robot, { type: "shift", online: true });
    this.#ping(robot, at, now);
    // The ping has to reach the cells first: at the next step.
    const wake = { type: "wake", courier: robot } as const;
    if (!isNew) send({ kind: "delivery", id: delivery, msg: wake });
  }

  #known(delivery: DeliveryId): Test {
    const known = this.#tests.get(delivery) ?? { robots: new Set(), goodbyes: 0 };
    this.#tests.set(delivery, known);
    return known;
  }

  #leaveEnded(open: ReadonlySet<DeliveryId>): void {
    const owned = new Set(this.#ports.owned());
    for (const [delivery, test] of this.#tests) {
      if (open.has(delivery)) continue;
      test.goodbyes += 1;
      // Of a shard that went to another node, that node's robots are still about.
      const isOurs = owned.has(shardOfDelivery(delivery));
      if (!isOurs || test.goodbyes > GOODBYES) {
        this.#tests.delete(delivery);
        continue;
      }
      for (const robot of test.robots) this.#tell(robot, { type: "shift", online: false });
    }
  }

  #ping(robot: CourierId, { lng, lat }: LngLat, now: Millis): void {
    this.#tell(robot, {
      type: "ping",
      gateway: this.#ports.node,
      session: null,
      seq: 0,
      at: now,
      lng,
      lat,
      accuracyM: null,
      receivedAt: now,
      newest: true,
    });
  }

  #tell(robot: CourierId, msg: ToCourier): void {
    this.#ports.send({ kind: "courier", id: robot, msg });
  }
}
