/**
 * Streams that are lost or changed while everything runs: on a real server that loses its disk, on
 * one that somebody edits, and on one whose disk is full (a limit on the size of its files, which
 * fails writes in the same way).
 */
import { jetstream, jetstreamManager } from "@nats-io/jetstream";
import type { JetStreamManager } from "@nats-io/jetstream";
import type { NatsConnection } from "@nats-io/transport-node";
import { afterEach, beforeEach, expect, it } from "vitest";
import { STREAMS, subjectsFor } from "../../proto/subjects.ts";
import type { StreamKey } from "../../proto/subjects.ts";
import { privateNats } from "../../scripts/testing/services.ts";
import type { PrivateServer } from "../../scripts/testing/services.ts";
import { until } from "../../scripts/testing/until.ts";
import { streamIntake } from "./intake-stream.ts";
import { systemClock } from "../io/clock.ts";
import { createLog } from "../io/log.ts";
import { connectNats } from "../io/nats/nats.ts";
import { keepStreams, lookAtStreams } from "./look.ts";
import type { StreamKeeper } from "./keeper.ts";

const LONG_MS = 30_000;
const MIB = 1_048_576;
const settings = {
  natsPrefix: "hd",
  natsReplicas: 1,
  streamBytes: { CELLS: 8 * MIB, LEDGER: 32 * MIB, EVENTS: 32 * MIB, INTAKE: 32 * MIB },
};
const subjects = subjectsFor("hd");
const NAMES = (Object.keys(STREAMS) as StreamKey[]).map((key) => `HD_${key}`);
let server: PrivateServer;
let nc: NatsConnection;
let api: JetStreamManager;
let keeper: StreamKeeper;

const namesThere = async (): Promise<string[]> => {
  const there: string[] = [];
  for await (const info of api.streams.list()) there.push(info.config.name);
  return there.toSorted();
};
const areAllThere = async (): Promise<boolean> =>
  (await namesThere().catch(() => [])).length === NAMES.length;

beforeEach(async () => {
  server = await privateNats();
  nc = await connectNats({ url: server.url, name: "keeper test" });
  api = await jetstreamManager(nc, { checkAPI: false, timeout: 2_000 });
  keeper = keepStreams(systemClock, createLog("silent", {}), { nc, ...settings, makes: true });
  keeper.start();
  await until(areAllThere, "the streams", LONG_MS);
});
afterEach(async () => {
  await keeper.stop();
  await nc.close();
  await server.remove();
});

it("a server that comes back with an empty disk gets its streams again, and their consumers", async () => {
  const intake = streamIntake(nc, "hd");
  await jetstream(nc).publish(subjects.intake("acme", "del_1"), "one");
  expect((await intake.fetch(10, 100)).map(({ seq }) => seq)).toEqual([1]);
  const { port } = server;
  await server.remove();
  server = await privateNats({ port });
  keeper.nudge();
  await until(areAllThere, "the streams", LONG_MS);
  await until(() => keeper.problems().length === 0, "the keeper's word", LONG_MS);
  await jetstream(nc).publish(subjects.intake("acme", "del_2"), "two");
  // The numbers began anew: the reader waits for none of the old ones.
  const found = await until(
    async () => (await intake.fetch(10, 100).catch(() => []))[0],
    "the intake",
    LONG_MS,
  );
  expect(found.seq).toBe(1);
});

it("a stream that is deleted is made anew, one that is edited is brought back, one that is sealed is reported", async () => {
  await api.streams.delete("HD_EVENTS");
  await api.streams.update("HD_LEDGER", { no_ack: true, max_msg_size: 10 });
  keeper.nudge();
  await until(areAllThere, "the stream", LONG_MS);
  const ledger = async (): Promise<boolean> => {
    const { config } = await api.streams.info("HD_LEDGER");
    return config.no_ack !== true && config.max_msg_size === -1;
  };
  await until(ledger, "the ledger as asked", LONG_MS);
  await api.streams.update("HD_EVENTS", { sealed: true } as never);
  keeper.nudge();
  await until(() => keeper.problems().includes("stream EVENTS"), "the report", LONG_MS);
});

it("an only looking process reports what is missing and makes nothing", async () => {
  await keeper.stop();
  await api.streams.delete("HD_INTAKE");
  const keys = ["EVENTS", "INTAKE"] as const;
  const troubles = await lookAtStreams({ nc, ...settings, keys, makes: false });
  expect([...troubles]).toEqual([["INTAKE", "is not there"]]);
  expect(await namesThere()).not.toContain("HD_INTAKE");
});

it("a worker's consumer that is deleted is made anew", async () => {
  const intake = streamIntake(nc, "hd");
  await intake.fetch(1, 10);
  await api.consumers.delete("HD_INTAKE", "worker");
  await jetstream(nc).publish(subjects.intake("acme", "del_1"), "one");
  await until(
    async () => (await intake.fetch(1, 100).catch(() => [])).length === 1,
    "the consumer",
    LONG_MS,
  );
});
