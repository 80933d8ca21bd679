/**
 * What the contract cannot know: that a batch is one commit, and what becomes of commands while
 * backends are killed and the server goes away. A command may end in `unavailable`; it may not be
 * doubled, half done, or lost after its answer.
 */
import { execFileSync } from "node:child_process";
import type postgres from "postgres";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { DispatchError } from "../../proto/errors.ts";
import type { PrincipalId, ShardId } from "../../proto/ids.ts";
import { connectOnce } from "../../scripts/services/postgres.ts";
import { privatePostgres, testDatabase } from "../../scripts/testing/services.ts";
import type { TestDatabase } from "../../scripts/testing/services.ts";
import { SHIFT_SHARD, createOf, newCourierId, newDeliveryId } from "./contract/world.ts";
import { roundOf, takeOver, upTo } from "./contract/world.ts";
import { migrate } from "./migrate.ts";
import { openPostgresStore } from "./postgres-store.ts";
import type { PostgresStore } from "./postgres-store.ts";
import type { CreateCommand } from "./port.ts";

const wait = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));
const codeOf = (promise: Promise<unknown>): Promise<string> =>
  promise.then(
    () => "ok",
    (error: unknown) => (error instanceof DispatchError ? error.code : String(error)),
  );
const withKey = (i: number): CreateCommand =>
  createOf({}, { idempotency: { principal: "customer_1", key: `key ${i}`, fingerprint: "f" } });

describe("on a server that others use", () => {
  let database: TestDatabase;
  let admin: postgres.Sql;
  let store: PostgresStore;

  beforeAll(async () => {
    database = await testDatabase();
    await migrate(database.url);
    admin = connectOnce(database.url);
    store = openPostgresStore({ url: database.url, applicationName: "victim", connections: 4 });
  });
  afterAll(async () => {
    await store.close();
    await admin.end();
    await database.drop();
  });

  test("two hundred creates of one moment are one statement and one commit", async () => {
    const batches: number[] = [];
    const counting = openPostgresStore({
      url: database.url,
      applicationName: "counting",
      observe: (_, rows) => batches.push(rows),
    });
    const owner = "customer_counting" as PrincipalId;
    await Promise.all(upTo(200).map(() => counting.create(createOf({ owner }))));
    await counting.close();
    expect(batches).toEqual([200]);
    // Each row names the transaction that wrote it.
    const [row] = await admin`
      select count(*)::int as rows, count(distinct writer)::int as commits from (
        select xmin::text as writer from deliveries where owner = ${owner}
        union all select xmin::text from outbox where owner = ${owner}
      ) written`;
    expect(row).toEqual({ rows: 400, commits: 1 });
  });

  test("backends killed in the middle: every command is answered or `unavailable`, and done once", async () => {
    const couriers = await Promise.all(upTo(50).map(newOnlineCourier));
    const commands = upTo(400).map(withKey);
    let running = true;
    let killed = 0;
    const killing = (async () => {
      while (running) {
        const rows = await admin`
          select pg_terminate_backend(pid) from pg_stat_activity
          where application_name = 'victim' and state = 'active' limit 1`;
        killed += rows.length;
        await wait(3);
      }
    })();
    const codes = await Promise.all(
      commands.map(async (command, i) => {
        await wait(i * 4);
        const created = await codeOf(store.create(command));
        const courier = couriers[i % couriers.length]!;
        const accepted = await codeOf(store.accept({ delivery: command.job.id, courier }));
        return [created, accepted];
      }),
    );
    running = false;
    await killing;
    expect(killed).toBeGreaterThan(5);
    expect(codes.flat().filter((code) => code !== "ok" && code !== "unavailable")).toEqual([]);
    const acknowledged = commands.filter((_, i) => codes[i]?.[0] === "ok");
    for (const { job } of acknowledged) expect(await store.delivery(job.id)).not.toBeNull();
    // Asked again, each gives the answer that it gave, or would have given.
    for (const [i, command] of commands.entries()) {
      expect(await store.create(command)).toEqual({ outcome: "created" });
      const courier = couriers[i % couriers.length]!;
      const { job } = command;
      expect(await store.accept({ delivery: job.id, courier })).toMatchObject({
        outcome: "accepted",
      });
    }
    const [sums] = await admin`
      select
        (select sum(load)::int from couriers) as loads,
        (select count(*)::int from deliveries where status = 'assigned') as assigned,
        (select count(*)::int from idempotency) as keys,
        (select count(*)::int from outbox where type = 'assigned') as assigned_events,
        (select count(*)::int from deliveries d
          where (select count(*) from outbox o where o.delivery_id = d.id) <> d.version) as gaps`;
    expect(sums).toEqual({ loads: 400, assigned: 400, keys: 400, assigned_events: 400, gaps: 0 });
  }, 60_000);

  const newOnlineCourier = async (): Promise<ReturnType<typeof newCourierId>> => {
    const id = newCourierId();
    await store.putCourier({
      id,
      shard: SHIFT_SHARD,
      name: "A",
      phone: "1",
      vehicle: "bike",
      capacity: 8,
    });
    await admin`update couriers set online = true, capacity = 20 where id = ${id}`;
    return id;
  };

  test("a shard is taken within a moment while its old owner writes as fast as it can", async () => {
    const shard = 7 as ShardId;
    const epoch = await takeOver(store, "old", shard);
    const ids = await Promise.all(
      upTo(50).map(async () => {
        const command = createOf({ id: newDeliveryId(shard) });
        await store.create(command);
        return command.job.id;
      }),
    );
    let running = true;
    const writers = ids.map(async (id) => {
      let recorded = 0;
      while (running) {
        const { outcome } = await store.write(roundOf(id), shard, epoch);
        if (outcome === "fenced") return recorded;
        recorded++;
      }
      return recorded;
    });
    await wait(200);
    const taker = openPostgresStore({ url: database.url, applicationName: "taker" });
    const taken = await taker.takeShards("new", new Map([[shard, epoch]]));
    expect(taken.get(shard)).toBe(epoch + 1);
    const [id] = ids;
    const late = await store.write(roundOf(id!), shard, epoch);
    expect(late).toEqual({ outcome: "fenced" });
    running = false;
    expect(Math.min(...(await Promise.all(writers)))).toBeGreaterThan(0);
    await taker.close();
  });

  test("one bad row does not take the good ones of its batch with it", async () => {
    const bad = createOf({}, { notes: "a NUL \u0000 that no text column takes" });
    const good = upTo(5).map(() => createOf());
    const codes = await Promise.all([bad, ...good].map((command) => codeOf(store.create(command))));
    expect(codes[0]).toBe("unavailable");
    expect(codes.slice(1)).toEqual(Array.from({ length: 5 }, () => "ok"));
  });

  test("old keys and old history go, bite by bite", async () => {
    await store.keepAnswer({ principal: "p", key: "old", fingerprint: "f" }, 200, {});
    await admin`update idempotency set at = now() - interval '50 hours' where key = 'old'`;
    expect(await store.purgeIdempotency(48)).toBe(1);
    expect(await store.purgeIdempotency(48)).toBe(0);
    const courier = newCourierId();
    await store.appendHistory([
      { courier, at: Date.now() - 7_200_000, lng: 0, lat: 0 },
      { courier, at: Date.now(), lng: -179.9999999, lat: 89.9999999 },
    ]);
    expect(await store.purgeHistory(1)).toBe(1);
    const rows = await admin`select lng_e7, lat_e7 from ping_history where courier_id = ${courier}`;
    expect([...rows]).toEqual([{ lng_e7: -1_799_999_999, lat_e7: 899_999_999 }]);
  });
});

describe("on a server that goes away", () => {
  test("killed and brought back: refused quickly meanwhile, nothing acknowledged is lost", async () => {
    const server = await privatePostgres();
    await migrate(server.url);
    const store = openPostgresStore({ url: server.url, applicationName: "victim" });
    const before = createOf();
    await store.create(before);
    await server.kill("SIGKILL");
    // The backends of a killed server may serve for a moment more.
    await expect.poll(() => codeOf(store.ping()), { timeout: 10_000 }).toBe("unavailable");
    const startedAt = Date.now();
    const during = createOf();
    expect(await codeOf(store.create(during))).toBe("unavailable");
    expect(await codeOf(store.ping())).toBe("unavailable");
    expect(Date.now() - startedAt).toBeLessThan(6_000);
    await server.startAgain();
    // The driver waits a little between connections, so the first tries may still fail.
    await expect.poll(() => codeOf(store.ping()), { timeout: 10_000 }).toBe("ok");
    expect(await store.create(during)).toEqual({ outcome: "created" });
    for (const { job } of [before, during]) {
      expect(await store.delivery(job.id)).toMatchObject({ id: job.id, version: 1 });
    }
    await store.close();
    await server.remove();
  });

  test("frozen: statements give up by themselves, and work again when it thaws", async () => {
    const server = await privatePostgres();
    await migrate(server.url);
    const times = { statementTimeoutMs: 400, connectTimeoutMs: 400 };
    const store = openPostgresStore({ url: server.url, applicationName: "victim", ...times });
    await store.ping();
    await freeze(server, "SIGSTOP");
    const codes = await Promise.all(upTo(5).map(() => codeOf(store.create(createOf()))));
    expect(new Set(codes)).toEqual(new Set(["unavailable"]));
    await freeze(server, "SIGCONT");
    await expect.poll(() => codeOf(store.ping()), { timeout: 10_000 }).toBe("ok");
    expect(await codeOf(store.create(createOf()))).toBe("ok");
    await store.close();
    await server.remove();
  });
});

/** The server's main process forks a backend for each connection: all of them stop, or go on. */
async function freeze(
  server: Awaited<ReturnType<typeof privatePostgres>>,
  signal: "SIGSTOP" | "SIGCONT",
): Promise<void> {
  const children = execFileSync("ps", ["-o", "pid=", "--ppid", String(server.pid)], {
    encoding: "utf8",
  });
  for (const pid of children.split("\n").map(Number).filter(Boolean)) process.kill(pid, signal);
  await server.kill(signal);
}
