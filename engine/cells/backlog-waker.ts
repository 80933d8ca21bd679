/**
 * Tells waiting deliveries of couriers who became free, so that the backlog is woken and not
 * polled. It knows which cells of this node have a backlog and since when; a courier who becomes
 * free, has room for one more offer, or moves to another cell while free, is announced to the few
 * of them within reach whose oldest delivery has waited longest. A cell that is passed over loses
 * nothing: the next courier, or the delivery's own look around, comes to it.
 *
 * A delivery that found nobody is not yet in the backlog while that is being recorded. Couriers who
 * became free in this gap are remembered for a moment and announced to a cell when its backlog
 * changes, once to each.
 */
import { cellCentre, distanceM } from "../../actors/geo.ts";
import type { LngLat } from "../../proto/geo.ts";
import type { CellId, Millis } from "../../proto/ids.ts";
import type { CourierRecord, ToCell } from "../../proto/messages.ts";
import { isRobot } from "../../proto/test-mode.ts";
import type { Clock } from "../io/clock.ts";

export type BacklogWakerPorts = {
  readonly clock: Pick<Clock, "now">;
  /** Metres from the cell's centre within which a courier matters to it. */
  readonly reachM: number;
  /** To a cell actor of this node. */
  readonly tell: (cell: CellId, message: ToCell) => void;
};

/** Cells told of one courier; each may wake one delivery, and the courier can take one or two. */
export const CELLS_TOLD_MAX = 3;
/** How long a courier who became free is remembered, and how many at most. */
const RECENT_MS = 2_000;
const RECENT_MAX = 512;
const METRES_PER_DEGREE_LAT = 111_195;

type Backlog = { readonly cell: CellId; readonly centre: LngLat; oldestSince: Millis };

type Freed = {
  readonly at: Millis;
  readonly record: CourierRecord;
  readonly told: Set<CellId>;
};

/** Robots are no supply: those who wait for one are told by it (`robots.ts`). */
const isFree = (record: CourierRecord): boolean =>
  record.online && record.slots > 0 && record.at > 0 && !isRobot(record.courier);

/**
 * An offer that ended makes room for the next, also beside others: a courier with room for three
 * who declines one after the other is never full, and a long backlog would hear of him once.
 */
const hasMoreRoom = (before: CourierRecord | null, after: CourierRecord): boolean =>
  before === null || !isFree(before) || after.slots > before.slots;

export class BacklogWaker {
  readonly #ports: BacklogWakerPorts;
  readonly #backlogs = new Map<CellId, Backlog>();
  #recent: Freed[] = [];

  constructor(ports: BacklogWakerPorts) {
    this.#ports = ports;
  }

  /** Cells with waiting deliveries. */
  get size(): number {
    return this.#backlogs.size;
  }

  /** A cell's backlog has changed: since when its oldest delivery waits, null when none does. */
  backlog(cell: CellId, oldestSince: Millis | null): void {
    if (oldestSince === null) {
      this.#backlogs.delete(cell);
      return;
    }
    let backlog = this.#backlogs.get(cell);
    if (backlog === undefined) {
      backlog = { cell, centre: cellCentre(cell), oldestSince };
      this.#backlogs.set(cell, backlog);
    }
    backlog.oldestSince = oldestSince;
    this.#tellOfRecent(backlog);
  }

  /** A courier's record has changed. */
  onRecord(before: CourierRecord | null, after: CourierRecord, moved: boolean): void {
    if (!isFree(after) || !(moved || hasMoreRoom(before, after))) return;
    const freed = { at: this.#ports.clock.now(), record: after, told: new Set<CellId>() };
    if (this.#recent.length >= RECENT_MAX) this.#recent = this.#recent.slice(RECENT_MAX / 2);
    this.#recent.push(freed);
    for (const { cell } of this.#oldestWithinReach(after)) this.#tell(cell, freed);
  }

  /**
   * Whoever is free is told of as if he had just become it: what was looked for meanwhile could not
   * find him.
   */
  onReachableAgain(forEach: (fn: (record: CourierRecord) => void) => void): void {
    if (this.#backlogs.size > 0) forEach((record) => this.onRecord(null, record, true));
  }

  #tellOfRecent({ cell, centre }: Backlog): void {
    const from = this.#ports.clock.now() - RECENT_MS;
    if (this.#recent.some((freed) => freed.at < from)) {
      this.#recent = this.#recent.filter((freed) => freed.at >= from);
    }
    for (const freed of this.#recent) {
      if (freed.told.has(cell) || freed.told.size >= CELLS_TOLD_MAX) continue;
      if (distanceM(centre, freed.record) <= this.#ports.reachM) this.#tell(cell, freed);
    }
  }

  #tell(cell: CellId, { record: { courier, vehicle }, told }: Freed): void {
    told.add(cell);
    this.#ports.tell(cell, { type: "free", courier, vehicle });
  }

  #oldestWithinReach(from: LngLat): readonly Backlog[] {
    const degrees = this.#ports.reachM / METRES_PER_DEGREE_LAT;
    const oldest: Backlog[] = [];
    for (const backlog of this.#backlogs.values()) {
      if (Math.abs(backlog.centre.lat - from.lat) > degrees) continue;
      const last = oldest.at(-1);
      const isFull = oldest.length === CELLS_TOLD_MAX;
      if (isFull && last !== undefined && backlog.oldestSince >= last.oldestSince) continue;
      if (distanceM(backlog.centre, from) > this.#ports.reachM) continue;
      if (isFull) oldest.pop();
      oldest.push(backlog);
      oldest.sort((a, b) => a.oldestSince - b.oldestSince);
    }
    return oldest;
  }
}
