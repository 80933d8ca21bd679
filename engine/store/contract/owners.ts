/**
 * The contract of shard owners: epochs, rounds, unfilled deliveries, shifts, and what they resume
 * from.
 */
import { describe, expect, test } from "vitest";
import type { CourierId, Epoch, ShardId } from "../../../proto/ids.ts";
import { NOW, SHIFT_SHARD, createOf, newCourierId, newDeliveryId } from "./world.ts";
import { roundOf, statusOf, takeOver, upTo } from "./world.ts";
import type { Fixtures } from "./world.ts";

const shard = (n: number): ShardId => n as ShardId;

export function epochContract(f: Fixtures): void {
  describe("epochs", () => {
    test("a taking that goes by the shard's epoch raises it by one, any other takes nothing", async () => {
      const [a, b] = [shard(100), shard(101)];
      const take = async (node: string, ...expected: [ShardId, number][]) => [
        ...(await f.store().takeShards(node, new Map(expected as [ShardId, Epoch][]))),
      ];
      expect(await take("node_a")).toEqual([]);
      expect(await take("node_a", [b, 1])).toEqual([]);
      expect(await take("node_a", [a, 0], [b, 0])).toEqual([
        [a, 1],
        [b, 1],
      ]);
      expect(await take("node_b", [a, 1])).toEqual([[a, 2]]);
      expect(await take("node_c", [a, 1], [b, 1])).toEqual([[b, 2]]);
      expect(await take("node_c", [a, 0])).toEqual([]);
      expect(await take("node_c", [a, 3])).toEqual([]);
      const owners = (await f.other().shardOwners()).filter((one) => [a, b].includes(one.shard));
      expect(owners).toEqual([
        { shard: a, epoch: 2, node: "node_b" },
        { shard: b, epoch: 2, node: "node_c" },
      ]);
    });

    test("D4: a taking whose answer was lost gives the same epoch, until another has taken it", async () => {
      const one = shard(103);
      const take = async (node: string, expected: number) =>
        (await f.store().takeShards(node, new Map([[one, expected as Epoch]]))).get(one);
      for (const _ of upTo(2)) expect(await take("node_a", 0)).toBe(1);
      expect(await take("node_b", 1)).toBe(2);
      expect(await take("node_a", 0)).toBeUndefined();
      expect(await take("node_a", 1)).toBeUndefined();
    });

    test("D8: of many that take a shard at once by the same epoch one gets it", async () => {
      const [a, b] = [shard(105), shard(106)];
      for (const expected of [0, 1, 2, 3, 4] as (Epoch | 0)[]) {
        const taken = await Promise.all(
          upTo(10).map((i) => {
            // Named in either order, so that they could wait in a circle if the store did not sort.
            const both = i % 2 ? [a, b] : [b, a];
            const by = i % 3 ? f.store() : f.other();
            return by.takeShards(`node_${i}`, new Map(both.map((one) => [one, expected])));
          }),
        );
        for (const one of [a, b]) {
          expect(taken.flatMap((map) => map.get(one) ?? [])).toEqual([expected + 1]);
        }
      }
    });

    test("D8: an older epoch decides nothing any more, whatever it wants to write", async () => {
      const id = await f.created({ id: newDeliveryId(102) });
      const courier = await f.courier({ online: false });
      const old = await f.own(shard(102));
      const present = await f.own(shard(102));
      const writes = [
        roundOf(id),
        { kind: "unfilled", delivery: id, reason: "search_deadline" },
        { kind: "shift", courier, online: true },
      ] as const;
      for (const write of writes) {
        for (const epoch of [old, (present + 1) as Epoch]) {
          expect(await f.other().write(write, shard(102), epoch)).toEqual({ outcome: "fenced" });
        }
      }
    });

    test("D8: while the shard changes hands again and again, no older owner writes after a newer one", async () => {
      const ids = await Promise.all(upTo(5).map(() => f.created({ id: newDeliveryId(104) })));
      let newest = 0;
      const late: number[] = [];
      const ownAndWrite = async (i: number): Promise<void> => {
        const store = i % 2 ? f.store() : f.other();
        const epoch = await takeOver(store, `node_${i}`, shard(104));
        await Promise.all(
          ids.map(async (id) => {
            const write = { ...roundOf(id), wave: epoch };
            const seen = newest;
            const { outcome } = await store.write(write, shard(104), epoch);
            if (outcome !== "recorded") return;
            if (epoch < seen) late.push(epoch);
            newest = Math.max(newest, epoch);
          }),
        );
      };
      await Promise.all(upTo(40).map(ownAndWrite));
      expect(late).toEqual([]);
      const waves = await Promise.all(ids.map(async (id) => (await f.store().snapshot(id))?.wave));
      expect(new Set(waves)).toEqual(new Set([newest]));
    });
  });
}

export function roundContract(f: Fixtures): void {
  describe("rounds", () => {
    test("the next owner reads what the last one recorded", async () => {
      const id = await f.created();
      const { wave, offers, asked, nextAttemptAt } = roundOf(id);
      expect(await f.round(id)).toEqual({ outcome: "recorded" });
      expect(await f.other().snapshot(id)).toMatchObject({
        ...{ wave, offers, asked, nextAttemptAt, status: "pending", version: 1 },
      });
      expect(await f.store().delivery(id)).toMatchObject({ wave: 1, statusReason: "searching" });
      expect((await f.eventsOf(id)).length).toBe(1);
    });

    test("D4: written twice it is recorded twice, and stands once", async () => {
      const id = await f.created();
      const epoch = await f.own(shard(5));
      for (const _ of upTo(2))
        expect(await f.round(id, {}, epoch)).toEqual({ outcome: "recorded" });
      expect(await f.store().snapshot(id)).toMatchObject({ wave: 1, version: 1 });
    });

    test("D1: a round that comes after the accept changes nothing and learns how the row stands", async () => {
      const { delivery, by } = await f.assigned();
      const outcome = await f.round(delivery, { version: 1 });
      const snapshot = await f.store().snapshot(delivery);
      expect(outcome).toEqual({ outcome: "superseded", snapshot });
      expect(snapshot).toMatchObject({ status: "assigned", version: 2, courier: by, offers: [] });
    });

    test("D1: a late round of a replacement search does not put the new courier up for replacement", async () => {
      const { delivery } = await f.assigned();
      await f.round(delivery, { replacing: true });
      await f.store().accept({ delivery, courier: await f.courier() });
      expect(await f.round(delivery, { version: 2, wave: 2, replacing: true })).toMatchObject({
        outcome: "superseded",
        snapshot: { version: 3, replacing: false },
      });
    });

    test("a replacement search is recorded on an assigned delivery only, and can be called off", async () => {
      const { delivery } = await f.assigned();
      const replacing = async () => (await f.store().snapshot(delivery))?.replacing;
      await f.round(delivery, { replacing: true, reason: "courier_still" });
      expect(await replacing()).toBe(true);
      expect(await f.round(delivery, { offers: [] })).toEqual({ outcome: "recorded" });
      expect(await replacing()).toBe(false);
      const pending = await f.created();
      expect(await f.round(pending, { replacing: true })).toMatchObject({ outcome: "superseded" });
      const picked = await f.pickedUp();
      expect(await f.round(picked.delivery, { replacing: true })).toMatchObject({
        outcome: "superseded",
        snapshot: { status: "picked_up" },
      });
    });

    test("a row that is gone is superseded by nothing", async () => {
      expect(await f.round(newDeliveryId())).toEqual({ outcome: "superseded", snapshot: null });
    });

    test("a write to a shard that is not the delivery's is a mistake of ours", async () => {
      const id = await f.created();
      await expect(f.store().write(roundOf(id), shard(6), 1 as Epoch)).rejects.toThrow();
    });
  });
}

export function endContract(f: Fixtures): void {
  describe("unfilled, and shifts", () => {
    test("D3: nobody took it: unfilled, with the reason and an event; saying so twice is once", async () => {
      const id = await f.created();
      const epoch = await f.own(shard(5));
      const write = { kind: "unfilled", delivery: id, reason: "search_deadline" } as const;
      for (const store of [f.store(), f.other()]) {
        expect(await store.write(write, shard(5), epoch)).toEqual({ outcome: "recorded" });
      }
      const row = await f.store().delivery(id);
      expect(row).toMatchObject({
        status: "unfilled",
        statusReason: "search_deadline",
        version: 2,
      });
      expect(row?.endedAt).not.toBeNull();
      const events = await f.eventsOf(id);
      expect(events.map((event) => event.number)).toEqual([1, 2]);
      expect(events[1]).toMatchObject({ type: "unfilled", reason: "search_deadline" });
    });

    test("D1: what a courier has accepted does not become unfilled", async () => {
      const { delivery } = await f.assigned();
      const write = { kind: "unfilled", delivery, reason: "search_deadline" } as const;
      const outcome = await f.store().write(write, shard(5), await f.own(shard(5)));
      expect(outcome).toMatchObject({ outcome: "superseded", snapshot: { status: "assigned" } });
    });

    test("a shift is what the courier's owner last wrote", async () => {
      const courier = await f.courier();
      expect(await f.store().courier(courier)).toMatchObject({ online: true, load: 0 });
      const epoch = await f.own(shard(4_001));
      const write = { kind: "shift", courier, online: false } as const;
      expect(await f.store().write(write, shard(4_001), epoch)).toEqual({ outcome: "recorded" });
      expect(await f.other().courier(courier)).toMatchObject({ online: false });
      const nobody = { ...write, courier: newCourierId() };
      const outcome = await f.store().write(nobody, shard(4_001), epoch);
      expect(outcome).toEqual({ outcome: "superseded", snapshot: null });
    });
  });
}

export function resumeContract(f: Fixtures): void {
  describe("resuming", () => {
    test("the sweep finds what is due: pending, or being replaced, in these shards", async () => {
      const ids = await Promise.all(upTo(3).map(() => f.created({ id: newDeliveryId(200) })));
      const [pending, later, ended] = ids as [(typeof ids)[0], (typeof ids)[0], (typeof ids)[0]];
      await f.created({ id: newDeliveryId(201) });
      await f.round(later!, { nextAttemptAt: NOW + 60_000 });
      await f.store().cancel({ delivery: ended!, by: { role: "operator" }, reason: "test" });
      const due = async (now: number, limit = 10) =>
        (await f.store().due([shard(200)], now, limit)).map((row) => row.job.id);
      expect(await due(NOW + 500)).toEqual([]);
      expect(await due(NOW + 30_000)).toEqual([pending]);
      expect(await due(NOW + 90_000)).toEqual([pending, later]);
      expect(await due(NOW + 90_000, 1)).toEqual([pending]);
      await f.store().accept({ delivery: pending!, courier: await f.courier() });
      expect(await due(NOW + 90_000)).toEqual([later]);
      await f.round(pending!, { replacing: true, nextAttemptAt: NOW });
      expect(await due(NOW + 90_000)).toEqual([pending, later]);
    });

    test("a starting owner pages through all that is open", async () => {
      const ids = await Promise.all(upTo(7).map(() => f.created({ id: newDeliveryId(210) })));
      const elsewhere = await f.created({ id: newDeliveryId(211) });
      const courier = await f.courier({ capacity: 5 });
      await f.store().accept({ delivery: ids[0]!, courier });
      await f.store().accept({ delivery: ids[1]!, courier });
      await f.store().status(statusOf(ids[1]!, courier, "picked_up"));
      await f.store().cancel({ delivery: ids[2]!, by: { role: "operator" }, reason: "test" });
      const found: string[] = [];
      for (let after = ""; ; after = found.at(-1) ?? "") {
        const page = await f.store().openDeliveries([shard(210), shard(212)], after, 4);
        found.push(...page.map((row) => row.job.id));
        if (page.length < 4) break;
      }
      expect(found).toEqual(ids.filter((_, i) => i !== 2).sort());
      expect(found).not.toContain(elsewhere);
    });

    test("a courier resumes with what it carries and where it was", async () => {
      const { delivery, by: courier } = await f.pickedUp();
      const { job } = createOf();
      const position = { courier, at: NOW, lng: -122.4, lat: 37.77 };
      await f.store().saveLastKnown([position]);
      const expected = {
        ...{ courier, vehicle: "bike", capacity: 1, online: true },
        active: [
          {
            ...{ delivery, pickupLng: job.pickupLng, pickupLat: job.pickupLat, pickedUp: true },
            ...{ dropoffLng: job.dropoffLng, dropoffLat: job.dropoffLat },
          },
        ],
        lastKnown: { at: NOW, lng: -122.4, lat: 37.77 },
      };
      expect(await f.store().courierSnapshot(courier)).toEqual(expected);
      expect(await f.store().courierSnapshot(newCourierId())).toBeNull();
      const all = await f.store().courierSnapshots([SHIFT_SHARD], "", 10_000);
      expect(all.find((snapshot) => snapshot.courier === courier)).toEqual(expected);
      const ids = all.map((snapshot) => snapshot.courier);
      expect(ids).toEqual([...ids].sort());
      const page = await f.store().courierSnapshots([SHIFT_SHARD], ids[0]!, 2);
      expect(page.map((snapshot) => snapshot.courier)).toEqual(ids.slice(1, 3));
    });

    test("an owner finds the couriers of its shards, and no others", async () => {
      const [a, b, c] = [shard(220), shard(221), shard(222)];
      const ids = [];
      for (const of of [a, b, a, b, c]) ids.push(await f.courier({ shard: of }));
      const idsOf = async (shards: ShardId[], after = "", limit = 10) =>
        (await f.store().courierSnapshots(shards, after, limit)).map((one) => one.courier);
      expect(await idsOf([a])).toEqual([ids[0], ids[2]].sort());
      expect(await idsOf([b, a])).toEqual(ids.slice(0, 4).sort());
      const [first, ...rest] = ids.slice(0, 4).sort();
      expect(await idsOf([a, b], first, 2)).toEqual(rest.slice(0, 2));
      expect(await idsOf([])).toEqual([]);
      expect(await idsOf([shard(223)])).toEqual([]);
    });

    test("who is off shift and carries nothing is not resumed", async () => {
      const idle: CourierId = await f.courier({ online: false });
      const all = await f.store().courierSnapshots([SHIFT_SHARD], "", 10_000);
      const ids = all.map((snapshot) => snapshot.courier);
      expect(ids).not.toContain(idle);
      expect(await f.store().courierSnapshot(idle)).toMatchObject({ active: [], lastKnown: null });
    });
  });
}
