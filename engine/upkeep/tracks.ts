/**
 * What Postgres learns of positions, in bulk: the last-known ones of couriers who moved, twice a
 * minute, and the track history every few seconds. While Postgres is away history is kept up to a
 * bound and then dropped from its old end, counted; last-known positions only wait.
 */
import type { CourierId } from "../../proto/ids.ts";
import type { CourierRecord } from "../../proto/messages.ts";
import type { HistoryEffect } from "../host/ports.ts";
import type { Position, Store } from "../store/port.ts";

export type TracksPorts = {
  readonly store: Pick<Store, "saveLastKnown" | "appendHistory">;
  readonly onDropped: (positions: number) => void;
  readonly onFailed: (error: unknown) => void;
};

export const HISTORY_MAX_ROWS = 100_000;
const ROWS_PER_STATEMENT_MAX = 5_000;

export class Tracks {
  readonly #ports: TracksPorts;
  #moved = new Map<CourierId, Position>();
  #history: Position[] = [];

  constructor(ports: TracksPorts) {
    this.#ports = ports;
  }

  /** Positions of the history that are not written yet. */
  waiting(): number {
    return this.#history.length;
  }

  onRecord({ courier, at, lng, lat }: CourierRecord): void {
    if (at > 0) this.#moved.set(courier, { courier, at, lng, lat });
  }

  onHistory({ courier, at, lng, lat }: HistoryEffect): void {
    if (this.#history.length >= HISTORY_MAX_ROWS) {
      this.#ports.onDropped(ROWS_PER_STATEMENT_MAX);
      this.#history = this.#history.slice(ROWS_PER_STATEMENT_MAX);
    }
    this.#history.push({ courier, at, lng, lat });
  }

  /** Saves the last-known positions of those who moved since the last time. Never rejects. */
  async saveLastKnown(): Promise<void> {
    const moved = this.#moved;
    if (moved.size === 0) return;
    this.#moved = new Map();
    try {
      await this.#ports.store.saveLastKnown([...moved.values()]);
    } catch (error) {
      this.#ports.onFailed(error);
      // What came meanwhile is newer.
      this.#moved = new Map([...moved, ...this.#moved]);
    }
  }

  /**
   * Appends the history gathered since the last time. Never rejects; what could not be written is
   * kept.
   */
  async appendHistory(): Promise<void> {
    while (this.#history.length > 0) {
      const rows = this.#history.slice(0, ROWS_PER_STATEMENT_MAX);
      this.#history = this.#history.slice(rows.length);
      try {
        await this.#ports.store.appendHistory(rows);
      } catch (error) {
        this.#ports.onFailed(error);
        this.#history = [...rows, ...this.#history];
        return;
      }
    }
  }
}
