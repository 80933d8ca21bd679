/** The contract of creates and of idempotency keys. */
import { describe, expect, test } from "vitest";
import { FIRST_SWEEP_AFTER_MS } from "../../../proto/limits.ts";
import type { IdempotencyKey } from "../port.ts";
import { NOW, OWNER, createOf, newDeliveryId, next } from "./world.ts";
import type { Fixtures } from "./world.ts";

const newKey = (principal: string = OWNER): IdempotencyKey => ({
  principal,
  key: `key ${next()}`,
  fingerprint: "f1",
});

export function createContract(f: Fixtures): void {
  describe("create", () => {
    test("a delivery reads back as it was created", async () => {
      const trackingHash = new Uint8Array(32).fill(next());
      const command = createOf(
        { size: "large", vehicle: "van" },
        {
          externalId: "order 7",
          weightKg: 12.5,
          recipientPhone: "+1-555-0199",
          notes: `two "boxes", \\ and a ☂`,
          readyAt: NOW + 1,
          trackingHash,
        },
      );
      expect(await f.store().create(command)).toEqual({ outcome: "created" });
      const row = await f.other().delivery(command.job.id);
      expect(row).toMatchObject({
        ...{
          id: command.job.id,
          shard: 5,
          version: 1,
          status: "pending",
          statusReason: "searching",
        },
        ...{ owner: OWNER, externalId: "order 7", size: "large", vehicle: "van", weightKg: 12.5 },
        ...{ pickupAddress: "123 Market St, SF", pickupLng: -122.39, pickupLat: 37.79 },
        ...{ dropoffAddress: "456 Valencia St, SF", dropoffLng: -122.42, dropoffLat: 37.76 },
        ...{ notes: `two "boxes", \\ and a ☂`, phone: "+1-555-0100" },
        ...{ recipientPhone: "+1-555-0199", readyAt: NOW + 1, createdAt: NOW },
        ...{ searchUntil: command.job.searchUntil, wave: 0, replacing: false },
        ...{ estimatedPickupAt: command.estimatedPickupAt },
        ...{ estimatedArrivalAt: command.estimatedArrivalAt },
        ...{ assignedAt: null, pickedUpAt: null, deliveredAt: null, endedAt: null },
        ...{ courierId: null, courierName: null, courierPhone: null, courierVehicle: null },
      });
      expect(await f.store().deliveryByTracking(trackingHash)).toEqual(row);
      expect(await f.store().deliveryByTracking(new Uint8Array(32))).toBeNull();
    });

    test("its owner finds it with shortened addresses, and due a little later", async () => {
      const id = await f.created();
      expect(await f.store().snapshot(id)).toEqual({
        job: createOf({ id }).job,
        ...{ status: "pending", version: 1, courier: null, assignedAt: null, wave: 0 },
        ...{ offers: [], asked: [], nextAttemptAt: NOW + FIRST_SWEEP_AFTER_MS, replacing: false },
      });
    });

    test("one for later says so, and is due only when its search begins", async () => {
      const command = createOf({}, { searchAt: NOW + 3_600_000 });
      await f.store().create(command);
      const row = await f.other().delivery(command.job.id);
      expect(row).toMatchObject({ status: "pending", statusReason: "scheduled" });
      const nextAttemptAt = NOW + 3_600_000 + FIRST_SWEEP_AFTER_MS;
      expect(await f.store().snapshot(command.job.id)).toMatchObject({ nextAttemptAt });
    });

    test("D5: its first event is number 1", async () => {
      const id = await f.created();
      const events = await f.eventsOf(id);
      expect(events).toMatchObject([
        { number: 1, type: "created", status: "pending", reason: null, courier_id: null },
      ]);
      expect(events[0]?.id).toMatch(/^\d+$/);
      expect(events[0]?.at).toMatch(/^\d{4}-\d\d-\d\dT[\d:]{8}\.\d{3}Z$/);
    });

    test("D4: a create that is done again, key or not, is created and nothing is doubled", async () => {
      for (const idempotency of [null, newKey()]) {
        const command = createOf({}, { idempotency });
        for (const store of [f.store(), f.other(), f.store()]) {
          expect(await store.create(command)).toEqual({ outcome: "created" });
        }
        expect((await f.eventsOf(command.job.id)).length).toBe(1);
      }
    });
  });
}

export function keyContract(f: Fixtures): void {
  describe("idempotency keys", () => {
    test("D4: a key that was used gives the stored answer, its fields in order, and no delivery", async () => {
      const idempotency = newKey();
      const body = { z: 1, a: [null, { c: "x", b: true }] };
      const first = createOf({}, { idempotency, answer: { status: 201, body } });
      const second = createOf({}, { idempotency: { ...idempotency, fingerprint: "f2" } });
      await f.store().create(first);
      const outcome = await f.other().create(second);
      expect(outcome).toEqual({
        outcome: "replayed",
        answer: { fingerprint: "f1", status: 201, body },
      });
      expect(JSON.stringify(outcome)).toContain(JSON.stringify(body));
      expect(await f.store().delivery(second.job.id)).toBeNull();
    });

    test("D4: another request with that key whose id is the same too gets the stored answer, not its own", async () => {
      const idempotency = newKey();
      const first = createOf({}, { idempotency, answer: { status: 201, body: { at: 1 } } });
      await f.store().create(first);
      const { id } = first.job;
      const later = createOf(
        { id, createdAt: NOW + 1 },
        { idempotency, answer: { status: 202, body: { at: 2 } } },
      );
      expect(await f.other().create(later)).toEqual({
        outcome: "replayed",
        answer: { fingerprint: "f1", status: 201, body: { at: 1 } },
      });
      expect((await f.store().delivery(id))?.createdAt).toBe(NOW);
    });

    test("an id that stands for a delivery of another time and has no key any more is spent", async () => {
      const id = await f.created();
      const idempotency = newKey();
      const later = createOf({ id, createdAt: NOW + 1 }, { idempotency });
      const bystander = createOf();
      const outcomes = await Promise.all([later, bystander].map((c) => f.store().create(c)));
      expect(outcomes).toEqual([{ outcome: "spent" }, { outcome: "created" }]);
      expect(await f.store().storedAnswer(idempotency)).toBeNull();
      expect((await f.eventsOf(id)).length).toBe(1);
    });

    test("the same key of another principal is another key", async () => {
      const idempotency = newKey();
      await f.store().create(createOf({}, { idempotency }));
      const theirs = { ...idempotency, principal: "customer_2" };
      expect(await f.store().create(createOf({}, { idempotency: theirs }))).toEqual({
        outcome: "created",
      });
    });

    test("D4: twenty creates with one key, through two stores at once, make one delivery", async () => {
      const idempotency = newKey();
      const commands = Array.from({ length: 20 }, () => {
        const id = newDeliveryId();
        return createOf({ id }, { idempotency, answer: { status: 201, body: { id } } });
      });
      const outcomes = await Promise.all(
        commands.map((command, i) => (i % 2 ? f.store() : f.other()).create(command)),
      );
      const winners = commands.filter((_, i) => outcomes[i]?.outcome === "created");
      expect(winners.length).toBe(1);
      const answers = outcomes.filter((outcome) => outcome.outcome === "replayed");
      expect(answers.length).toBe(19);
      for (const { answer } of answers) expect(answer.body).toEqual({ id: winners[0]?.job.id });
      const rows = await Promise.all(commands.map(({ job }) => f.store().delivery(job.id)));
      expect(rows.filter((row) => row !== null).length).toBe(1);
    });

    test("answers of other commands are kept by key; the first stays", async () => {
      const key = newKey();
      expect(await f.store().storedAnswer(key)).toBeNull();
      await f.store().keepAnswer(key, 200, { accepted: true });
      await f.other().keepAnswer({ ...key, fingerprint: "f2" }, 409, null);
      const foreign = { ...key, principal: `${key.principal}_other` };
      expect(await f.store().storedAnswer(foreign)).toBeNull();
      expect(await f.store().storedAnswer(key)).toEqual({
        fingerprint: "f1",
        status: 200,
        body: { accepted: true },
      });
    });
  });
}
