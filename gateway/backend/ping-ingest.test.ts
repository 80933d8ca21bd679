/** Pings: collected by shard, acknowledged when they were handed on, limited for each courier. */
import { describe, expect, it } from "vitest";
import { Metrics } from "../../engine/io/metrics.ts";
import { VirtualClock } from "../../engine/io/virtual-clock.ts";
import { shardOfCourier } from "../../engine/cluster/shards.ts";
import type { CourierId, NodeId, SessionId } from "../../proto/ids.ts";
import { DISPATCH_DEFAULTS, SERVICE_AREA_DEFAULT, SHARD_MESSAGES_MAX } from "../../proto/limits.ts";
import type { Posted } from "../../proto/posts.ts";
import { gatewayMetrics } from "../base/metrics.ts";
import { PINGS_BURST } from "../../proto/limits.ts";
import { Ingest } from "./ping-ingest.ts";

function drive() {
  const clock = new VirtualClock();
  const sent: { shard: number; posts: readonly Posted[] }[] = [];
  const acked: [string, number][] = [];
  const state = { isConnected: true };
  const config = {
    publicHost: "",
    publicPort: 0,
    portShared: false,
    publicUrl: "",
    authKey: "",
    serviceArea: SERVICE_AREA_DEFAULT,
    shards: 8,
    settings: DISPATCH_DEFAULTS,
  };
  const metrics = gatewayMetrics(new Metrics("gateway"));
  const actorClient = {
    tellShard: (shard: number, posts: readonly Posted[]) => {
      if (state.isConnected) sent.push({ shard, posts });
      return state.isConnected;
    },
  };
  const deps = { gateway: "gw_1" as NodeId, clock, config, metrics };
  const ingest = new Ingest(deps, actorClient, (session, seq) => void acked.push([session, seq]));
  const ping = (courier: string, seq: number) => ({
    courier: courier as CourierId,
    session: `s_${courier}` as SessionId,
    ping: {
      seq,
      at: clock.now(),
      lng: 0,
      lat: 0,
      accuracyM: null,
      speedMps: null,
      headingDeg: null,
    },
    newest: true,
    receivedAt: clock.now(),
  });
  return { clock, sent, acked, state, ingest, ping };
}

describe("ingest", () => {
  it("sends one message for each shard, in order, and acknowledges each session once", async () => {
    const { clock, sent, acked, ingest, ping } = drive();
    const couriers = Array.from({ length: 40 }, (_, i) => `cur_${i}`);
    for (const seq of [1, 2]) for (const courier of couriers) ingest.take(ping(courier, seq));
    expect(sent).toEqual([]);
    await clock.advance(DISPATCH_DEFAULTS.PING_BATCH_MS);
    expect(new Set(sent.map((s) => s.shard)).size).toBe(sent.length);
    expect(sent.flatMap((s) => s.posts)).toHaveLength(80);
    for (const { shard, posts } of sent) {
      for (const { id } of posts) expect(shardOfCourier(id as CourierId, 8)).toBe(shard);
    }
    expect(acked.toSorted()).toEqual(couriers.map((c) => [`s_${c}`, 2]).toSorted());
  });

  it("acknowledges nothing that could not be handed on", async () => {
    const { clock, acked, state, ingest, ping } = drive();
    state.isConnected = false;
    ingest.take(ping("cur_1", 1));
    await clock.advance(1_000);
    expect(acked).toEqual([]);
    state.isConnected = true;
    ingest.take(ping("cur_1", 2));
    await clock.advance(1_000);
    expect(acked).toEqual([["s_cur_1", 2]]);
  });

  it("limits one courier and no other, and bounds what it collects", () => {
    const { sent, ingest, ping } = drive();
    const waits = Array.from({ length: PINGS_BURST + 1 }, (_, i) => ingest.take(ping("cur_1", i)));
    expect(waits.filter((wait) => wait > 0)).toHaveLength(1);
    expect(ingest.take(ping("cur_2", 1))).toBe(0);
    for (const { posts } of sent) expect(posts.length).toBeLessThanOrEqual(SHARD_MESSAGES_MAX);
    const kept = ping("cur_3", 1);
    const batch = Array.from({ length: PINGS_BURST + 1 }, () => kept.ping);
    expect(ingest.takeAll(kept.courier, kept.session, batch, kept.receivedAt)).toBeGreaterThan(0);
  });
});
