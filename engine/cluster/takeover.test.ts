import { describe, expect, it } from "vitest";
import type { ShardId } from "../../proto/ids.ts";
import { VirtualClock } from "../io/virtual-clock.ts";
import type { Runtime } from "../runtime.ts";
import { handOver, takeShards } from "./takeover.ts";

/**
 * A runtime of shards 1 to 3 that are restless as long as they stand in `restless`, and what was
 * done to it.
 */
function drive(...restless: number[]) {
  const clock = new VirtualClock();
  const busy = new Set(restless);
  const log: string[] = [];
  const nothing = (): void => undefined;
  const runtime = {
    options: { clock, log: { info: (fields: object) => log.push(JSON.stringify(fields)) } },
    ownership: {
      yield: (shards: readonly ShardId[]) => log.push(`deaf ${shards.join(" ")}`),
      yielded: (shards: readonly ShardId[]) => log.push(`free ${shards.join(" ")}`),
    },
    bus: { status: () => "connected", flush: () => Promise.resolve() },
    host: {
      restlessIn: (shards: ReadonlySet<ShardId>) =>
        new Set([...shards].filter((shard) => busy.has(shard))),
    },
    failureDetector: { beat: () => log.push("beat") },
    ...Object.fromEntries(
      ["replica", "ledger", "sessions", "router"].map((part) => [part, { flush: nothing }]),
    ),
  } as unknown as Runtime;
  const done = handOver(runtime, [1, 2, 3] as ShardId[]);
  return { clock, busy, log, done };
}

describe("handing over", () => {
  it("frees each shard as soon as it is quiet, and tells of it at once", async () => {
    const { clock, busy, log, done } = drive(2);
    await clock.advance(100);
    expect(log).toEqual(["deaf 1 2 3", "free 1 3", "beat"]);
    busy.clear();
    await clock.advance(10);
    await done;
    expect(log.slice(3, 5)).toEqual(["free 2", "beat"]);
    expect(log.at(-1)).toContain('"isQuiet":true');
  });

  it("waits for a restless one no longer than it must: what it was told is in Postgres", async () => {
    const { clock, log, done } = drive(3);
    await clock.advance(1_010);
    await done;
    expect(log.slice(1)).toEqual(["free 1 2", "beat", "free 3", "beat", expect.any(String)]);
    expect(log.at(-1)).toContain('"isQuiet":false');
  });
});

/** A runtime that takes shard 3 of a store with so many couriers and open deliveries, by id. */
function taking(couriers: number, deliveries = couriers) {
  const clock = new VirtualClock();
  const log: string[] = [];
  const told: string[] = [];
  const nothing = (): void => undefined;
  const names = (prefix: string, count: number): string[] =>
    Array.from({ length: count }, (_, i) => `${prefix}_${String(i).padStart(6, "0")}`);
  const page = (ids: readonly string[], after: string, limit: number): readonly string[] =>
    ids.filter((id) => id > after).slice(0, limit);
  const [people, parcels] = [names("cur", couriers), names("del", deliveries)];
  let answer = (): void => undefined;
  const flushed = new Promise<void>((resolve) => (answer = resolve));
  const runtime = {
    options: {
      clock,
      node: "node_1",
      config: { shards: 64 },
      log: { info: nothing, warn: nothing },
      domain: { index: { get: () => null, forEach: nothing } },
      store: {
        courierSnapshots: (_: unknown, after: string, limit: number) => {
          log.push("read couriers");
          return Promise.resolve(page(people, after, limit).map((courier) => ({ courier })));
        },
        openDeliveries: (_: unknown, after: string, limit: number) => {
          log.push("read deliveries");
          return Promise.resolve(page(parcels, after, limit).map((id) => ({ job: { id } })));
        },
      },
    },
    ownership: {
      take: (shards: readonly ShardId[]) => Promise.resolve(shards),
      listen: () => log.push("listen"),
      owns: () => true,
    },
    bus: { status: () => "connected", flush: () => flushed, publish: nothing },
    subjects: { nodeUp: "node_up" },
    host: { has: () => false },
    failureDetector: { beat: nothing },
    onOwned: nothing,
    tell: ({ id }: { id: string }) => told.push(id),
  } as unknown as Runtime;
  const done = takeShards(runtime, [3 as ShardId]);
  return { clock, log, told, answer, done, all: [...people, ...parcels] };
}

describe("taking over", () => {
  it.each([0, 1, 500, 501, 1_000, 1_201])(
    "loads every courier and every open delivery of the shard, each once: %i",
    async (count) => {
      const { told, answer, done, all } = taking(count);
      answer();
      expect(await done).toEqual({ couriers: count, deliveries: count });
      expect(told).toEqual(all);
    },
  );

  it("reads no row before the server knows that it listens: what is committed between is lost", async () => {
    const { clock, log, answer, done } = taking(1);
    await clock.advance(150);
    expect(log).toEqual(["listen"]);
    answer();
    await done;
    expect(log).toEqual(["listen", "read couriers", "read deliveries"]);
  });

  it("waits for a server that does not answer no longer than 200 ms", async () => {
    const { clock, log, done } = taking(1);
    await clock.advance(201);
    await done;
    expect(log).toEqual(["listen", "read couriers", "read deliveries"]);
  });
});
