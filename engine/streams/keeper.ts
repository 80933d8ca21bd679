/**
 * Streams are made sure of for as long as a process runs, not only at its start: a server comes
 * back with an empty disk, somebody deletes or changes a stream, a disk fills up. Looks come at an
 * interval, sooner after a reconnect or a failed publish, never two at once and never closer
 * together than a bound. Where shard 0 is owned a look makes what is missing; elsewhere it only
 * looks.
 */
import { STREAMS_GAP_MS, STREAMS_LOOK_MS, STREAMS_RETRY_MAX_MS } from "../../proto/limits.ts";
import type { StreamKey } from "../../proto/subjects.ts";
import { backOffMs } from "../io/clock.ts";
import type { CancelTimer, Clock } from "../io/clock.ts";

/**
 * What is wrong with which stream, in words; empty when all are there, as asked, and take messages.
 */
export type StreamTroubles = ReadonlyMap<StreamKey, string>;

export type StreamKeeperPorts = {
  readonly clock: Clock;
  /** One look. Rejects while JetStream as a whole does not answer. */
  readonly look: () => Promise<StreamTroubles>;
  /** After each look; `before` is what the one before found. */
  readonly onLooked: (troubles: StreamTroubles, before: StreamTroubles) => void;
  /** `isFirst`: the look before it succeeded. */
  readonly onFailed: (error: unknown, isFirst: boolean) => void;
};

const NONE: StreamTroubles = new Map();

export class StreamKeeper {
  readonly #ports: StreamKeeperPorts;
  #troubles: StreamTroubles = NONE;
  #isSilent = false;
  #isStopped = true;
  #failures = 0;
  #lookedAt = -Infinity;
  #cancel: CancelTimer = () => undefined;
  #looking: Promise<void> | null = null;
  #isNudged = false;

  constructor(ports: StreamKeeperPorts) {
    this.#ports = ports;
  }

  /** Begins with a look at once; while it runs nothing changes. */
  start(): void {
    if (!this.#isStopped) return;
    this.#isStopped = false;
    this.#arm(0);
  }

  /**
   * Ends after the look under way; what was found is forgotten, since another process looks from
   * now on.
   */
  async stop(): Promise<void> {
    this.#isStopped = true;
    this.#cancel();
    await this.#looking;
    this.#troubles = NONE;
    this.#isSilent = false;
  }

  /** Something said that a stream may be gone: a look as soon as the bound allows. */
  nudge(): void {
    if (this.#isStopped) return;
    if (this.#looking === null) this.#arm(0);
    else this.#isNudged = true;
  }

  /** What keeps streams from working, in words; empty when nothing is known. */
  problems(): readonly string[] {
    if (this.#isSilent) return ["jetstream"];
    return [...this.#troubles.keys()].map((key) => `stream ${key}`);
  }

  #arm(delayMs: number): void {
    this.#cancel();
    const { clock } = this.#ports;
    const gapMs = this.#lookedAt + STREAMS_GAP_MS - clock.now();
    this.#cancel = clock.after(Math.max(delayMs, gapMs), () => {
      this.#looking = this.#look().finally(() => {
        this.#looking = null;
        this.#next();
      });
    });
  }

  #next(): void {
    if (this.#isStopped) return;
    const isNudged = this.#isNudged;
    this.#isNudged = false;
    const retryMs = backOffMs(this.#failures, STREAMS_GAP_MS, STREAMS_RETRY_MAX_MS);
    this.#arm(isNudged ? 0 : this.#failures > 0 ? retryMs : STREAMS_LOOK_MS);
  }

  /** Never rejects. */
  async #look(): Promise<void> {
    const { clock, look, onLooked, onFailed } = this.#ports;
    this.#lookedAt = clock.now();
    try {
      const troubles = await look();
      const before = this.#troubles;
      this.#troubles = troubles;
      this.#isSilent = false;
      this.#failures = troubles.size === 0 ? 0 : this.#failures + 1;
      onLooked(troubles, before);
    } catch (error) {
      const isFirst = !this.#isSilent;
      this.#isSilent = true;
      this.#failures += 1;
      onFailed(error, isFirst);
    }
  }
}
