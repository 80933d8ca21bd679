/** The contract of what follows the accept: picked up, delivered, returned, canceled. */
import { describe, expect, test } from "vitest";
import type { PrincipalId } from "../../../proto/ids.ts";
import { NOW, OWNER, newDeliveryId, statusOf, upTo } from "./world.ts";
import type { Fixtures } from "./world.ts";

const refused = (code: string): object => ({ outcome: "refused", code });
const byOwner = { role: "owner", owner: OWNER } as const;
const byOperator = { role: "operator" } as const;

export function statusContract(f: Fixtures): void {
  describe("status", () => {
    test("D5: picked up, then delivered; claimed times stand beside the server's; the courier is free", async () => {
      const { delivery, by: courier } = await f.assigned();
      const picked = { ...statusOf(delivery, courier, "picked_up"), claimedAt: NOW + 1 };
      expect(await f.store().status(picked)).toMatchObject({
        outcome: "changed",
        changed: true,
        row: { status: "picked_up", version: 3, pickedUpClaimedAt: NOW + 1, endedAt: null },
      });
      expect(await f.loadOf(courier)).toBe(1);
      const done = { ...statusOf(delivery, courier, "delivered"), claimedAt: NOW + 2 };
      const outcome = await f.other().status(done);
      const row = await f.store().delivery(delivery);
      expect(outcome).toEqual({ outcome: "changed", changed: true, row });
      expect(row).toMatchObject({
        ...{ status: "delivered", version: 4, statusReason: null, courierId: courier },
        ...{ pickedUpClaimedAt: NOW + 1, deliveredClaimedAt: NOW + 2 },
      });
      expect(row?.pickedUpAt).not.toBeNull();
      expect(row?.deliveredAt).toBe(row?.endedAt);
      expect(await f.loadOf(courier)).toBe(0);
      const events = await f.eventsOf(delivery);
      expect(events.map((event) => event.number)).toEqual(upTo(4));
      expect(events.map((event) => event.type).slice(2)).toEqual(["picked_up", "delivered"]);
    });

    test("D4: told twice, it changes once", async () => {
      const { delivery, by: courier } = await f.pickedUp();
      const first = await f.store().delivery(delivery);
      expect(await f.other().status(statusOf(delivery, courier, "picked_up"))).toEqual({
        outcome: "changed",
        changed: false,
        row: first,
      });
      const outcomes = await Promise.all(
        upTo(10).map((i) =>
          (i % 2 ? f.store() : f.other()).status(statusOf(delivery, courier, "delivered")),
        ),
      );
      const changed = outcomes.filter((o) => o.outcome === "changed" && o.changed);
      expect(changed.length).toBe(1);
      expect(outcomes.every((o) => o.outcome === "changed")).toBe(true);
      expect(await f.loadOf(courier)).toBe(0);
      expect((await f.eventsOf(delivery)).length).toBe(4);
    });

    test("a parcel that comes back is returned, with a reason", async () => {
      const { delivery, by: courier } = await f.pickedUp();
      expect(await f.store().status(statusOf(delivery, courier, "returned"))).toMatchObject({
        row: { status: "returned", statusReason: "returned_by_courier", deliveredAt: null },
      });
      expect(await f.loadOf(courier)).toBe(0);
      const other = await f.pickedUp();
      const told = { ...statusOf(other.delivery, other.by, "returned"), reason: "nobody home" };
      expect(await f.store().status(told)).toMatchObject({ row: { statusReason: "nobody home" } });
    });

    test("only its courier may say so; to others it does not exist", async () => {
      const { delivery } = await f.assigned();
      const { by: other } = await f.assigned();
      const tell = (id = delivery) => f.store().status(statusOf(id, other, "picked_up"));
      expect(await tell()).toEqual(refused("not_found"));
      expect(await tell(await f.created())).toEqual(refused("not_found"));
      expect(await tell(newDeliveryId())).toEqual(refused("not_found"));
    });

    test("D5: no step is skipped and none goes back", async () => {
      const { delivery, by: courier } = await f.assigned();
      const tell = (status: "picked_up" | "delivered" | "returned") =>
        f.store().status(statusOf(delivery, courier, status));
      expect(await tell("delivered")).toEqual(refused("wrong_status"));
      expect(await tell("returned")).toEqual(refused("wrong_status"));
      await tell("picked_up");
      await tell("delivered");
      expect(await tell("picked_up")).toEqual(refused("wrong_status"));
      expect(await tell("returned")).toEqual(refused("wrong_status"));
      expect(await f.store().delivery(delivery)).toMatchObject({ status: "delivered", version: 4 });
    });

    test("D2: who delivered may take the next", async () => {
      const { delivery, by: courier } = await f.pickedUp();
      const waiting = await f.created();
      const accept = () => f.store().accept({ delivery: waiting, courier });
      expect(await accept()).toEqual(refused("courier_busy"));
      await f.store().status(statusOf(delivery, courier, "delivered"));
      expect(await accept()).toMatchObject({ outcome: "accepted" });
    });
  });
}

export function cancelContract(f: Fixtures): void {
  describe("cancel", () => {
    const reason = "canceled_by_customer";

    test("an owner cancels what is pending or assigned, and the courier is free", async () => {
      const pending = await f.created();
      expect(await f.store().cancel({ delivery: pending, by: byOwner, reason })).toMatchObject({
        changed: true,
        row: { status: "canceled", statusReason: reason, version: 2, courierId: null },
      });
      const { delivery, by: courier } = await f.assigned();
      const outcome = await f.other().cancel({ delivery, by: byOwner, reason });
      expect(outcome).toMatchObject({ changed: true, row: { status: "canceled", version: 3 } });
      expect((await f.store().delivery(delivery))?.endedAt).not.toBeNull();
      expect(await f.loadOf(courier)).toBe(0);
      expect((await f.eventsOf(delivery)).at(-1)).toMatchObject({
        ...{ number: 3, type: "canceled", status: "canceled", reason, courier_id: courier },
      });
    });

    test("after the pickup only an operator may", async () => {
      const { delivery, by: courier } = await f.pickedUp();
      expect(await f.store().cancel({ delivery, by: byOwner, reason })).toEqual(
        refused("wrong_status"),
      );
      expect(await f.store().cancel({ delivery, by: byOperator, reason })).toMatchObject({
        changed: true,
        row: { status: "canceled" },
      });
      expect(await f.loadOf(courier)).toBe(0);
    });

    test("D4: canceled twice, it changes once and keeps the first reason", async () => {
      const { delivery, by: courier } = await f.assigned();
      await f.store().cancel({ delivery, by: byOwner, reason });
      expect(await f.other().cancel({ delivery, by: byOperator, reason: "again" })).toMatchObject({
        changed: false,
        row: { version: 3, statusReason: reason },
      });
      expect(await f.loadOf(courier)).toBe(0);
    });

    test("what belongs to another owner does not exist; what has ended stays as it is", async () => {
      const delivery = await f.created();
      const stranger = { role: "owner", owner: "customer_9" as PrincipalId } as const;
      const cancel = (id: typeof delivery, by: typeof stranger | typeof byOperator) =>
        f.store().cancel({ delivery: id, by, reason });
      expect(await cancel(delivery, stranger)).toEqual(refused("not_found"));
      expect(await cancel(newDeliveryId(), byOperator)).toEqual(refused("not_found"));
      const done = await f.pickedUp();
      await f.store().status(statusOf(done.delivery, done.by, "delivered"));
      expect(await cancel(done.delivery, byOperator)).toEqual(refused("wrong_status"));
      const { delivery: gone, by: courier } = await f.assigned();
      await f.store().cancel({ delivery: gone, by: byOwner, reason });
      const late = await f.store().status(statusOf(gone, courier, "picked_up"));
      expect(late).toEqual(refused("wrong_status"));
    });
  });
}
