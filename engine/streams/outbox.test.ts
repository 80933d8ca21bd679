import { describe, expect, it } from "vitest";
import { StreamRefusal } from "./event-publisher.ts";
import type { PrincipalId } from "../../proto/ids.ts";
import { OUTBOX_BATCH_MAX_ROWS } from "../../proto/limits.ts";
import { subjectsFor } from "../../proto/subjects.ts";
import { VirtualClock } from "../io/virtual-clock.ts";
import { OutboxRelay } from "./outbox.ts";
import type { OutboxRow } from "../store/port.ts";

/**
 * Event `id`, of the delivery whose name ends in `delivery`; its number is the id unless another is
 * given.
 */
const row = (
  id: number,
  delivery = 0,
  number = id,
  at = "2026-01-01T00:00:00.000Z",
): OutboxRow => ({
  owner: "acme" as PrincipalId,
  event: {
    id: String(id),
    delivery_id: `del_0000000000000000000000${delivery}`,
    number,
    type: "created",
    status: "pending",
    reason: null,
    courier_id: null,
    external_id: null,
    at,
    test: false,
  },
});

function drive() {
  const clock = new VirtualClock(Date.parse("2026-01-01T00:00:10.000Z"));
  const table = new Map<string, OutboxRow>();
  const stream: string[] = [];
  const hints: string[] = [];
  const state = { looks: 0, tried: 0, refused: new Set<string>(), isAway: false };
  const marking = { isDown: false };
  const relay = new OutboxRelay({
    clock,
    subjects: subjectsFor("t"),
    store: {
      outboxBatch: (limit) => {
        state.looks += 1;
        return Promise.resolve([...table.values()].slice(0, limit));
      },
      outboxDone: (ids) => {
        if (marking.isDown) return Promise.reject(new Error("away"));
        for (const id of ids) table.delete(id);
        return Promise.resolve();
      },
    },
    publish: (subject, _data, id) => {
      state.tried += 1;
      if (state.isAway) return Promise.reject(new Error("no ack"));
      if (state.refused.has(id)) return Promise.reject(new StreamRefusal("too large", false));
      stream.push(`${subject} ${id}`);
      return Promise.resolve();
    },
    onPublished: (event) => void hints.push(event.id),
    onFailed: () => undefined,
  });
  const commit = (...ids: number[]): void => {
    for (const id of ids) table.set(String(id), row(id));
  };
  const commitFor = (delivery: number, ...ids: number[]): void => {
    for (const id of ids) table.set(String(id), row(id, delivery));
  };
  return { clock, relay, table, stream, hints, state, marking, commit, commitFor };
}

const SUBJECT = "t.events.acme.del_00000000000000000000000";

describe("the relay", () => {
  it("publishes what was committed, in order, under its outbox id, and marks it", async () => {
    const { clock, relay, table, stream, hints, commit } = drive();
    commit(1, 2, 3);
    relay.start();
    await clock.settle();
    expect(stream).toEqual([1, 2, 3].map((id) => `${SUBJECT} ${id}`));
    expect(hints).toEqual(["1", "2", "3"]);
    expect(table.size).toBe(0);
  });

  it("publishes more than a query holds without a pause between the queries", async () => {
    const { clock, relay, table, stream, state, commit } = drive();
    const count = 2 * OUTBOX_BATCH_MAX_ROWS + 1;
    commit(...Array.from({ length: count }, (_, i) => i + 1));
    relay.start();
    await clock.settle();
    expect([stream.length, table.size, state.looks]).toEqual([count, 0, 3]);
    expect(relay.lagS()).toBe(0);
  });

  it("comes at a nudge, and without one after a quarter of a second", async () => {
    const { clock, relay, stream, commit } = drive();
    relay.start();
    await clock.advance(20);
    commit(1);
    relay.nudge();
    await clock.settle();
    expect(stream.length).toBe(1);
    commit(2);
    await clock.advance(10);
    expect(stream.length).toBe(1);
    await clock.advance(270);
    expect(stream.length).toBe(2);
  });

  it("does not forget a nudge that comes while it looks", async () => {
    const { clock, relay, stream, commit } = drive();
    relay.start();
    relay.nudge();
    commit(1);
    await clock.advance(21);
    expect(stream.length).toBe(1);
  });

  it("repeats what the stream did not take, four times a second, and shows the lag", async () => {
    const { clock, relay, stream, hints, state, commit, commitFor, table } = drive();
    commit(1);
    commitFor(1, 2);
    state.refused.add("1");
    relay.start();
    await clock.settle();
    expect(hints).toEqual(["2"]);
    expect([...table.keys()]).toEqual(["1"]);
    expect(relay.lagS()).toBe(10);
    await clock.advance(10_000);
    expect(state.looks).toBeLessThan(44);
    state.refused.clear();
    await clock.advance(250);
    expect(stream.at(-1)).toBe(`${SUBJECT} 1`);
    expect(relay.lagS()).toBe(0);
  });

  it("D5: an event that fails holds back those behind it, of its own delivery only", async () => {
    const { clock, relay, stream, state, commit, commitFor } = drive();
    commit(1, 2);
    commitFor(1, 3);
    commit(4);
    state.refused.add("2");
    relay.start();
    await clock.advance(3_000);
    expect(stream.map((line) => line.split(" ")[1])).toEqual(["1", "3"]);
    state.refused.clear();
    await clock.advance(250);
    expect(stream.map((line) => line.split(" ")[1])).toEqual(["1", "3", "2", "4"]);
  });

  it("asks a stream without a leader with one event, and brings all at once when it is back", async () => {
    const { clock, relay, stream, state, commit, commitFor } = drive();
    commit(1, 2);
    for (let delivery = 1; delivery < 9; delivery++) commitFor(delivery, 10 + delivery);
    state.isAway = true;
    relay.start();
    await clock.advance(5_000);
    expect(stream).toEqual([]);
    // All lines at first, then four probes a second.
    expect(state.tried).toBeLessThan(9 + 22);
    state.isAway = false;
    await clock.advance(250);
    expect(stream.length).toBe(10);
    expect(stream.slice(0, 2)).toEqual([`${SUBJECT} 1`, `${SUBJECT} 2`]);
  });

  it("publishes again, under the same id, what it could not mark", async () => {
    const { clock, relay, stream, marking, commit } = drive();
    commit(1);
    marking.isDown = true;
    relay.start();
    await clock.advance(150);
    expect(stream).toEqual([`${SUBJECT} 1`, `${SUBJECT} 1`]);
  });

  it("ends where it is told to", async () => {
    const { clock, relay, state } = drive();
    relay.start();
    await clock.advance(100);
    await relay.stop();
    const { looks } = state;
    await clock.advance(5_000);
    expect(state.looks).toBe(looks);
  });
});
