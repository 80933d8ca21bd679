/**
 * The one connection to NATS of a process, with all that belongs to it: what it says about itself,
 * the bus over it, and what happens when it closes though nobody asked. Node and gateway open
 * theirs by the same rules.
 */
import type { NatsConnection } from "@nats-io/transport-node";
import { NATS_START_WAIT_MS } from "../../../proto/limits.ts";
import type { Config } from "../../config.ts";
import type { Log } from "../log.ts";
import type { Metrics } from "../metrics.ts";
import { connectNats } from "./connect.ts";
import { natsMetrics } from "./metrics.ts";
import { NatsWatch } from "./watch.ts";
import { natsBus } from "./nats.ts";
import type { Bus } from "./nats.ts";

export type NatsLink = {
  readonly nc: NatsConnection;
  readonly watch: NatsWatch;
  readonly bus: Bus;
  /** An end that was asked for. */
  readonly close: () => Promise<void>;
};

export type NatsLinkOptions = {
  readonly config: Pick<Config, "natsUrl" | "natsCredentials">;
  readonly name: string;
  readonly log: Log;
  readonly metrics: Metrics;
  /** The connection closed for good and nobody asked: only a new process has one again. */
  readonly onLost: (why: string) => void;
};

/**
 * Connects, waiting a while for a server that is not there or refuses us. Rejects as `connectNats`
 * does.
 */
export async function openNats(options: NatsLinkOptions): Promise<NatsLink> {
  const { config, name, log, metrics, onLost } = options;
  const nc = await connectNats({
    url: config.natsUrl,
    credentials: config.natsCredentials,
    startWaitMs: NATS_START_WAIT_MS,
    ...{ name, log },
  });
  let isAsked = false;
  void nc.closed().then((error) => {
    if (!isAsked) onLost(error instanceof Error ? error.message : "for no reason that it names");
  });
  const watch = new NatsWatch(nc, { log, onTrouble: natsMetrics(metrics) });
  const close = async (): Promise<void> => {
    isAsked = true;
    if (!nc.isClosed()) await nc.close();
  };
  return { nc, watch, bus: natsBus(nc, watch), close };
}

/** Ends a process whose connection closed: whoever runs it starts it again. */
export const endWithoutNats =
  (log: Log): ((why: string) => void) =>
  (why) => {
    log.fatal({ why }, "the connection to NATS closed, and not by us");
    process.exit(1);
  };
