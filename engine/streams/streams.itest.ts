/**
 * The gate of the streams on a server that has little room.
 */
import { jetstreamManager } from "@nats-io/jetstream";
import type { NatsConnection } from "@nats-io/transport-node";
import { afterAll, beforeAll, expect, it } from "vitest";
import { privateNats } from "../../scripts/testing/services.ts";
import type { PrivateServer } from "../../scripts/testing/services.ts";
import { connectNats } from "../io/nats/nats.ts";
import { StreamStorageError, ensureStreams } from "./streams.ts";

const MIB = 1_048_576;
let server: PrivateServer;
let nc: NatsConnection;

beforeAll(async () => {
  server = await privateNats();
  nc = await connectNats({ url: server.url, name: "streams test" });
});
afterAll(async () => {
  await nc.close();
  await server.remove();
});

it("a second cluster on one server is told what it lacks and what to set, and fits with smaller streams", async () => {
  const manager = await jetstreamManager(nc);
  await ensureStreams(manager, "one", 1);
  const refusal = await ensureStreams(manager, "two", 1).catch((error: unknown) => error);
  expect(refusal).toBeInstanceOf(StreamStorageError);
  expect(String(refusal)).toContain(
    "no room for the stream TWO_LEDGER (insufficient storage resources available): " +
      "it asks for 2048 MiB of file storage, and the streams that are there have set aside 6656 MiB",
  );
  expect(String(refusal)).toMatch(/Raise max_file_store .* HEXDISPATCH_LEDGER_BYTES_MAX/);

  await ensureStreams(manager, "two", 1, {
    LEDGER: 256 * MIB,
    EVENTS: 512 * MIB,
    INTAKE: 64 * MIB,
  });
  const { config } = await manager.streams.info("TWO_EVENTS");
  expect(config.max_bytes).toBe(512 * MIB);
});

it("memory that does not suffice is named as such", async () => {
  const manager = await jetstreamManager(nc);
  const refusal = ensureStreams(manager, "three", 1, { CELLS: 4_096 * MIB });
  await expect(refusal).rejects.toThrow(
    /THREE_CELLS .* 4096 MiB of memory, .* 512 MiB\. Raise max_memory_store .*CELLS_BYTES_MAX/,
  );
});
