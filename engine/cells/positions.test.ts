import { beforeEach, describe, expect, it } from "vitest";
import type { CourierId, Epoch, NodeId, ShardId } from "../../proto/ids.ts";
import { streamMessages } from "../../proto/messages.ts";
import type { CourierRecord, StreamMessage } from "../../proto/messages.ts";
import { subjectsFor } from "../../proto/subjects.ts";
import type { BusMessage } from "../io/nats/nats.ts";
import { VirtualClock } from "../io/virtual-clock.ts";
import { Positions } from "./positions.ts";

const id = (name: string): CourierId => `cur_${name}` as CourierId;
const record = (name: string, no: number, at = 5): CourierRecord => ({
  courier: id(name),
  no,
  at,
  lng: -122.4,
  lat: 37.7,
  vehicle: "car",
  slots: 1,
  doubt: 0,
  online: true,
  active: 0,
});

let clock: VirtualClock;
let fleet: Map<CourierId, CourierRecord>;
let sent: string[];
let answers: StreamMessage[];
let epochs: Map<ShardId, Epoch>;
/** Under what the positions were sent. */
let origins: string[];
let positions: Positions;

const incoming = (message: StreamMessage): BusMessage => ({
  subject: "",
  data: streamMessages.encode(message),
  wantsAnswer: true,
  respond: (data) => void answers.push(streamMessages.decode(data)!),
});
const watch = (gateway: string, names: readonly string[], shard = 1): void =>
  positions.onWatch(
    shard as ShardId,
    incoming({ type: "watch", gateway: gateway as NodeId, couriers: names.map(id), ttlMs: 3_000 }),
  );

function move(name: string, no: number): void {
  fleet.set(id(name), record(name, no));
  positions.moved(id(name));
}

beforeEach(() => {
  clock = new VirtualClock();
  fleet = new Map([record("a", 1), record("b", 1), record("c", 1, 0)].map((r) => [r.courier, r]));
  sent = [];
  answers = [];
  origins = [];
  epochs = new Map([1, 2].map((shard) => [shard as ShardId, (shard * 10) as Epoch]));
  positions = new Positions({
    clock,
    bus: {
      publish: (subject, data) => {
        const message = streamMessages.decode(data);
        const parts = message?.type === "moved" ? message.parts : [];
        for (const { shard, epoch } of parts) origins.push(`${shard}/${epoch}`);
        const rows = parts.flatMap((part) => part.positions);
        sent.push(`${subject} ${rows.map((row) => `${row.courier}:${row.no}`).join(" ")}`);
        return true;
      },
    },
    subjects: subjectsFor("t"),
    epochOf: (shard) => epochs.get(shard) ?? null,
    get: (courier) => fleet.get(courier) ?? null,
    forEachOwned: (fn) => fleet.forEach((r) => fn(r)),
  });
});

describe("watched couriers", () => {
  it("are sent to each gateway that watches them, once for each move", () => {
    watch("gw_1", ["a", "b"]);
    watch("gw_2", ["a"]);
    positions.publish();
    positions.publish();
    move("a", 2);
    positions.publish();
    positions.moved(id("a")); // Only its slots changed, say.
    positions.publish();
    expect(sent).toEqual([
      "t.positions.gw_1 cur_a:1 cur_b:1",
      "t.positions.gw_2 cur_a:1",
      "t.positions.gw_1 cur_a:2",
      "t.positions.gw_2 cur_a:2",
    ]);
    expect(new Set(origins)).toEqual(new Set(["1/10"]));
  });

  it("without a position, or unknown, are not sent", () => {
    watch("gw_1", ["c", "nobody"]);
    positions.publish();
    expect(sent).toEqual([]);
  });

  it("D8: of several shards go to their gateway each under its own epoch, and only while it is ours", () => {
    watch("gw_1", ["a"], 1);
    watch("gw_1", ["b"], 2);
    positions.publish();
    expect(sent).toEqual(["t.positions.gw_1 cur_a:1 cur_b:1"]);
    expect(origins).toEqual(["1/10", "2/20"]);
    move("a", 2);
    move("b", 2);
    epochs.delete(1 as ShardId);
    positions.publish();
    expect(sent.slice(1)).toEqual(["t.positions.gw_1 cur_b:2"]);
  });

  it("are replaced by a newer list; only those new on it are sent again", () => {
    watch("gw_1", ["a"]);
    positions.publish();
    watch("gw_1", ["a", "b"]);
    positions.publish();
    watch("gw_1", []);
    move("a", 2);
    positions.publish();
    expect(sent).toEqual(["t.positions.gw_1 cur_a:1", "t.positions.gw_1 cur_b:1"]);
  });

  it("are forgotten when the gateway does not renew its lease", async () => {
    watch("gw_1", ["a"]);
    positions.publish();
    await clock.advance(3_000);
    positions.expire();
    move("a", 2);
    positions.publish();
    expect(sent).toEqual(["t.positions.gw_1 cur_a:1"]);
    expect(positions.watched()).toBe(0);
  });

  it("are sent a moment after they moved, those of one moment together", async () => {
    watch("gw_1", ["a", "b"]);
    await clock.advance(100);
    sent.length = 0;
    move("a", 2);
    move("b", 2);
    await clock.advance(10);
    expect(sent).toEqual(["t.positions.gw_1 cur_a:2 cur_b:2"]);
    await clock.advance(5_000);
    expect(sent).toHaveLength(1);
  });
});

it("where and fleet are answered from the index", () => {
  positions.onWhere(incoming({ type: "where", courier: id("a") }));
  positions.onWhere(incoming({ type: "where", courier: id("nobody") }));
  positions.onFleet(incoming({ type: "fleet", limit: 2 }));
  const counts = answers.map((a) => (a.type === "fleet_part" ? a.records.length : -1));
  expect(counts).toEqual([1, 0, 2]);
});
