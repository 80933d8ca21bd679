import { describe, expect, it } from "vitest";
import type { ShardId } from "../proto/ids.ts";
import { VirtualClock } from "./io/virtual-clock.ts";
import type { Runtime } from "./runtime.ts";
import { handOver } from "./takeover.ts";

/** A runtime of shards 1 to 3 that are restless as long as they stand in `restless`, and what was done to it. */
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
    heart: { beat: () => log.push("beat") },
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
