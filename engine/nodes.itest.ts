/**
 * Several nodes as processes over a real NATS and a real Postgres: who owns what is read from their
 * beats and from the store, and a gateway's own mail asks their actors. Every wait polls for a
 * condition.
 */
import { spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import type { NatsConnection } from "@nats-io/transport-node";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { createActorClient } from "../gateway/backend/actor-client.ts";
import type { ActorClient } from "../gateway/backend/actor-client.ts";
import { testDatabase, testNatsUrl, testPrefix } from "../scripts/testing/services.ts";
import type { TestDatabase } from "../scripts/testing/services.ts";
import { dropStreams } from "../scripts/testing/streams.ts";
import { until } from "../scripts/testing/until.ts";
import type { CourierId, NodeId, ShardId } from "../proto/ids.ts";
import { streamMessages } from "../proto/messages.ts";
import { subjectsFor } from "../proto/subjects.ts";
import { readConfig } from "./config.ts";
import { systemClock } from "./io/clock.ts";
import { connectNats, natsBus } from "./io/nats/nats.ts";
import type { Beat } from "./cluster/membership.ts";
import { shardOfCourier } from "./cluster/shards.ts";
import { openPostgresStore } from "./store/postgres-store.ts";
import type { PostgresStore } from "./store/postgres-store.ts";

/** Enough that each of three nodes gets some. */
const SHARDS = 32;
const DEADLINE_MS = 20_000;
const ALL = Array.from({ length: SHARDS }, (_, shard) => shard as ShardId);
/** One courier for each shard. */
const COURIERS = ALL.map((shard) => {
  for (let n = 0; ; n++) {
    const id = `cur_${n}` as CourierId;
    if (shardOfCourier(id, SHARDS) === shard) return id;
  }
});

let database: TestDatabase;
let env: Record<string, string>;
let nc: NatsConnection;
let store: PostgresStore;
let actorClient: ActorClient;
let beats: Map<NodeId, Beat & { at: number }>;
let children: ChildProcess[];

beforeEach(async () => {
  database = await testDatabase();
  env = {
    HEXDISPATCH_NATS_URL: testNatsUrl(),
    HEXDISPATCH_POSTGRES_URL: database.url,
    HEXDISPATCH_NATS_PREFIX: testPrefix(),
    HEXDISPATCH_AUTH_KEY: "test-".repeat(8),
    HEXDISPATCH_SHARDS: String(SHARDS),
    HEXDISPATCH_LOG_LEVEL: "error",
    HEXDISPATCH_SETTLE_MS: "300",
  };
  children = [];
  beats = new Map();
  nc = await connectNats({ url: testNatsUrl(), name: "test" });
  const bus = natsBus(nc);
  const subjects = subjectsFor(env["HEXDISPATCH_NATS_PREFIX"]!);
  store = openPostgresStore({ url: database.url, applicationName: "test" });
  const metrics = { unsaid: { inc: () => undefined } } as never;
  actorClient = createActorClient({
    bus,
    subjects,
    clock: systemClock,
    config: readConfig(env),
    metrics,
  });
  bus.subscribe(subjects.beat, ({ data }) => {
    const beat = streamMessages.decode(data);
    if (beat?.type === "beat") beats.set(beat.node, { ...beat, at: Date.now() });
  });
});

afterEach(async () => {
  for (const child of children) await end(child);
  await store.close();
  await dropStreams(nc, env["HEXDISPATCH_NATS_PREFIX"]!);
  await nc.close();
  await database.drop();
});

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exited = once(child, "exit");
  child.kill("SIGKILL");
  await exited;
}

async function startNode(): Promise<ChildProcess> {
  const file = fileURLToPath(new URL("./node.ts", import.meta.url));
  const child = spawn(process.execPath, ["--import", "tsx", file], {
    env: { ...process.env, ...env },
    stdio: ["ignore", "inherit", "inherit", "ipc"],
  });
  children.push(child);
  await once(child, "message");
  return child;
}

/** What live nodes claim: how many shards each, and how often each shard is claimed. */
function claims(): { counts: number[]; shards: number[] } {
  const live = [...beats.values()].filter(
    ({ at, phase }) => phase === "ready" && Date.now() - at < 400,
  );
  const counts = live.map(({ owned }) => owned.length).sort((a, b) => a - b);
  return {
    counts,
    shards: live.flatMap(({ owned }) => owned.map(({ shard }) => shard)).sort((a, b) => a - b),
  };
}

/** Each shard has exactly one owner, and so many nodes share them. */
const shared = (nodes: number): Promise<boolean> =>
  until(
    () => {
      const { counts, shards } = claims();
      const isWhole = shards.length === SHARDS && shards.every((shard, i) => shard === i);
      return isWhole && counts.length === nodes && (counts[0] ?? 0) > 0 ? true : null;
    },
    `${nodes} nodes that share all shards`,
    DEADLINE_MS,
  );

/** Every shard's courier actor answers. */
async function askAll(online: boolean): Promise<void> {
  const ask = (id: CourierId): Promise<unknown> =>
    actorClient.ask(
      { kind: "courier", id, msg: { type: "shift", online } },
      shardOfCourier(id, SHARDS),
    );
  await Promise.all(COURIERS.map(ask));
}

async function addCouriers(): Promise<void> {
  for (const id of COURIERS) {
    const shard = shardOfCourier(id, SHARDS);
    await store.putCourier({ id, name: "C", phone: "+1", vehicle: "bike", capacity: 1, shard });
  }
}

describe("nodes that come and go", () => {
  it("share the shards, and one that joins gets its part", async () => {
    await startNode();
    await shared(1);
    await startNode();
    await startNode();
    await shared(3);
  });

  it("take what a killed one had, with new epochs", async () => {
    await startNode();
    const killed = await startNode();
    await shared(2);
    await addCouriers();
    await askAll(true);
    const before = await store.shardOwners();
    await end(killed);
    await shared(1);
    await askAll(false);
    const after = await store.shardOwners();
    const risen = after.filter(({ epoch }, i) => epoch > (before[i]?.epoch ?? 0));
    expect(new Set(after.map(({ node }) => node)).size).toBe(1);
    expect(risen.length).toBeGreaterThan(0);
    expect(risen.length).toBeLessThan(SHARDS);
  });

  it("hand over in order when one is ended: every question is answered throughout", async () => {
    await startNode();
    const leaving = await startNode();
    await shared(2);
    await addCouriers();
    let asked = 0;
    let isOver = false;
    const exited = once(leaving, "exit").then(([code]) => {
      isOver = true;
      return code as number;
    });
    leaving.kill("SIGTERM");
    while (!isOver) await askAll(asked++ % 2 === 0);
    expect(await exited).toBe(0);
    await shared(1);
    await askAll(true);
    expect(asked).toBeGreaterThan(0);
  });

  it("that stood still give way to whoever took their shards, and get them back in order", async () => {
    await startNode();
    const stopped = await startNode();
    await shared(2);
    await addCouriers();
    stopped.kill("SIGSTOP");
    await shared(1);
    await askAll(true);
    stopped.kill("SIGCONT");
    await shared(2);
    await askAll(false);
    expect(stopped.exitCode).toBeNull();
  });
});
