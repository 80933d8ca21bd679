/** The contract of lists, positions, couriers and the outbox. */
import { describe, expect, test } from "vitest";
import type { Vehicle } from "../../../proto/geo.ts";
import type { PrincipalId } from "../../../proto/ids.ts";
import { POSITIONS_BATCH_MAX_ROWS } from "../../../proto/limits.ts";
import type { ListQuery } from "../port.ts";
import {
  NOW,
  SHIFT_SHARD,
  newCourierId,
  newDeliveryId,
  newTestId,
  next,
  statusOf,
  upTo,
} from "./world.ts";
import type { Fixtures } from "./world.ts";

const EVERYTHING: ListQuery = {
  owner: null,
  courier: null,
  status: null,
  before: null,
  limit: 100,
};

export function listContract(f: Fixtures): void {
  describe("lists", () => {
    test("an owner's deliveries come newest first, page by page, each once", async () => {
      const owner = `customer_${next()}` as PrincipalId;
      // Two of each time: the id decides between them.
      const times = upTo(9).map((i) => NOW + Math.floor(i / 2));
      const ids = await Promise.all(times.map((createdAt) => f.created({ owner, createdAt })));
      const canceled = ids[4]!;
      await f.store().cancel({ delivery: canceled, by: { role: "operator" }, reason: "test" });
      const found: { id: string; createdAt: number }[] = [];
      for (;;) {
        const before = found.at(-1) ?? null;
        const page = await f.store().deliveries({ ...EVERYTHING, owner, before, limit: 4 });
        found.push(...page);
        if (page.length < 4) break;
      }
      const expected = ids
        .map((id, i) => ({ id, createdAt: times[i] ?? 0 }))
        .sort((a, b) => b.createdAt - a.createdAt || (a.id < b.id ? 1 : -1));
      expect(found.map((row) => row.id)).toEqual(expected.map((row) => row.id));
      const only = await f.store().deliveries({ ...EVERYTHING, owner, status: "canceled" });
      expect(only.map((row) => row.id)).toEqual([canceled]);
    });

    test("a courier's deliveries, and among them those it carries now", async () => {
      const courier = await f.courier({ capacity: 3 });
      const ids = await Promise.all(upTo(3).map((i) => f.created({ createdAt: NOW + i })));
      for (const delivery of ids) await f.store().accept({ delivery, courier });
      await f.store().status(statusOf(ids[0]!, courier, "picked_up"));
      await f.store().status(statusOf(ids[0]!, courier, "delivered"));
      await f.store().status(statusOf(ids[1]!, courier, "picked_up"));
      const all = await f.store().deliveries({ ...EVERYTHING, courier });
      expect(all.map((row) => row.id)).toEqual([...ids].reverse());
      const active = await f.store().activeOfCourier(courier);
      expect(active.map((row) => [row.id, row.status])).toEqual([
        [ids[1], "picked_up"],
        [ids[2], "assigned"],
      ]);
      expect(await f.store().activeOfCourier(newCourierId())).toEqual([]);
    });

    test("reads of one moment share a statement and each gets its own row", async () => {
      const ids = await Promise.all(upTo(5).map(() => f.created()));
      const wanted = [...ids, newDeliveryId(), ids[0]!];
      const rows = await Promise.all(wanted.map((id) => f.store().delivery(id)));
      expect(rows.map((row) => row?.id)).toEqual([...ids, undefined, ids[0]]);
    });

    test("available: what is pending within reach, nearest first, and no tests", async () => {
      // A place of its own, so that no other test's deliveries are near.
      const at = { lng: 13.4, lat: 52.5 };
      const north = (km: number) => ({ pickupLng: at.lng, pickupLat: at.lat + km / 111.195 });
      const east = { pickupLng: at.lng + 1.5 / 67.7, pickupLat: at.lat };
      const [two, one, six, side, gone] = await Promise.all(
        [north(2), north(1), north(6), east, north(0.5)].map((pickup) => f.created(pickup)),
      );
      await f.store().accept({ delivery: gone!, courier: await f.courier() });
      await f.created({ ...north(1), id: newTestId() });
      const near = async (radiusM: number, max = 20) =>
        (await f.store().available(at, radiusM, max, "bike")).map((row) => row.id);
      expect(await near(5_000)).toEqual([one, side, two]);
      expect(await near(7_000)).toEqual([one, side, two, six]);
      expect(await near(7_000, 2)).toEqual([one, side]);
      expect(await near(100)).toEqual([]);
    });

    test("available: only what the vehicle carries; what does not fit hides nothing behind it", async () => {
      const at = { lng: 13.4, lat: 50.5 };
      const north = (km: number) => ({ pickupLng: at.lng, pickupLat: at.lat + km / 111.195 });
      const [large, vans, bikes, small] = await Promise.all([
        f.created({ ...north(1), size: "large" }),
        f.created({ ...north(2), vehicle: "van" }),
        f.created({ ...north(3), vehicle: "bike" }),
        f.created({ ...north(4), size: "small" }),
      ]);
      const near = async (vehicle: Vehicle, max = 20) =>
        (await f.store().available(at, 5_000, max, vehicle)).map((row) => row.id);
      expect(await near("bike", 2)).toEqual([bikes, small]);
      expect(await near("van")).toEqual([large, vans, small]);
      expect(await near("walk")).toEqual([small]);
    });
  });
}

export function factContract(f: Fixtures): void {
  describe("couriers, positions, the outbox", () => {
    test("an operator makes and changes a courier; shift and load stay", async () => {
      const { by: id } = await f.assigned();
      const changed = {
        id,
        name: "Bob",
        phone: "+1-555-0102",
        vehicle: "car",
        capacity: 4,
      } as const;
      const row = await f.store().putCourier({ ...changed, shard: SHIFT_SHARD });
      expect(row).toEqual({ ...changed, online: true, load: 1 });
      expect(await f.other().courier(id)).toEqual(row);
      expect(await f.other().couriers()).toContainEqual(row);
      expect(await f.store().courier(newCourierId())).toBeNull();
    });

    test("D6: an older position never replaces a newer one, not even within one batch", async () => {
      const [courier, other] = [newCourierId(), newCourierId()];
      const at = (ms: number, who = courier) => ({
        ...{ courier: who, at: NOW + ms, lng: -122.4, lat: 37 + ms / 100 },
      });
      expect(await f.store().lastKnown(courier)).toBeNull();
      await f.store().saveLastKnown([at(5), at(9), at(7), at(1, other)]);
      await f.other().saveLastKnown([at(8), at(2, other)]);
      expect(await f.store().lastKnown(courier)).toEqual(at(9));
      expect(await f.store().lastKnown(other)).toEqual(at(2, other));
      await f.store().saveLastKnown([]);
    });

    test("the last positions of more couriers than a statement holds are all kept", async () => {
      const count = 2 * POSITIONS_BATCH_MAX_ROWS + 1;
      const all = upTo(count).map((i) => ({
        ...{ courier: newCourierId(), at: NOW + i, lng: -122.4, lat: 37.7 },
      }));
      await f.store().saveLastKnown(all);
      for (const i of [0, POSITIONS_BATCH_MAX_ROWS - 1, POSITIONS_BATCH_MAX_ROWS, count - 1]) {
        expect(await f.other().lastKnown(all[i]!.courier)).toEqual(all[i]);
      }
    });

    test("history takes thousands of positions at once", async () => {
      const courier = newCourierId();
      await f.store().appendHistory([]);
      await f
        .store()
        .appendHistory(upTo(2_500).map((i) => ({ courier, at: NOW + i, lng: -180, lat: 90 })));
    });

    test("D5: events stay until they are done, in order, and are gone then", async () => {
      const { delivery } = await f.pickedUp();
      const batch = await f.store().outboxBatch(100_000);
      const ids = batch.map((row) => BigInt(row.event.id));
      expect(ids).toEqual([...ids].sort((a, b) => (a < b ? -1 : 1)));
      const mine = batch.filter((row) => row.event.delivery_id === delivery);
      expect(mine.map((row) => row.event.number)).toEqual([1, 2, 3]);
      expect(new Set(mine.map((row) => row.owner))).toEqual(new Set(["customer_1"]));
      await f.store().outboxDone(mine.slice(0, 2).map((row) => row.event.id));
      await f.store().outboxDone([]);
      expect((await f.eventsOf(delivery)).map((event) => event.number)).toEqual([3]);
      expect((await f.store().outboxBatch(1)).length).toBe(1);
    });

    test("it answers when it is asked whether it is there", async () => {
      await f.store().ping();
    });
  });
}
