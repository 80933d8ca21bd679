/**
 * What the real consumer is asked in `engine/streams/intake-stream.itest.ts`: order, repeats, work
 * given back or left behind.
 */
import { describe, expect, it } from "vitest";
import type { IntakeItem, IntakeQueue } from "../engine/streams/intake.ts";
import { subjectsFor } from "../proto/subjects.ts";
import { SimClock, inMacrotask } from "./clock.ts";
import { FakeNats } from "./fake-nats.ts";
import { Machine } from "./machine.ts";
import { Network } from "./network.ts";
import { SeededRandom } from "./random.ts";

const subjects = subjectsFor("t");

function make() {
  const clock = new SimClock(1_000_000);
  const network = new Network(clock, new SeededRandom(1));
  const nats = new FakeNats(clock, network, "t");
  const machine = new Machine("n1", clock, { offsetMs: 0, driftPpm: 0 });
  const bus = nats.connect(machine);
  const queue = nats.streams.intake.queueOf(machine);
  const put = (id: string): boolean =>
    bus.publish(subjects.intake("shop", id), Buffer.from(id), undefined, id);
  /** What a question is answered with, as words; the items are kept. */
  const ask = (of: IntakeQueue, max = 10) => {
    const asked: { items: readonly IntakeItem[]; words: string } = { items: [], words: "nothing" };
    of.fetch(max, 2_000).then(
      (items) => {
        asked.items = items;
        asked.words = items.map(({ data }) => Buffer.from(data).toString()).join(" ");
      },
      (error: Error) => (asked.words = error.message),
    );
    return asked;
  };
  return { clock, network, nats, machine, bus, queue, put, ask };
}

describe("the intake in memory", () => {
  it("gives what waits in order, once, and again when it was given back", () =>
    inMacrotask(() => {
      const { clock, nats, queue, put, ask } = make();
      for (const id of ["a", "b", "a", "c"]) put(id);
      const first = ask(queue, 2);
      clock.advance(5);
      expect(first.words).toBe("a b");
      const second = ask(queue);
      clock.advance(5);
      expect(second.words).toBe("c");
      first.items[0]?.done();
      first.items[1]?.giveBack();
      clock.advance(5);
      const third = ask(queue);
      clock.advance(5);
      expect(third.words).toBe("b");
      expect(nats.streams.intake.waiting()).toBe(2);
    }));

  it("gives again what nobody has acknowledged or held for ten seconds", () =>
    inMacrotask(() => {
      const { clock, queue, put, ask } = make();
      put("a");
      put("b");
      const first = ask(queue);
      clock.advance(9_000);
      first.items[0]?.hold();
      clock.advance(1_500);
      const second = ask(queue);
      clock.advance(5);
      expect(second.words).toBe("b");
    }));

  it("waits for what comes, and says so when nothing does", () =>
    inMacrotask(() => {
      const { clock, queue, put, ask } = make();
      const first = ask(queue);
      clock.advance(1_000);
      expect(first.words).toBe("nothing");
      put("a");
      clock.advance(5);
      expect(first.words).toBe("a");
      const second = ask(queue);
      clock.advance(2_100);
      expect(second.words).toBe("");
    }));

  it("does not answer without a leader", () =>
    inMacrotask(() => {
      const { clock, nats, queue, put, ask } = make();
      put("a");
      nats.streams.get("INTAKE").loseLeader();
      const first = ask(queue);
      clock.advance(5_000);
      expect(first.words).toBe("the intake does not answer");
    }));

  it("keeps what is buried apart from the work", () =>
    inMacrotask(() => {
      const { clock, nats, queue, put, ask } = make();
      put("a");
      const first = ask(queue);
      clock.advance(5);
      for (const item of first.items) {
        void queue.bury(item, "unreadable");
        item.done();
      }
      clock.advance(5);
      expect(nats.streams.intake.waiting()).toBe(0);
      expect(nats.streams.get("INTAKE").stored(subjects.intakeDead)).toHaveLength(1);
    }));

  it("reads a message back by its number and as the last of its subject", () =>
    inMacrotask(() => {
      const { clock, bus, put } = make();
      put("a");
      put("b");
      const answers: unknown[] = [];
      for (const question of [
        { seq: 2 },
        { last_by_subj: subjects.intake("shop", "a") },
        { seq: 9 },
      ]) {
        void bus
          .request(subjects.streamMessage("INTAKE"), Buffer.from(JSON.stringify(question)))
          .then((bytes) => answers.push(JSON.parse(Buffer.from(bytes).toString())));
      }
      clock.advance(5);
      const dataOf = (text: string): string => Buffer.from(text).toString("base64");
      expect(answers).toMatchObject([
        { message: { data: dataOf("b") } },
        { message: { data: dataOf("a") } },
        { error: { code: 404 } },
      ]);
    }));
});
