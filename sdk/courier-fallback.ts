/**
 * What a courier's app does over REST where no WebSocket gets through: with each position that is
 * due it tells where it is, asks what waits near by (nobody can be shown an offer then), and
 * whether what it carries is still its own. It keeps no state of the courier: it only asks, and
 * says what it heard.
 */
import { DispatchError } from "../proto/errors.ts";
import type { PingFrame } from "../proto/frames.ts";
import { isTerminal } from "../proto/status.ts";
import type { AvailableView } from "../proto/views.ts";
import type { Clock } from "./clock.ts";
import { newKey } from "./rest.ts";
import type { RestClient } from "./rest.ts";

/** Without a socket for so long, REST takes over. */
const FALLBACK_MS = 15_000;

export type FallbackParts = {
  readonly clock: Clock;
  readonly rest: Pick<RestClient, "location" | "available" | "delivery">;
  /** How often the server wants positions, milliseconds: so often, too, it is asked for work. */
  readonly intervalMs: () => number;
  readonly isOnShift: () => boolean;
  /** Ids of what the courier carries. */
  readonly carried: () => Iterable<string>;
  readonly onAvailable: (deliveries: readonly AvailableView[]) => void;
  readonly onOver: (delivery: string, reason: string) => void;
  /** What is asked again at the next position all the same. */
  readonly onTrouble: (error: DispatchError) => void;
};

export class CourierFallback {
  readonly #parts: FallbackParts;
  #lostAt: number;
  #hasSocket = false;
  #sentAt = 0;

  constructor(parts: FallbackParts) {
    this.#parts = parts;
    this.#lostAt = parts.clock.now();
  }

  /** Whether there is one; attempts in vain begin no new absence. */
  socketIs(connected: boolean): void {
    if (this.#hasSocket && !connected) this.#lostAt = this.#parts.clock.now();
    this.#hasSocket = connected;
  }

  /** A position that no socket carries. */
  position(newest: PingFrame | undefined): void {
    const { clock, rest, intervalMs, isOnShift } = this.#parts;
    const now = clock.now();
    if (newest === undefined || now - this.#lostAt < FALLBACK_MS) return;
    if (now - this.#sentAt < intervalMs()) return;
    this.#sentAt = now;
    const timestamp = new Date(newest.at).toISOString();
    const { lat, lng, seq } = newest;
    this.#try(rest.location({ lat, lng, seq, timestamp }, newKey()));
    if (isOnShift()) this.#try(this.#lookForWork({ lat, lng }));
    for (const id of this.#parts.carried()) this.#try(this.#lookAt(id));
  }

  async #lookForWork(near: { readonly lat: number; readonly lng: number }): Promise<void> {
    this.#parts.onAvailable(await this.#parts.rest.available(near));
  }

  async #lookAt(id: string): Promise<void> {
    const { rest, onOver } = this.#parts;
    try {
      const { body } = await rest.delivery(id);
      if (body !== null && isTerminal(body.status)) onOver(id, body.status);
    } catch (error) {
      // Somebody else's now: a courier is not told that such a delivery exists.
      if (!(error instanceof DispatchError) || error.code !== "not_found") throw error;
      onOver(id, "reconciled");
    }
  }

  #try(asked: Promise<unknown>): void {
    asked.catch((error: unknown) => {
      if (!(error instanceof DispatchError)) throw error;
      this.#parts.onTrouble(error);
    });
  }
}
