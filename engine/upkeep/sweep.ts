/**
 * The sweep, which makes "NATS may lose any message" true: once a second every due delivery of the
 * owned shards is read from Postgres and given to its actor, which resumes or ignores it. It also
 * loads anew what a throwing step has parked, not too often: a bug that always strikes must not
 * become a busy loop.
 */
import type { DeliveryId, Millis, ShardId } from "../../proto/ids.ts";
import { SWEEP_MAX_ROWS } from "../../proto/limits.ts";
import type { ActorKey } from "../../proto/posts.ts";
import type { DeliverySnapshot } from "../../proto/writes.ts";
import type { HostMessage } from "../host/ports.ts";
import { backOffMs } from "../io/clock.ts";
import type { Clock } from "../io/clock.ts";
import type { Store } from "../store/port.ts";

export type SweepPorts = {
  readonly clock: Clock;
  readonly intervalMs: number;
  readonly store: Pick<Store, "due">;
  readonly owned: () => readonly ShardId[];
  readonly resume: (delivery: DeliveryId, snapshot: DeliverySnapshot) => void;
  /** Actors that are parked at present. */
  readonly parked: () => readonly ActorKey[];
  /**
   * What is durable of an actor, as the message that it begins with; null when there is nothing.
   */
  readonly load: (key: ActorKey) => Promise<HostMessage | null>;
  readonly revive: (key: ActorKey, message: HostMessage) => void;
  readonly onResumed: (deliveries: number) => void;
  readonly onFailed: (error: unknown) => void;
};

const RETRY_MAX_MS = 10_000;
const REVIVE_EVERY_MS = 60_000;
/** Parked actors loaded at one go; the others follow a minute later. */
const REVIVED_AT_ONCE_MAX = 100;

export class Sweep {
  readonly #ports: SweepPorts;
  #failures = 0;
  #revivedAt: Millis;

  constructor(ports: SweepPorts) {
    this.#ports = ports;
    this.#revivedAt = ports.clock.now();
  }

  /**
   * One sweep, for `repeat`: resolves to the pause before the next one, milliseconds. Never
   * rejects.
   */
  async once(): Promise<number> {
    const { clock, intervalMs, onFailed } = this.#ports;
    try {
      await this.#resumeDue();
      if (clock.now() - this.#revivedAt >= REVIVE_EVERY_MS) await this.#reviveParked();
      this.#failures = 0;
      return intervalMs;
    } catch (error) {
      this.#failures += 1;
      onFailed(error);
      return Math.max(intervalMs, backOffMs(this.#failures, intervalMs, RETRY_MAX_MS));
    }
  }

  /**
   * A full answer is no reason to hurry: when so much is due, it is the database that is behind.
   */
  async #resumeDue(): Promise<void> {
    const { clock, store, owned, resume, onResumed } = this.#ports;
    const shards = owned();
    if (shards.length === 0) return;
    const due = await store.due(shards, clock.now(), SWEEP_MAX_ROWS);
    for (const snapshot of due) resume(snapshot.job.id, snapshot);
    if (due.length > 0) onResumed(due.length);
  }

  async #reviveParked(): Promise<void> {
    this.#revivedAt = this.#ports.clock.now();
    for (const key of this.#ports.parked().slice(0, REVIVED_AT_ONCE_MAX)) {
      const message = await this.#ports.load(key);
      if (message !== null) this.#ports.revive(key, message);
    }
  }
}
