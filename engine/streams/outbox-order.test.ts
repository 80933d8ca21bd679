/**
 * D5 as a property: whatever fails, and although two relays run at once, the stream has each
 *    delivery's events once and in their order.
 */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { PrincipalId } from "../../proto/ids.ts";
import { subjectsFor } from "../../proto/subjects.ts";
import { VirtualClock } from "../io/virtual-clock.ts";
import { OutboxRelay, linesOf } from "./outbox.ts";
import type { OutboxRow } from "../store/port.ts";

const row = (id: number, delivery: number, number: number): OutboxRow => ({
  owner: "acme" as PrincipalId,
  event: {
    id: String(id),
    delivery_id: `del_${delivery}`,
    number,
    type: "created",
    status: "pending",
    reason: null,
    courier_id: null,
    external_id: null,
    at: "2026-01-01T00:00:00.000Z",
    test: false,
  },
});

/**
 * What becomes of one attempt to publish: the stream takes it or not, after so long, and says so or
 * not.
 */
type Attempt = {
  readonly does: "takes" | "refuses" | "loses the message" | "loses the ack";
  readonly ms: number;
};
const attempts: fc.Arbitrary<readonly Attempt[]> = fc.array(
  fc.record({
    does: fc.constantFrom("takes", "refuses", "loses the message", "loses the ack"),
    ms: fc.nat(400),
  }),
  { minLength: 1, maxLength: 60 },
);
/** For each event: its delivery, and how long after the one before it is committed. */
const commits = fc.array(fc.record({ delivery: fc.nat(2), afterMs: fc.nat(300) }), {
  minLength: 1,
  maxLength: 25,
});
const failures = fc.array(fc.boolean(), { maxLength: 20 });

const ACK_TIMEOUT_MS = 500;

function world(plan: readonly Attempt[], markingFails: readonly boolean[]) {
  const clock = new VirtualClock(Date.parse("2026-01-01T00:00:10.000Z"));
  const table = new Map<string, OutboxRow>();
  const stream: string[] = [];
  const ids = new Set<string>();
  let attempt = 0;
  let marking = 0;
  const after = (ms: number): Promise<void> => new Promise((r) => void clock.after(ms, () => r()));
  const publish = async (_subject: string, data: Uint8Array, id: string): Promise<void> => {
    // When the plan is over, everything works.
    const { does, ms } = plan[attempt++] ?? { does: "takes", ms: 1 };
    await after(ms);
    const isTaken = does === "takes" || does === "loses the ack";
    if (isTaken && !ids.has(id)) {
      ids.add(id);
      const event = JSON.parse(Buffer.from(data).toString()) as OutboxRow["event"];
      stream.push(`${event.delivery_id} ${event.number}`);
    }
    if (does === "takes") return;
    if (does !== "refuses") await after(ACK_TIMEOUT_MS);
    throw new Error(does);
  };
  const newRelay = (): OutboxRelay =>
    new OutboxRelay({
      clock,
      subjects: subjectsFor("t"),
      store: {
        async outboxBatch(limit) {
          const rows = [...table.values()].slice(0, limit);
          await after(1);
          return rows;
        },
        async outboxDone(done) {
          const isDone = markingFails[marking++] !== true;
          await after(1);
          if (!isDone) throw new Error("away");
          for (const id of done) table.delete(id);
        },
      },
      publish,
      onPublished: () => undefined,
      onFailed: () => undefined,
    });
  return { clock, table, stream, newRelay };
}

describe("the order of events", () => {
  it("D5: two relays at once, a stream that fails at random: 1, 2, 3, ... for each delivery", async () => {
    await fc.assert(
      fc.asyncProperty(attempts, commits, failures, fc.nat(300), async (plan, all, fails, gap) => {
        const { clock, table, stream, newRelay } = world(plan, fails);
        const [one, other] = [newRelay(), newRelay()];
        one.start();
        await clock.advance(gap);
        other.start();
        const wanted = new Map<number, string[]>();
        for (const [i, { delivery, afterMs }] of all.entries()) {
          const lines = wanted.get(delivery) ?? [];
          lines.push(`del_${delivery} ${lines.length + 1}`);
          wanted.set(delivery, lines);
          table.set(String(i), row(i, delivery, lines.length));
          one.nudge();
          await clock.advance(afterMs);
        }
        for (let i = 0; i < 300 && table.size > 0; i++) await clock.advance(500);
        for (const [delivery, lines] of wanted) {
          expect(stream.filter((line) => line.startsWith(`del_${delivery} `))).toEqual(lines);
        }
        expect(table.size).toBe(0);
        const ends = Promise.all([one.stop(), other.stop()]);
        await clock.advance(1_000);
        await ends;
      }),
      { numRuns: 40, seed: 20_261_123 },
    );
  }, 30_000);

  it("a line has one delivery's events by their numbers; lines stand by their oldest", () => {
    const rows = [row(1, 7, 1), row(2, 8, 4), row(4, 7, 3), row(3, 7, 2)];
    const ids = linesOf(rows).map((line) => line.map(({ event }) => event.id));
    expect(ids).toEqual([["1", "3", "4"], ["2"]]);
    expect(linesOf([])).toEqual([]);
  });
});
