/**
 * Where a courier is, as well as this gateway can know without delay: the newest of what was pushed
 * to it, what the courier's owner says, and what the database keeps. For one courier an older
 * position is never given after a newer one (D6), by this gateway or after another one, and many
 * readers of one courier cost one question.
 *
 * Whether the reader may know is the policy's business, not ours.
 */
import { LRUCache } from "lru-cache";
import type { Clock } from "../../engine/io/clock.ts";
import type { Position, Store } from "../../engine/store/port.ts";
import type { CourierId, Millis } from "../../proto/ids.ts";
import type { ActorClient } from "../backend/actor-client.ts";

const COURIERS_MAX = 50_000;
/** What was learned serves all readers for so long. */
const FRESH_MS = 500;

/**
 * `learnedAt`: by our clock; `at` is the phone's, which may be ahead and would stay "fresh" until
 * we are there.
 */
type Known = { readonly position: Position; readonly learnedAt: Millis };

export class PositionCache {
  readonly #actorClient: Pick<ActorClient, "where">;
  readonly #store: Pick<Store, "lastKnown">;
  readonly #clock: Clock;
  readonly #latest = new LRUCache<CourierId, Known>({ max: COURIERS_MAX });
  readonly #asked: LRUCache<CourierId, Promise<Position | null>>;

  constructor(
    actorClient: Pick<ActorClient, "where">,
    store: Pick<Store, "lastKnown">,
    clock: Clock,
  ) {
    this.#actorClient = actorClient;
    this.#store = store;
    this.#clock = clock;
    // By our own clock, and without the cache's timer that would save it from being asked.
    const perf = { now: () => clock.now() };
    this.#asked = new LRUCache({ max: COURIERS_MAX, ttl: FRESH_MS, ttlResolution: 0, perf });
  }

  /**
   * Takes in a position that came by itself. False when a newer one is known. True for the one that
   * is known already: a reader asked for it just before it came, and the followers have not been
   * told.
   */
  learn(position: Position): boolean {
    const known = this.#latest.get(position.courier);
    if (known !== undefined && known.position.at > position.at) return false;
    this.#latest.set(position.courier, { position, learnedAt: this.#clock.now() });
    return true;
  }

  /** What is known right now, without asking. */
  latest(courier: CourierId): Position | null {
    return this.#latest.get(courier)?.position ?? null;
  }

  /** The position, asked for if what is known is not fresh. Null when nobody knows. */
  async of(courier: CourierId): Promise<Position | null> {
    const known = this.#latest.get(courier);
    if (known !== undefined && this.#clock.now() - known.learnedAt < FRESH_MS) {
      return known.position;
    }
    let asked = this.#asked.get(courier);
    if (asked === undefined) {
      asked = this.#ask(courier);
      this.#asked.set(courier, asked);
    }
    await asked;
    return this.latest(courier);
  }

  async #ask(courier: CourierId): Promise<Position | null> {
    const record = await this.#actorClient.where(courier);
    // The kept position may be half a minute older than what another gateway showed a moment ago
    // (D6): it is for couriers of whom their owner, who was asked, knows nothing newer. Where
    // nobody answers, none is shown for a while.
    if (record === "unreachable") return this.latest(courier);
    if (record !== "unknown" && record.at > 0) {
      const { at, lng, lat } = record;
      this.learn({ courier, at, lng, lat });
    } else if (this.latest(courier) === null) {
      const kept = await this.#store.lastKnown(courier);
      if (kept !== null) this.learn(kept);
    }
    return this.latest(courier);
  }
}
