import { beforeEach, describe, expect, it } from "vitest";
import { cellOf } from "../../actors/geo.ts";
import type { CellId, CourierId, DeliveryId } from "../../proto/ids.ts";
import type { CourierRecord } from "../../proto/messages.ts";
import { robotOf } from "../../proto/test-mode.ts";
import { VirtualClock } from "../io/virtual-clock.ts";
import { CELLS_TOLD_MAX, Supply } from "./backlog-waker.ts";

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
let supply: Supply;
beforeEach(() => {
  told = [];
  clock = new VirtualClock();
  supply = new Supply({ clock, reachM: 5_000, tell: (cell) => void told.push(cell) });
});

describe("a waiting cell", () => {
  it("hears of a courier within reach who becomes free", () => {
    supply.backlog(cellAt(1), 100);
    supply.onRecord(courier({ slots: 0 }), courier(), false);
    expect(told).toEqual([cellAt(1)]);
  });

  it("hears of a courier who comes on shift, and of one who was not known", () => {
    supply.backlog(cellAt(1), 100);
    supply.onRecord(courier({ online: false }), courier(), false);
    supply.onRecord(null, courier(), true);
    expect(told.length).toBe(2);
  });

  it("hears of each offer that ends and makes room, also of a courier who had some left", () => {
    supply.backlog(cellAt(1), 100);
    supply.onRecord(courier({ slots: 3 }), courier({ slots: 2 }), false);
    expect(told).toEqual([]);
    supply.onRecord(courier({ slots: 2 }), courier({ slots: 3 }), false);
    expect(told).toEqual([cellAt(1)]);
  });

  it("hears nothing of robots", () => {
    supply.backlog(cellAt(1), 100);
    const robot = robotOf("tst_005d0000000000000000001" as DeliveryId, 1);
    supply.onRecord(null, courier({ courier: robot }), true);
    supply.backlog(cellAt(1), 99);
    expect(told).toEqual([]);
  });

  it("hears of a free courier who enters another cell, not of each ping", () => {
    supply.backlog(cellAt(1), 100);
    supply.onRecord(courier(), courier({ no: 2 }), false);
    expect(told).toEqual([]);
    supply.onRecord(courier(), courier({ no: 2 }), true);
    expect(told.length).toBe(1);
  });

  it("hears of all who are free when they can be reached again", () => {
    const all = [courier(), courier({ courier: "cur_b" as CourierId, slots: 0 })];
    supply.onReachableAgain((fn) => all.forEach(fn));
    supply.backlog(cellAt(9), 100);
    told = [];
    supply.backlog(cellAt(1), 100);
    told = [];
    supply.onReachableAgain((fn) => all.forEach(fn));
    expect(told).toEqual([cellAt(1)]);
  });

  it("does not hear of couriers who are full, off shift, nowhere or out of reach", () => {
    supply.backlog(cellAt(1), 100);
    supply.backlog(cellAt(9), 100);
    supply.onRecord(null, courier({ slots: 0 }), true);
    supply.onRecord(null, courier({ online: false }), true);
    supply.onRecord(null, courier({ at: 0 }), false);
    expect(told).toEqual([]);
    supply.onRecord(null, courier(), true);
    expect(told).toEqual([cellAt(1)]);
  });

  it("that has waited longest comes first, and only a few are told", () => {
    for (let i = 0; i < 5; i++) supply.backlog(cellAt(i - 2), 1_000 - i);
    supply.onRecord(null, courier(), true);
    expect(told).toEqual([cellAt(2), cellAt(1), cellAt(0)]);
    expect(told.length).toBe(CELLS_TOLD_MAX);
  });

  it("is forgotten when nothing waits in it any more", () => {
    supply.backlog(cellAt(1), 100);
    supply.backlog(cellAt(1), null);
    supply.onRecord(null, courier(), true);
    expect(told).toEqual([]);
    expect(supply.size).toBe(0);
  });

  it("hears of couriers who became free while its delivery was being recorded, once", async () => {
    supply.onRecord(null, courier(), true);
    supply.backlog(cellAt(9), 100);
    expect(told).toEqual([]);
    await clock.advance(1_500);
    supply.backlog(cellAt(1), 100);
    supply.backlog(cellAt(1), 90);
    expect(told).toEqual([cellAt(1)]);
    await clock.advance(1_500);
    supply.backlog(cellAt(2), 100);
    expect(told).toEqual([cellAt(1)]);
  });
});
