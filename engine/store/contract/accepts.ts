/** The contract of the accept: every outcome, and what may not happen whatever races. */
import { describe, expect, test } from "vitest";
import { PACKAGE_SIZES, VEHICLES } from "../../../proto/geo.ts";
import type { CourierId } from "../../../proto/ids.ts";
import { newCourierId, newDeliveryId, newRobotId, newTestId, statusOf, upTo } from "./world.ts";
import type { Fixtures } from "./world.ts";

const refused = (code: string): object => ({ outcome: "refused", code });

export function acceptContract(f: Fixtures): void {
  describe("accept", () => {
    test("assigns the delivery and raises the courier's load, together", async () => {
      const courier = await f.courier();
      const delivery = await f.created();
      const outcome = await f.store().accept({ delivery, courier });
      const row = await f.other().delivery(delivery);
      expect(outcome).toEqual({ outcome: "accepted", changed: true, row });
      expect(row).toMatchObject({
        ...{ status: "assigned", version: 2, courierId: courier, replacing: false },
        ...{ courierName: "Alice", courierPhone: "+1-555-0101", courierVehicle: "bike" },
      });
      expect(Number.isInteger(row?.assignedAt)).toBe(true);
      expect(await f.loadOf(courier)).toBe(1);
      expect(await f.eventsOf(delivery)).toMatchObject([
        { number: 1 },
        { number: 2, type: "assigned", status: "assigned", courier_id: courier },
      ]);
    });

    test("D4: asked again by the same courier, it gives the same answer until the end and after", async () => {
      const { delivery, by: courier } = await f.assigned();
      const first = await f.store().delivery(delivery);
      const again = await f.other().accept({ delivery, courier });
      expect(again).toEqual({ outcome: "accepted", changed: false, row: first });
      for (const status of ["picked_up", "delivered"] as const) {
        await f.store().status(statusOf(delivery, courier, status));
        const late = await f.store().accept({ delivery, courier });
        expect(late).toMatchObject({ outcome: "accepted", changed: false, row: { status } });
        expect(late).toMatchObject({ row: { assignedAt: first?.assignedAt } });
      }
      expect((await f.eventsOf(delivery)).length).toBe(4);
    });

    test("refuses what does not exist, what another has, and what has ended", async () => {
      const courier = await f.courier();
      const { delivery: taken } = await f.assigned();
      const over = await f.created();
      await f.store().cancel({ delivery: over, by: { role: "operator" }, reason: "test" });
      const accept = (delivery = newDeliveryId(), by = courier) =>
        f.store().accept({ delivery, courier: by });
      expect(await accept()).toEqual(refused("not_found"));
      expect(await accept(await f.created(), newCourierId())).toEqual(refused("not_found"));
      expect(await accept(taken)).toEqual(refused("delivery_taken"));
      expect(await accept(over)).toEqual(refused("delivery_over"));
      expect(await f.loadOf(courier)).toBe(0);
    });

    test("tests exist for robots alone, and for robots there is nothing else", async () => {
      const [robot, person] = [await f.courier({ id: newRobotId() }), await f.courier()];
      const [test, real] = [await f.created({ id: newTestId() }), await f.created()];
      expect(await f.store().accept({ delivery: test, courier: person })).toEqual(
        refused("not_found"),
      );
      expect(await f.other().accept({ delivery: real, courier: robot })).toEqual(
        refused("not_found"),
      );
      const taken = await f.store().accept({ delivery: test, courier: robot });
      expect(taken).toMatchObject({ outcome: "accepted", changed: true });
      // Nor as a replacement.
      await f.round(test, { replacing: true });
      expect(await f.store().accept({ delivery: test, courier: person })).toEqual(
        refused("not_found"),
      );
      expect([await f.loadOf(robot), await f.loadOf(person)]).toEqual([1, 0]);
      const shown = (await f.store().couriers()).map(({ id }) => id);
      expect([shown.includes(robot), shown.includes(person)]).toEqual([false, true]);
      expect(await f.eventsOf(test)).toMatchObject([{ test: true }, { test: true }]);
      expect(await f.eventsOf(real)).toMatchObject([{ test: false }]);
    });

    test("refuses a courier who is off shift or carries as much as it can", async () => {
      const off = await f.courier({ online: false });
      const { by: full } = await f.assigned();
      const delivery = await f.created();
      expect(await f.store().accept({ delivery, courier: off })).toEqual(
        refused("courier_off_shift"),
      );
      expect(await f.store().accept({ delivery, courier: full })).toEqual(refused("courier_busy"));
      expect(await f.store().delivery(delivery)).toMatchObject({ status: "pending", version: 1 });
    });

    test("refuses a vehicle that cannot carry the size, or is not the one asked for", async () => {
      const fits: string[] = [];
      for (const vehicle of VEHICLES) {
        const courier = await f.courier({ vehicle, capacity: 20 });
        for (const size of PACKAGE_SIZES) {
          const delivery = await f.created({ size });
          const outcome = await f.store().accept({ delivery, courier });
          if (outcome.outcome === "accepted") fits.push(`${vehicle} ${size}`);
          else expect(outcome.code).toBe("vehicle_unfit");
        }
      }
      expect(fits).toEqual([
        ...["walk small", "bike small", "bike medium", "scooter small", "scooter medium"],
        ...["car small", "car medium", "car large", "van small", "van medium", "van large"],
      ]);
      const delivery = await f.created({ vehicle: "car" });
      const van = await f.courier({ vehicle: "van" });
      expect(await f.store().accept({ delivery, courier: van })).toEqual(refused("vehicle_unfit"));
    });
  });
}

export function replacementContract(f: Fixtures): void {
  describe("replacing a courier", () => {
    test("the old courier is freed when the new one has it, and not before", async () => {
      const { delivery, by: old } = await f.assigned();
      await f.round(delivery, { replacing: true, reason: "courier_dark" });
      expect(await f.loadOf(old)).toBe(1);
      const next = await f.courier();
      const outcome = await f.other().accept({ delivery, courier: next });
      expect(outcome).toMatchObject({
        outcome: "accepted",
        changed: true,
        row: { courierId: next, status: "assigned", version: 3, replacing: false },
      });
      expect([await f.loadOf(old), await f.loadOf(next)]).toEqual([0, 1]);
      expect((await f.eventsOf(delivery)).at(-1)).toMatchObject({
        ...{ number: 3, type: "reassigned", status: "assigned" },
        ...{ reason: "courier_dark", courier_id: next },
      });
      expect(await f.store().accept({ delivery, courier: old })).toEqual(refused("delivery_taken"));
    });

    test("the courier who is to be replaced still has it, and may still pick it up", async () => {
      const { delivery, by: courier } = await f.assigned();
      await f.round(delivery, { replacing: true });
      expect(await f.store().accept({ delivery, courier })).toMatchObject({
        changed: false,
        row: { replacing: true },
      });
      await f.store().status(statusOf(delivery, courier, "picked_up"));
      const late = await f.courier();
      expect(await f.store().accept({ delivery, courier: late })).toEqual(
        refused("delivery_taken"),
      );
    });

    test("two couriers who take each other's delivery at the same moment do not block each other", async () => {
      for (const _ of upTo(20)) {
        const a = await f.assigned({ capacity: 2 });
        const b = await f.assigned({ capacity: 2 });
        await f.round(a.delivery, { replacing: true });
        await f.round(b.delivery, { replacing: true });
        const outcomes = await Promise.all([
          f.store().accept({ delivery: a.delivery, courier: b.by }),
          f.other().accept({ delivery: b.delivery, courier: a.by }),
        ]);
        expect(outcomes).toMatchObject([{ changed: true }, { changed: true }]);
        expect([await f.loadOf(a.by), await f.loadOf(b.by)]).toEqual([1, 1]);
      }
    });
  });
}

export function acceptRaceContract(f: Fixtures): void {
  describe("accepts that race through two stores", () => {
    const either = (i: number) => (i % 2 === 0 ? f.store() : f.other());

    test("D1: of a hundred couriers one gets the delivery, and the others carry nothing", async () => {
      const couriers = await Promise.all(upTo(100).map(() => f.courier()));
      const delivery = await f.created();
      const outcomes = await Promise.all(
        couriers.map((courier, i) => either(i).accept({ delivery, courier })),
      );
      const winners = couriers.filter((_, i) => outcomes[i]?.outcome === "accepted");
      expect(winners.length).toBe(1);
      expect(await f.store().delivery(delivery)).toMatchObject({ courierId: winners[0] });
      const losers = outcomes.filter((outcome) => outcome.outcome === "refused");
      expect(new Set(losers.map((outcome) => outcome.code))).toEqual(new Set(["delivery_taken"]));
      const loads = await Promise.all(couriers.map(f.loadOf));
      expect(loads.reduce<number>((sum, load) => sum + (load ?? 0), 0)).toBe(1);
      expect((await f.eventsOf(delivery)).map((event) => event.number)).toEqual([1, 2]);
    });

    test("D2: two couriers who grab sixty deliveries end with what they can carry", async () => {
      const couriers = [await f.courier({ capacity: 3 }), await f.courier({ capacity: 5 })];
      const deliveries = await Promise.all(upTo(60).map(() => f.created()));
      const tries = deliveries.flatMap((delivery) =>
        couriers.map((courier) => ({ delivery, courier })),
      );
      const outcomes = await Promise.all(tries.map((command, i) => either(i).accept(command)));
      expect(await Promise.all(couriers.map(f.loadOf))).toEqual([3, 5]);
      const active = (courier: CourierId) => f.store().activeOfCourier(courier);
      const carried = (await Promise.all(couriers.map(active))).map((rows) => rows.length);
      expect(carried).toEqual([3, 5]);
      expect(outcomes.filter((outcome) => outcome.outcome === "accepted").length).toBe(8);
    });

    test("D1: of thirty couriers one becomes the replacement, and the old one is free once", async () => {
      const { delivery, by: old } = await f.assigned();
      await f.round(delivery, { replacing: true });
      const couriers = await Promise.all(upTo(30).map(() => f.courier()));
      const outcomes = await Promise.all(
        couriers.map((courier, i) => either(i).accept({ delivery, courier })),
      );
      expect(outcomes.filter((outcome) => outcome.outcome === "accepted").length).toBe(1);
      expect(await f.loadOf(old)).toBe(0);
      expect((await f.eventsOf(delivery)).map((event) => event.number)).toEqual(upTo(3));
    });

    test("D5: an accept against a cancel leaves no load behind and no gap in the numbers", async () => {
      for (const i of upTo(30)) {
        const courier = await f.courier();
        const delivery = await f.created();
        const [accepted, canceled] = await Promise.all([
          either(i).accept({ delivery, courier }),
          either(i + 1).cancel({ delivery, by: { role: "operator" }, reason: "changed my mind" }),
        ]);
        expect(canceled).toMatchObject({ outcome: "changed", changed: true });
        expect(await f.loadOf(courier)).toBe(0);
        const last = accepted.outcome === "accepted" ? 3 : 2;
        expect((await f.eventsOf(delivery)).map((event) => event.number)).toEqual(upTo(last));
      }
    });
  });
}
