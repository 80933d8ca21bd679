import { expect, it } from "vitest";
import { JetStreamApiError } from "@nats-io/jetstream";
import type { StreamConfig } from "@nats-io/jetstream";
import { StreamMismatchError, differences, ensureStreams, wantedStream } from "./streams.ts";
import type { StreamsApi } from "./streams.ts";

/** A server that echoes what it is asked for, changed by `distort`. */
function server(distort: (config: StreamConfig) => Partial<StreamConfig> = () => ({})) {
  const calls: string[] = [];
  const kept = new Map<string, StreamConfig>();
  const keep = (call: string, config: StreamConfig) => {
    calls.push(`${call} ${config.name}`);
    const echo = { ...config, ...distort(config) };
    kept.set(config.name, echo);
    return Promise.resolve({ config: echo });
  };
  const streams = {
    info: (name: string) => {
      const config = kept.get(name);
      if (config !== undefined) return Promise.resolve({ config });
      const missing = { code: 404, err_code: 10_059, description: "stream not found" };
      return Promise.reject(new JetStreamApiError(missing));
    },
    add: (config: StreamConfig) => keep("add", config),
    update: (_name: string, config: StreamConfig) => keep("update", config),
  };
  return { api: { streams } as unknown as StreamsApi, calls };
}

it("the streams are made once, and left alone while they are as asked", async () => {
  const { api, calls } = server();
  await ensureStreams(api, "hd", 1);
  await ensureStreams(api, "hd", 1);
  const names = ["HD_CELLS", "HD_LEDGER", "HD_EVENTS", "HD_INTAKE"];
  expect(calls).toEqual(names.map((name) => `add ${name}`));
  await ensureStreams(api, "hd", 3);
  expect(calls.slice(4)).toEqual(names.map((name) => `update ${name}`));
});

it("a server that drops a setting is refused, with every difference named", async () => {
  const { api } = server(({ name }) =>
    name === "HD_EVENTS" ? { duplicate_window: 120_000_000_000, allow_direct: false } : {},
  );
  const refusal = await ensureStreams(api, "hd", 1).catch((error: unknown) => error);
  expect(refusal).toBeInstanceOf(StreamMismatchError);
  expect((refusal as StreamMismatchError).differences).toEqual([
    {
      stream: "HD_EVENTS",
      field: "duplicate_window",
      wanted: 600_000_000_000,
      echoed: 120_000_000_000,
    },
    { stream: "HD_EVENTS", field: "allow_direct", wanted: true, echoed: false },
  ]);
  expect(String(refusal)).toContain("HD_EVENTS.allow_direct is false, asked for was true");
});

it("what the server adds by itself is no difference", () => {
  const wanted = wantedStream("hd", "CELLS", 1);
  const echoed = { ...wanted, max_consumers: -1, sealed: false } as unknown as StreamConfig;
  expect(differences(wanted, echoed)).toEqual([]);
});

it("the intake loses nothing that it took: full, it refuses, and only its leader is asked", () => {
  const { discard, allow_direct, duplicate_window } = wantedStream("hd", "INTAKE", 3);
  expect([discard, allow_direct]).toEqual(["new", false]);
  expect(duplicate_window).toBeGreaterThanOrEqual(600_000_000_000);
});
