/**
 * JetStream's API in memory for one process, as far as streams are made sure of with it
 * (`engine/streams/streams.ts`), and a keeper over it that looks as `engine/streams/look.ts` does.
 */
import { JetStreamApiError } from "@nats-io/jetstream";
import type { StreamConfig } from "@nats-io/jetstream";
import { StreamKeeper } from "../engine/streams/keeper.ts";
import type { StreamTroubles } from "../engine/streams/keeper.ts";
import { ensureStream, wantedStream } from "../engine/streams/streams.ts";
import type { StreamsApi } from "../engine/streams/streams.ts";
import { STREAMS_CALL_TIMEOUT_MS } from "../proto/limits.ts";
import { STREAMS } from "../proto/subjects.ts";
import type { StreamKey } from "../proto/subjects.ts";
import { SIM_CONFIG } from "./city.ts";
import type { FakeNats } from "./fake-nats.ts";
import type { FakeStream } from "./fake-streams.ts";
import type { Machine } from "./machine.ts";

const KEYS = Object.keys(STREAMS) as StreamKey[];
const NOT_FOUND = { code: 404, err_code: 10_059, description: "stream not found" };

/** A question to the server and its answer over the wires of that process. */
function ask<T>(nats: FakeNats, machine: Machine, answer: () => T): Promise<T> {
  return new Promise((resolve, reject) => {
    const cancel = machine.clock.after(STREAMS_CALL_TIMEOUT_MS, () =>
      reject(new Error("JetStream does not answer")),
    );
    nats.network.send(machine.name, null, () => {
      if (nats.streams.isOff || !nats.mayConnect(machine.name)) return;
      nats.network.send(null, machine.name, () =>
        machine.io(() => {
          cancel();
          try {
            resolve(answer());
          } catch (error) {
            reject(error as Error);
          }
        }),
      );
    });
  });
}

export function streamsApiOf(nats: FakeNats, machine: Machine): StreamsApi {
  const called = (name: string): FakeStream => nats.streams.named(name);
  const made = (config: Partial<StreamConfig>): { config: StreamConfig } => {
    called(config.name ?? "").make(config as StreamConfig);
    return { config: config as StreamConfig };
  };
  const streams = {
    info: (name: string) =>
      ask(nats, machine, () => {
        const { config } = called(name);
        if (config === null) throw new JetStreamApiError(NOT_FOUND as never);
        return { config };
      }),
    add: (config: Partial<StreamConfig>) => ask(nats, machine, () => made(config)),
    update: (_: string, config: Partial<StreamConfig>) => ask(nats, machine, () => made(config)),
  };
  const getAccountInfo = (): Promise<unknown> => ask(nats, machine, () => ({}));
  return { getAccountInfo, streams: streams as unknown as StreamsApi["streams"] };
}

/** Makes sure of all streams again and again, while it runs. */
export function keeperOf(nats: FakeNats, machine: Machine): StreamKeeper {
  const api = streamsApiOf(nats, machine);
  const look = async (): Promise<StreamTroubles> => {
    await api.getAccountInfo();
    const troubles = new Map<StreamKey, string>();
    for (const key of KEYS) {
      const { natsPrefix, natsReplicas, streamBytes } = SIM_CONFIG;
      const wanted = wantedStream(natsPrefix, key, natsReplicas, streamBytes[key]);
      try {
        const found = await ensureStream(api, key, wanted);
        if (found.length > 0) troubles.set(key, "differs");
        else if (!nats.streams.get(key).isWriting()) troubles.set(key, "takes no messages");
      } catch (error) {
        troubles.set(key, String(error));
      }
    }
    return troubles;
  };
  const ignore = (): void => undefined;
  return new StreamKeeper({ clock: machine.clock, look, onLooked: ignore, onFailed: ignore });
}
