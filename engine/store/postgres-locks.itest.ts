/**
 * The races that luck seldom brings about, made by hand: another transaction holds a row, our
 * statement takes its snapshot and waits, the other changes the row and commits. What our statement
 * then does shows whether it goes by the locked rows or by its snapshot.
 */
import type postgres from "postgres";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { CourierId, DeliveryId, ShardId } from "../../proto/ids.ts";
import { connectOnce } from "../../scripts/services/postgres.ts";
import { testDatabase } from "../../scripts/testing/services.ts";
import type { TestDatabase } from "../../scripts/testing/services.ts";
import { createOf, newCourierId, newDeliveryId, roundOf, upTo } from "./contract/world.ts";
import { statusOf, takeOver } from "./contract/world.ts";
import { migrate } from "./migrate.ts";
import { openPostgresStore } from "./postgres-store.ts";
import type { PostgresStore } from "./postgres-store.ts";

let database: TestDatabase;
let admin: postgres.Sql;
let watch: postgres.Sql;
let store: PostgresStore;

beforeAll(async () => {
  database = await testDatabase();
  await migrate(database.url);
  admin = connectOnce(database.url);
  watch = connectOnce(database.url);
  store = openPostgresStore({ url: database.url, applicationName: "waits" });
});
afterAll(async () => {
  await store.close();
  await Promise.all([admin.end(), watch.end()]);
  await database.drop();
});

const SHARD = 5 as ShardId;

async function newCourier(): Promise<CourierId> {
  const id = newCourierId();
  await store.putCourier({ id, shard: SHARD, name: "A", phone: "1", vehicle: "bike", capacity: 1 });
  await admin`update couriers set online = true where id = ${id}`;
  return id;
}
async function newDelivery(): Promise<DeliveryId> {
  const { job } = createOf({ id: newDeliveryId(SHARD) });
  await store.create({ ...createOf(), job });
  return job.id;
}

/** Statements of our store that wait for a lock. Polled: the server says it in no other way. */
const waiting = (count: number): Promise<void> =>
  expect
    .poll(async () => {
      const rows = await watch`
        select 1 from pg_stat_activity
        where application_name = 'waits' and wait_event_type = 'Lock'`;
      return rows.length;
    })
    .toBe(count);

/**
 * Runs `ours` while another transaction holds the delivery; `theirs` changes things before it
 * commits.
 */
async function behindLock<T>(
  delivery: DeliveryId,
  ours: () => Promise<T>,
  theirs: (tx: postgres.TransactionSql) => Promise<unknown>,
): Promise<T> {
  let answer: Promise<T> | undefined;
  await admin.begin(async (tx) => {
    await tx`select 1 from deliveries where id = ${delivery} for update`;
    answer = ours();
    await waiting(1);
    await theirs(tx);
  });
  if (answer === undefined) throw new Error("the statement was never sent");
  return answer;
}

/**
 * What an accept does, without our code: by another process, as far as the statement under test can
 * tell.
 */
const assign = async (tx: postgres.TransactionSql, delivery: DeliveryId, to: CourierId) => {
  await tx`
    update deliveries set status = 'assigned', courier_id = ${to}, version = version + 1,
      assigned_at = now() where id = ${delivery}`;
  await tx`update couriers set load = load + 1 where id = ${to}`;
};

test("F7: a row that somebody holds for long refuses its own courier and nobody else", async () => {
  const couriers = await Promise.all(upTo(91).map(newCourier));
  const deliveries = await Promise.all(upTo(91).map(newDelivery));
  const [victim, ...others] = couriers as [CourierId, ...CourierId[]];
  const [its, ...theirs] = deliveries as [DeliveryId, ...DeliveryId[]];
  let letGo = (): void => undefined;
  const released = new Promise<void>((resolve) => (letGo = resolve));
  await new Promise<void>((locked) => {
    void admin.begin(async (tx) => {
      await tx`select 1 from couriers where id = ${victim} for update`;
      locked();
      await released;
    });
  });
  const refused: string[] = [];
  const accept = (courier: CourierId, delivery: DeliveryId): Promise<unknown> =>
    store.accept({ courier, delivery }).then(
      ({ outcome }) => outcome,
      (error: unknown) => {
        refused.push(courier);
        return (error as Error).message;
      },
    );
  // It shares a batch with the first of the others, and asks again until it is let go.
  const victims = accept(victim, its);
  const firstHalf = others.slice(0, 45).map((courier, i) => accept(courier, theirs[i]!));
  expect(new Set(await Promise.all(firstHalf))).toEqual(new Set(["accepted"]));
  await victims;
  const again = accept(victim, its);
  const secondHalf = others.slice(45).map((courier, i) => accept(courier, theirs[i + 45]!));
  expect(new Set(await Promise.all(secondHalf))).toEqual(new Set(["accepted"]));
  await again;
  expect(refused).toEqual([victim, victim]);
  letGo();
  await expect.poll(() => accept(victim, its), { timeout: 10_000 }).toBe("accepted");
}, 30_000);

test("an accept that waited sees that it came second", async () => {
  const [delivery, winner, loser] = [await newDelivery(), await newCourier(), await newCourier()];
  const outcome = await behindLock(
    delivery,
    () => store.accept({ delivery, courier: loser }),
    (tx) => assign(tx, delivery, winner),
  );
  expect(outcome).toEqual({ outcome: "refused", code: "delivery_taken" });
  expect(await store.courier(loser)).toMatchObject({ load: 0 });
});

test("D2: a replacement frees a courier who, in its snapshot, carried nothing yet", async () => {
  const [delivery, old, next] = [await newDelivery(), await newCourier(), await newCourier()];
  const outcome = await behindLock(
    delivery,
    () => store.accept({ delivery, courier: next }),
    async (tx) => {
      await assign(tx, delivery, old);
      await tx`update deliveries set replacing = true where id = ${delivery}`;
    },
  );
  expect(outcome).toMatchObject({ outcome: "accepted", row: { courierId: next, version: 3 } });
  expect(await store.courier(old)).toMatchObject({ load: 0 });
  expect(await store.courier(next)).toMatchObject({ load: 1 });
});

test("a pickup, a round and a cancel go by the assignment that was committed while they waited", async () => {
  const courier = await newCourier();
  const picked = await newDelivery();
  const outcome = await behindLock(
    picked,
    () => store.status(statusOf(picked, courier, "picked_up")),
    (tx) => assign(tx, picked, courier),
  );
  expect(outcome).toMatchObject({ changed: true, row: { courierId: courier, version: 3 } });

  const [searched, searching] = [await newDelivery(), await newCourier()];
  const epoch = await takeOver(store, "node", SHARD);
  const round = { ...roundOf(searched), version: 2, replacing: true };
  const recorded = await behindLock(
    searched,
    () => store.write(round, SHARD, epoch),
    (tx) => assign(tx, searched, searching),
  );
  expect(recorded).toEqual({ outcome: "recorded" });
  expect(await store.snapshot(searched)).toMatchObject({ replacing: true, courier: searching });

  const [canceled, freed] = [await newDelivery(), await newCourier()];
  await behindLock(
    canceled,
    () => store.cancel({ delivery: canceled, by: { role: "operator" }, reason: "test" }),
    (tx) => assign(tx, canceled, freed),
  );
  expect(await store.delivery(canceled)).toMatchObject({ status: "canceled", version: 3 });
  expect(await store.courier(freed)).toMatchObject({ load: 0 });
});

test("D8: taking a shard waits for what its old owner is still writing", async () => {
  const delivery = await newDelivery();
  const epoch = await takeOver(store, "old", SHARD);
  const order: string[] = [];
  let taken: Promise<unknown> | undefined;
  const written = await behindLock(
    delivery,
    () => store.write(roundOf(delivery), SHARD, epoch).finally(() => order.push("written")),
    async () => {
      taken = store.takeShards("new", new Map([[SHARD, epoch]])).finally(() => order.push("taken"));
      await waiting(2);
    },
  );
  await taken;
  expect(written).toEqual({ outcome: "recorded" });
  expect(order).toEqual(["written", "taken"]);
  expect(await store.write(roundOf(delivery), SHARD, epoch)).toEqual({ outcome: "fenced" });
});

test("D1: whoever takes a delivery first holds it before any courier", async () => {
  const [delivery, courier] = [await newDelivery(), await newCourier()];
  await behindLock(
    delivery,
    () => store.accept({ delivery, courier }),
    // Free, because the accept that waits for the delivery has not got to the courier yet.
    (tx) => tx`select 1 from couriers where id = ${courier} for update nowait`,
  );
  expect(await store.courier(courier)).toMatchObject({ load: 1 });
});
