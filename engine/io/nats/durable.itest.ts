/**
 * Durable consumers over a real server: made, found again, and changed where an older release made
 * them otherwise.
 */
import { AckPolicy, jetstream, jetstreamManager } from "@nats-io/jetstream";
import type { JetStreamManager } from "@nats-io/jetstream";
import type { NatsConnection } from "@nats-io/transport-node";
import { afterAll, beforeAll, expect, it } from "vitest";
import { testNatsUrl, testPrefix } from "../../../scripts/testing/services.ts";
import { ensureDurable } from "./durable.ts";
import type { Durable } from "./durable.ts";
import { connectNats } from "./nats.ts";

const STREAM = `${testPrefix()}_DURABLE`;
const SUBJECT = `${STREAM}.things`;
const NANOS_PER_S = 1_000_000_000;
const asked: Durable = {
  durable_name: "worker",
  filter_subject: SUBJECT,
  ack_policy: AckPolicy.Explicit,
  ack_wait: 30 * NANOS_PER_S,
  max_ack_pending: 100,
};
let nc: NatsConnection;
let manager: JetStreamManager;

beforeAll(async () => {
  nc = await connectNats({ url: testNatsUrl(), name: "durable test" });
  manager = await jetstreamManager(nc);
  await manager.streams.add({ name: STREAM, subjects: [`${STREAM}.>`] });
});
afterAll(async () => {
  await manager.streams.delete(STREAM);
  await nc.close();
});

it("is made, and found as it is", async () => {
  const made = await ensureDurable(manager, STREAM, asked);
  expect(made.config.ack_wait).toBe(30 * NANOS_PER_S);
  const found = await ensureDurable(manager, STREAM, asked);
  expect(found.created).toBe(made.created);
});

it("of an older release with other settings is changed, and keeps its place", async () => {
  for (const thing of ["a", "b"]) await jetstream(nc).publish(SUBJECT, thing);
  const consumer = await jetstream(nc).consumers.get(STREAM, "worker");
  await (await consumer.next())?.ackAck();
  const newer = { ...asked, ack_wait: 5 * NANOS_PER_S, max_ack_pending: 50 };
  const { config } = await ensureDurable(manager, STREAM, newer);
  expect([config.ack_wait, config.max_ack_pending]).toEqual([5 * NANOS_PER_S, 50]);
  expect((await consumer.next())?.string()).toBe("b");
});
