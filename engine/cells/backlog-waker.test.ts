import { beforeEach, describe, expect, it } from "vitest";
import { cellOf } from "../../actors/geo.ts";
import type { CellId, CourierId, DeliveryId } from "../../proto/ids.ts";
import type { CourierRecord } from "../../proto/messages.ts";
import { robotOf } from "../../proto/test-mode.ts";
import { VirtualClock } from "../io/virtual-clock.ts";
import { CELLS_TOLD_MAX, BacklogWaker } from "./backlog-waker.ts";

const HOME = { lng: -122.42, lat: 37.77 };
/** A cell that many kilometres east of home. */
const cellAt = (eastKm: number): CellId => cellOf({ lng: HOME.lng + eastKm / 88, lat: HOME.lat });
const courier = (more: Partial<CourierRecord> = {}): CourierRecord => ({
  courier: "cur_a" as CourierId,
  no: 1,
  at: 1,
  ...HOME,
  vehicle: "bike",
  slots: 1,
  doubt: 0,
  online: true,
  active: 0,
  ...more,
});

let clock: VirtualClock;
let told: CellId[];
let backlogWaker: BacklogWaker;
beforeEach(() => {
  told = [];
  clock = new VirtualClock();
  backlogWaker = new BacklogWaker({ clock, reachM: 5_000, tell: (cell) => void told.push(cell) });
});

describe("a waiting cell", () => {
  it("hears of a courier within reach who becomes free", () => {
    backlogWaker.backlog(cellAt(1), 100);
    backlogWaker.onRecord(courier({ slots: 0 }), courier(), false);
    expect(told).toEqual([cellAt(1)]);
  });

  it("hears of a courier who comes on shift, and of one who was not known", () => {
    backlogWaker.backlog(cellAt(1), 100);
    backlogWaker.onRecord(courier({ online: false }), courier(), false);
    backlogWaker.onRecord(null, courier(), true);
    expect(told.length).toBe(2);
  });

  it("hears of each offer that ends and makes room, also of a courier who had some left", () => {
    backlogWaker.backlog(cellAt(1), 100);
    backlogWaker.onRecord(courier({ slots: 3 }), courier({ slots: 2 }), false);
    expect(told).toEqual([]);
    backlogWaker.onRecord(courier({ slots: 2 }), courier({ slots: 3 }), false);
    expect(told).toEqual([cellAt(1)]);
  });

  it("hears nothing of robots", () => {
    backlogWaker.backlog(cellAt(1), 100);
    const robot = robotOf("tst_005d0000000000000000001" as DeliveryId, 1);
    backlogWaker.onRecord(null, courier({ courier: robot }), true);
    backlogWaker.backlog(cellAt(1), 99);
    expect(told).toEqual([]);
  });

  it("hears of a free courier who enters another cell, not of each ping", () => {
    backlogWaker.backlog(cellAt(1), 100);
    backlogWaker.onRecord(courier(), courier({ no: 2 }), false);
    expect(told).toEqual([]);
    backlogWaker.onRecord(courier(), courier({ no: 2 }), true);
    expect(told.length).toBe(1);
  });

  it("hears of all who are free when they can be reached again", () => {
    const all = [courier(), courier({ courier: "cur_b" as CourierId, slots: 0 })];
    backlogWaker.onReachableAgain((fn) => all.forEach(fn));
    backlogWaker.backlog(cellAt(9), 100);
    told = [];
    backlogWaker.backlog(cellAt(1), 100);
    told = [];
    backlogWaker.onReachableAgain((fn) => all.forEach(fn));
    expect(told).toEqual([cellAt(1)]);
  });

  it("does not hear of couriers who are full, off shift, nowhere or out of reach", () => {
    backlogWaker.backlog(cellAt(1), 100);
    backlogWaker.backlog(cellAt(9), 100);
    backlogWaker.onRecord(null, courier({ slots: 0 }), true);
    backlogWaker.onRecord(null, courier({ online: false }), true);
    backlogWaker.onRecord(null, courier({ at: 0 }), false);
    expect(told).toEqual([]);
    backlogWaker.onRecord(null, courier(), true);
    expect(told).toEqual([cellAt(1)]);
  });

  it("that has waited longest comes first, and only a few are told", () => {
    for (let i = 0; i < 5; i++) backlogWaker.backlog(cellAt(i - 2), 1_000 - i);
    backlogWaker.onRecord(null, courier(), true);
    expect(told).toEqual([cellAt(2), cellAt(1), cellAt(0)]);
    expect(told.length).toBe(CELLS_TOLD_MAX);
  });

  it("is forgotten when nothing waits in it any more", () => {
    backlogWaker.backlog(cellAt(1), 100);
    backlogWaker.backlog(cellAt(1), null);
    backlogWaker.onRecord(null, courier(), true);
    expect(told).toEqual([]);
    expect(backlogWaker.size).toBe(0);
  });

  it("hears of couriers who became free while its delivery was being recorded, once", async () => {
    backlogWaker.onRecord(null, courier(), true);
    backlogWaker.backlog(cellAt(9), 100);
    expect(told).toEqual([]);
    await clock.advance(1_500);
    backlogWaker.backlog(cellAt(1), 100);
    backlogWaker.backlog(cellAt(1), 90);
    expect(told).toEqual([cellAt(1)]);
    await clock.advance(1_500);
    backlogWaker.backlog(cellAt(2), 100);
    expect(told).toEqual([cellAt(1)]);
  });
});
