// The streams of a test's prefix, which its nodes made on the run's nats-server.

import { jetstreamManager } from "@nats-io/jetstream";
import type { NatsConnection } from "@nats-io/transport-node";
import { streamName } from "../../proto/subjects.ts";

/** Removes them, as far as they were made. */
export async function dropStreams(nc: NatsConnection, prefix: string): Promise<void> {
  const { streams } = await jetstreamManager(nc);
  for (const key of ["CELLS", "LEDGER", "EVENTS", "INTAKE"] as const) {
    // A test may not have made it.
    await streams.delete(streamName(prefix, key)).catch(() => false);
  }
}
