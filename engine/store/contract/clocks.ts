/**
 * The contract of times: whatever is done to the server's clock, one delivery's times never run
 * backwards.
 */
import { describe, expect, test } from "vitest";
import { OWNER, createOf, roundOf, statusOf } from "./world.ts";
import type { Fixtures } from "./world.ts";

const HOUR_MS = 3_600_000;
const byOwner = { role: "owner", owner: OWNER } as const;
const reason = "canceled_by_customer";

export function clockContract(f: Fixtures): void {
  describe("a clock that is set", () => {
    /** Forward, back, far back: the steps of one life, in every order that hurts. */
    const STEPS = [
      [HOUR_MS, 0, -HOUR_MS, 0],
      [0, -20_000, 20_000, -HOUR_MS],
      [-HOUR_MS, HOUR_MS, 0, -2 * HOUR_MS],
    ] as const;

    for (const end of ["delivered", "returned", "canceled", "unfilled", "replaced"] as const) {
      test(`no time of a delivery goes back, and no event: ${end}`, async () => {
        for (const [create, accept, pickup, over] of STEPS) {
          await f.setClock(create);
          const courier = await f.courier();
          const delivery = await f.created({ createdAt: Date.now() });
          await f.setClock(accept);
          if (end !== "unfilled") await f.store().accept({ delivery, courier });
          await f.setClock(pickup);
          if (end === "delivered" || end === "returned") {
            await f.other().status(statusOf(delivery, courier, "picked_up"));
          }
          if (end === "replaced") {
            await f.round(delivery, { ...roundOf(delivery), replacing: true, version: 2 });
            const second = await f.courier();
            await f.setClock(over);
            expect(await f.store().accept({ delivery, courier: second })).toMatchObject({
              changed: true,
            });
          }
          await f.setClock(over);
          if (end === "delivered" || end === "returned") {
            await f.store().status(statusOf(delivery, courier, end));
          }
          if (end === "canceled") await f.store().cancel({ delivery, by: byOwner, reason });
          if (end === "unfilled") {
            const shard = Number.parseInt(delivery.slice(4, 7), 16) as never;
            const write = { kind: "unfilled", delivery, reason: "search_deadline" } as const;
            const outcome = await f.store().write(write, shard, await f.own(shard));
            expect(outcome).toEqual({ outcome: "recorded" });
          }
          const row = await f.store().delivery(delivery);
          const times = [row?.createdAt, row?.assignedAt, row?.pickedUpAt, row?.endedAt];
          const told = times.filter((at) => typeof at === "number");
          expect(told, `${end} after ${create} ${accept} ${pickup} ${over}`).toEqual(
            told.toSorted((a, b) => a - b),
          );
          const events = (await f.eventsOf(delivery)).map(({ at }) => at);
          expect(events).toEqual(events.toSorted());
          expect(Date.parse(events[0] as string)).toBeGreaterThanOrEqual(
            row?.createdAt ?? Infinity,
          );
          // The last event tells the time that the row says.
          const last = row?.endedAt ?? row?.assignedAt ?? null;
          expect(Date.parse(events.at(-1) as string)).toBe(last);
        }
        await f.setClock(0);
      });
    }

    test("a create of a gateway whose clock is ahead, or behind by the hours of an outage, begins its delivery's time", async () => {
      for (const offMs of [HOUR_MS, -6 * HOUR_MS]) {
        const command = createOf({ createdAt: Date.now() + offMs });
        await f.store().create(command);
        const courier = await f.courier();
        const taken = await f.store().accept({ delivery: command.job.id, courier });
        const assignedAt = taken.outcome === "accepted" ? (taken.row.assignedAt ?? 0) : 0;
        expect(assignedAt).toBeGreaterThanOrEqual(command.job.createdAt);
      }
    });
  });
}
