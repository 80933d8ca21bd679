/**
 * A node over a real NATS and a real Postgres, with a gateway and couriers played by the test.
 * Every wait polls for a condition, because what is waited for happens in other processes.
 */
import { spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import type { NatsConnection } from "@nats-io/transport-node";
import { jetstreamManager } from "@nats-io/jetstream";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { testDatabase, testNatsUrl, testPrefix } from "../scripts/testing/services.ts";
import type { TestDatabase } from "../scripts/testing/services.ts";
import { dropStreams } from "../scripts/testing/streams.ts";
import { until } from "../scripts/testing/until.ts";
import type { CourierId, DeliveryId, NodeId, PrincipalId, SessionId } from "../proto/ids.ts";
import { decodeSessionPosts, streamMessages } from "../proto/messages.ts";
import { encodePosts } from "../proto/posts.ts";
import type { Job, SessionPost, ToCourier } from "../proto/messages.ts";
import type { Posted } from "../proto/posts.ts";
import { streamName, subjectsFor } from "../proto/subjects.ts";
import type { Subjects } from "../proto/subjects.ts";
import type { DeliverySnapshot } from "../proto/writes.ts";
import { readConfig } from "./config.ts";
import { newDeliveryId, newNodeId } from "./ids.ts";
import { connectNats, natsBus } from "./io/nats/nats.ts";
import { createLog } from "./io/log.ts";
import type { Bus } from "./io/nats/nats.ts";
import { readLedger } from "./streams/ledger-reader.ts";
import { startNode } from "./node.ts";
import type { Node } from "./node.ts";
import { shardOfCourier, shardOfPoint } from "./cluster/shards.ts";
import { openPostgresStore } from "./store/postgres-store.ts";
import type { PostgresStore } from "./store/postgres-store.ts";
import { ensureStreams } from "./streams/streams.ts";

const SHARDS = 8;
const PICKUP = { lng: -122.42, lat: 37.77 };
const GATEWAY = newNodeId("gw");
const COURIERS = ["cur_a", "cur_b", "cur_c"] as CourierId[];
const DEADLINE_MS = 20_000;

let database: TestDatabase;
let env: Record<string, string>;
let nc: NatsConnection;
let bus: Bus;
let subjects: Subjects;
let store: PostgresStore;
let frames: SessionPost[];
let nodesUp: number;
let running: (() => Promise<void>)[];

beforeEach(async () => {
  database = await testDatabase();
  env = {
    HEXDISPATCH_NATS_URL: testNatsUrl(),
    HEXDISPATCH_POSTGRES_URL: database.url,
    HEXDISPATCH_NATS_PREFIX: testPrefix(),
    HEXDISPATCH_AUTH_KEY: "test-".repeat(8),
    HEXDISPATCH_SHARDS: String(SHARDS),
    HEXDISPATCH_LOG_LEVEL: "warn",
    HEXDISPATCH_WAVE_MS: "500",
  };
  running = [];
  frames = [];
  nodesUp = 0;
  nc = await connectNats({ url: testNatsUrl(), name: "test" });
  bus = natsBus(nc);
  subjects = subjectsFor(env["HEXDISPATCH_NATS_PREFIX"]!);
  store = openPostgresStore({ url: database.url, applicationName: "test" });
  bus.subscribe(subjects.gateway(GATEWAY), ({ data }) => {
    frames.push(...(decodeSessionPosts(data) ?? []));
  });
  bus.subscribe(subjects.nodeUp, () => void (nodesUp += 1));
});

afterEach(async () => {
  for (const stop of running.toReversed()) await stop();
  await store.close();
  await dropStreams(nc, env["HEXDISPATCH_NATS_PREFIX"]!);
  await nc.close();
  await database.drop();
});

async function startHere(): Promise<Node> {
  const node = await startNode(readConfig(env), createLog("warn", { role: "node" }));
  running.push(() => node.stop());
  return node;
}

async function startProcess(): Promise<ChildProcess> {
  const file = fileURLToPath(new URL("./node.ts", import.meta.url));
  const child = spawn(process.execPath, ["--import", "tsx", file], {
    env: { ...process.env, ...env },
    stdio: ["ignore", "inherit", "inherit", "ipc"],
  });
  running.push(async () => {
    if (child.exitCode === null && child.signalCode === null && child.kill("SIGKILL"))
      await once(child, "exit");
  });
  await once(child, "message");
  return child;
}

async function ask(courier: CourierId, msg: ToCourier): Promise<string> {
  const subject = subjects.shard(shardOfCourier(courier, SHARDS));
  const answer = await bus.request(subject, encodePosts([{ kind: "courier", id: courier, msg }]));
  const decoded = streamMessages.decode(answer);
  return decoded?.type === "answer" ? decoded.code : "no answer";
}

const tell = (shard: number, post: Posted): void =>
  void bus.publish(subjects.shard(shard), encodePosts([post]));

const session = (courier: CourierId): SessionId => `s_${courier}` as SessionId;
let pings = 0;

/** On shift, connected, and 100 m or a little more from the pickup. */
async function bringOnline(couriers: readonly CourierId[]): Promise<void> {
  for (const [i, courier] of couriers.entries()) {
    const gateway: NodeId = GATEWAY;
    const shard = shardOfCourier(courier, SHARDS);
    const profile = { name: "C", phone: "+1", vehicle: "bike", capacity: 2 } as const;
    await store.putCourier({ id: courier, shard, ...profile });
    expect(await ask(courier, { type: "shift", online: true })).toBe("ok");
    const send = (msg: ToCourier): void => tell(shard, { kind: "courier", id: courier, msg });
    send({ type: "opened", gateway, session: session(courier) });
    const at = Date.now();
    const place = { lng: PICKUP.lng + (i + 1) * 0.001, lat: PICKUP.lat };
    send({
      type: "ping",
      gateway,
      session: session(courier),
      seq: ++pings,
      at,
      ...place,
      accuracyM: 5,
      receivedAt: at,
      newest: true,
    });
    await until(
      async () => ((await where(courier))?.at ?? 0) >= at || null,
      "the position",
      DEADLINE_MS,
    );
  }
}

async function where(courier: CourierId) {
  const subject = subjects.where(shardOfCourier(courier, SHARDS));
  const part = streamMessages.decode(
    await bus.request(subject, streamMessages.encode({ type: "where", courier })),
  );
  return part?.type === "fleet_part" ? (part.records[0] ?? null) : null;
}

/** Commits a create, as a gateway does, and says so only if told to. */
async function create(isTold: boolean): Promise<Job> {
  const now = Date.now();
  const shard = shardOfPoint(PICKUP, SHARDS);
  const id: DeliveryId = newDeliveryId(shard, now);
  const job: Job = {
    id,
    owner: "acme" as PrincipalId,
    pickupLng: PICKUP.lng,
    pickupLat: PICKUP.lat,
    pickupArea: null,
    dropoffLng: -122.41,
    dropoffLat: 37.78,
    dropoffArea: null,
    size: "small",
    vehicle: null,
    createdAt: now,
    searchUntil: now + 900_000,
    receivedAtUs: now * 1_000,
  };
  const outcome = await store.create({
    job,
    externalId: null,
    pickupAddress: null,
    dropoffAddress: null,
    weightKg: null,
    phone: "+1",
    recipientPhone: null,
    notes: null,
    readyAt: null,
    searchAt: now,
    estimatedPickupAt: now,
    estimatedArrivalAt: now,
    trackingHash: Buffer.from(id.padEnd(32, "x").slice(-32)),
    idempotency: null,
    answer: { status: 201, body: {} },
  });
  expect(outcome).toEqual({ outcome: "created" });
  if (isTold) tell(shard, { kind: "delivery", id, msg: { type: "created", job } });
  return job;
}

const offered = (id: DeliveryId): string[] =>
  frames
    .filter(({ frame }) => frame.type === "offer" && frame.delivery === id)
    .map((post) => post.session)
    .sort();

const offersOf = (id: DeliveryId, count: number): Promise<string[]> =>
  until(() => (offered(id).length >= count ? offered(id) : null), `${count} offers`, DEADLINE_MS);

const recorded = (
  id: DeliveryId,
  holds: (snapshot: DeliverySnapshot) => boolean,
): Promise<DeliverySnapshot> =>
  until(
    async () => {
      const snapshot = await store.snapshot(id);
      return snapshot !== null && holds(snapshot) ? snapshot : null;
    },
    "the round",
    DEADLINE_MS,
  );

describe("a create", () => {
  it("leads to offers for the three nearest, an event and a ledger", async () => {
    const node = await startHere();
    await bringOnline(COURIERS);
    const { id } = await create(true);
    expect(await offersOf(id, 3)).toEqual(COURIERS.map(session));
    expect((await store.snapshot(id))?.wave).toBe(1);
    await until(
      async () => (await store.outboxBatch(1)).length === 0 || null,
      "the event",
      DEADLINE_MS,
    );
    const prefix = env["HEXDISPATCH_NATS_PREFIX"]!;
    const { streams } = await jetstreamManager(nc);
    const query = { last_by_subj: subjects.events("acme" as PrincipalId, id) };
    const event = await streams.getMessage(streamName(prefix, "EVENTS"), query);
    expect(event?.header.get("ce-type")).toBe("hexdispatch.delivery.created");
    const entries = await until(
      async () => {
        const read = await readLedger(nc, prefix, id);
        return read.length > 0 ? read : null;
      },
      "the ledger",
      DEADLINE_MS,
    );
    expect(entries.every((entry) => entry.at.endsWith("Z"))).toBe(true);
    expect(node.runtime.host.parked()).toEqual([]);
  });

  it("whose telling was lost is found through its event", async () => {
    await startHere();
    await bringOnline(COURIERS);
    const { id } = await create(false);
    expect(await offersOf(id, 3)).toEqual(COURIERS.map(session));
  });

  it("of which nobody was told at all is found by the sweep", async () => {
    const node = await startHere();
    await bringOnline(COURIERS);
    await node.runtime.relay.stop();
    const { id } = await create(false);
    expect(await offersOf(id, 3)).toEqual(COURIERS.map(session));
  });

  it("that finds nobody waits, and is woken by the first courier who comes on shift", async () => {
    env["HEXDISPATCH_SWEEP_MS"] = "60000";
    const node = await startHere();
    const { id } = await create(true);
    await until(() => node.runtime.backlogWaker.size === 1 || null, "a backlog", DEADLINE_MS);
    await bringOnline(COURIERS.slice(0, 1));
    expect(await offersOf(id, 1)).toEqual([session(COURIERS[0]!)]);
  });
});

describe("a backlog", () => {
  it("is worked off by one courier who declines offer after offer, without a look around", async () => {
    env["HEXDISPATCH_WAIT_LOOK_MS"] = "600000";
    env["HEXDISPATCH_SWEEP_MS"] = "60000";
    await startHere();
    const [courier] = COURIERS as [CourierId];
    await bringOnline([courier]);
    const jobs = await Promise.all(Array.from({ length: 12 }, () => create(true)));
    const declined = new Set<DeliveryId>();
    await until(
      () => {
        for (const { id } of jobs) {
          if (declined.has(id) || offered(id).length === 0) continue;
          declined.add(id);
          const msg = { type: "declined", courier, reason: null } as const;
          tell(shardOfPoint(PICKUP, SHARDS), { kind: "delivery", id, msg });
        }
        return declined.size === jobs.length || null;
      },
      "all of them on the phone",
      DEADLINE_MS,
    );
  });
});

describe("a node that was killed", () => {
  it("goes on with the round where it stood, knows the positions and asks nobody twice", async () => {
    const first = await startProcess();
    await bringOnline(COURIERS);
    const places = await Promise.all(COURIERS.map(where));
    const { id } = await create(true);
    await offersOf(id, 3);
    await recorded(id, (snapshot) => snapshot.wave === 1 && snapshot.offers.length === 3);
    const exited = once(first, "exit");
    first.kill("SIGKILL");
    await exited;

    frames.length = 0;
    nodesUp = 0;
    await startProcess();
    await until(() => nodesUp > 0 || null, "the announcement", DEADLINE_MS);
    for (const [i, courier] of COURIERS.entries()) {
      const { lng, lat, at } = (await where(courier)) ?? {};
      const before = places[i];
      expect({ lng, lat, at }).toEqual({ lng: before?.lng, lat: before?.lat, at: before?.at });
    }
    // Whoever comes now is asked, and only they.
    const newcomer = "cur_d" as CourierId;
    await bringOnline([newcomer]);
    expect(await offersOf(id, 1)).toEqual([session(newcomer)]);
    const later = await recorded(id, ({ asked }) => asked.includes(newcomer));
    expect([...later.asked].sort()).toEqual([...COURIERS, newcomer]);
    expect(offered(id)).toEqual([session(newcomer)]);

    const accepted = await store.accept({ delivery: id, courier: COURIERS[1]! });
    expect(accepted).toMatchObject({ outcome: "accepted", changed: true });
    await until(
      async () => (await where(COURIERS[1]!))?.active === 1 || null,
      "the load",
      DEADLINE_MS,
    );
  });

  it("leaves nothing behind when it is ended in order: positions are saved, the exit code is 0", async () => {
    const child = await startProcess();
    await bringOnline(COURIERS.slice(0, 1));
    const exited = once(child, "exit");
    child.kill("SIGTERM");
    expect(await exited).toEqual([0, null]);
    expect(await store.lastKnown(COURIERS[0]!)).toMatchObject({ lat: PICKUP.lat });
  });
});

describe("a node that lost its shards without a word", () => {
  it("takes them again at its next decision, because nobody else lives, and goes on", async () => {
    await startProcess();
    await bringOnline(COURIERS);
    const before = await store.shardOwners();
    const expected = new Map(before.map(({ shard, epoch }) => [shard, epoch] as const));
    await store.takeShards("node_other", expected);
    const job = await create(true);
    await until(
      async () => {
        const owners = await store.shardOwners();
        return owners.every(({ node }) => node !== "node_other") || null;
      },
      "the shards",
      DEADLINE_MS,
    );
    await bringOnline(COURIERS);
    expect(await offersOf(job.id, 3)).toHaveLength(3);
  });
});

describe("the streams", () => {
  it("are made, and found as they should be", async () => {
    const prefix = env["HEXDISPATCH_NATS_PREFIX"]!;
    const manager = await jetstreamManager(nc);
    await ensureStreams(manager, prefix, 1);
    await ensureStreams(manager, prefix, 1);
    const { config } = await manager.streams.info(streamName(prefix, "EVENTS"));
    await manager.streams.update(config.name, { ...config, max_age: 3_600_000_000_000 });
    await ensureStreams(manager, prefix, 1);
    const mended = await manager.streams.info(config.name);
    expect(mended.config.max_age).toBe(604_800_000_000_000);
  });

  it("that cannot become what they should be stop the start", async () => {
    const prefix = env["HEXDISPATCH_NATS_PREFIX"]!;
    const manager = await jetstreamManager(nc);
    const name = streamName(prefix, "CELLS");
    await manager.streams.add({ name, subjects: [subjects.cellsAll], storage: "file" });
    await expect(startHere()).rejects.toThrow("storage");
  });
});
