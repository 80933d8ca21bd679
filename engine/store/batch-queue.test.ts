import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { BatchQueue } from "./batch-queue.ts";
import type { Entry } from "./batch-queue.ts";

const LIMITS = { windowMs: 1, paceMs: 0, rowsMax: 3, inFlightMax: 2, waitingMax: 100 };
const itemsOf = <T>(batch: readonly Entry<T>[]): T[] => batch.map((entry) => entry.item);

describe("what goes together", () => {
  test("commands without a common key share a statement, in the order in which they came", () => {
    const queue = new BatchQueue<string>(LIMITS);
    queue.add("a", ["1"], 0);
    queue.add("b", ["2"], 0);
    expect(itemsOf(queue.take(0))).toEqual(["a", "b"]);
  });

  test("two accepts of one delivery never share a statement nor run together", () => {
    const queue = new BatchQueue<string>(LIMITS);
    queue.add("first", ["delivery", "courier 1"], 0);
    queue.add("second", ["delivery", "courier 2"], 0);
    queue.add("other", ["courier 3"], 0);
    const batch = queue.take(0);
    expect(itemsOf(batch)).toEqual(["first", "other"]);
    expect(queue.plan(0)).toBe("wait");
    queue.finish(batch);
    expect(itemsOf(queue.take(0))).toEqual(["second"]);
  });

  test("a command that waits for one key keeps its place in the line of the other", () => {
    const queue = new BatchQueue<string>(LIMITS);
    queue.add("holds 1", ["1"], 0);
    queue.add("wants 1 and 2", ["1", "2"], 0);
    queue.add("wants 2", ["2"], 0);
    const batch = queue.take(0);
    expect(itemsOf(batch)).toEqual(["holds 1"]);
    queue.finish(batch);
    expect(itemsOf(queue.take(0))).toEqual(["wants 1 and 2"]);
  });

  test("a batch has at most so many rows", () => {
    const queue = new BatchQueue<number>(LIMITS);
    for (let i = 0; i < 4; i++) queue.add(i, [], 0);
    expect(itemsOf(queue.take(0))).toEqual([0, 1, 2]);
    expect(itemsOf(queue.take(0))).toEqual([3]);
  });
});

describe("when it goes", () => {
  test("a lone command goes at the end of the turn", () => {
    const queue = new BatchQueue<string>(LIMITS);
    expect(queue.plan(0)).toBe("wait");
    queue.add("a", [], 0);
    expect(queue.plan(0)).toBe("end of turn");
  });

  test("while a statement runs, the next waits for the window; a full one does not", () => {
    const queue = new BatchQueue<number>(LIMITS);
    queue.add(0, [], 0);
    queue.take(0);
    queue.add(1, [], 5);
    expect(queue.plan(5)).toBe(6);
    queue.add(2, [], 5);
    queue.add(3, [], 5);
    expect(queue.plan(5)).toBe(5);
  });

  test("statements keep their pace where much comes, and nobody waits where little does", () => {
    const queue = new BatchQueue<number>({ ...LIMITS, paceMs: 10 });
    queue.add(0, [], 100);
    expect(queue.plan(100)).toBe("end of turn");
    queue.finish(queue.take(100));
    queue.add(1, [], 103);
    expect(queue.plan(103)).toBe(110);
    expect(queue.plan(110)).toBe("end of turn");
    queue.add(2, [], 104);
    queue.add(3, [], 105);
    expect(queue.plan(105)).toBe(105); // A full one keeps no pace.
  });

  test("with two under way everybody waits, and shares the next", () => {
    const queue = new BatchQueue<number>(LIMITS);
    queue.add(0, [], 0);
    const batch = queue.take(0);
    queue.add(1, [], 0);
    queue.take(0);
    queue.add(2, [], 0);
    expect(queue.plan(1_000)).toBe("wait");
    queue.finish(batch);
    expect(queue.plan(1_000)).toBe(1);
  });
});

describe("what does not go", () => {
  test("a full queue refuses", () => {
    const queue = new BatchQueue<number>({ ...LIMITS, waitingMax: 1 });
    expect(queue.add(0, [], 0)).toBe(true);
    expect(queue.add(1, [], 0)).toBe(false);
  });

  test("who waited too long is taken out, and does not block those behind it", () => {
    const queue = new BatchQueue<string>(LIMITS);
    queue.add("under way", ["1"], 0);
    const batch = queue.take(0);
    queue.add("late", ["1", "2"], 10);
    queue.add("later", ["2"], 20);
    expect(itemsOf(queue.expire(10))).toEqual(["late"]);
    expect(itemsOf(queue.take(0))).toEqual(["later"]);
    queue.finish(batch);
    expect(queue.size).toBe(0);
  });
});

test("whatever comes in whatever order: keys are exclusive, each key keeps its order, everything goes", () => {
  const commands = fc.array(fc.uniqueArray(fc.integer({ min: 0, max: 5 }), { maxLength: 3 }), {
    maxLength: 60,
  });
  fc.assert(
    fc.property(commands, fc.infiniteStream(fc.nat()), (all, choices) => {
      const queue = new BatchQueue<number>(LIMITS);
      const under: (readonly Entry<number>[])[] = [];
      const sent: number[] = [];
      let added = 0;
      for (let round = 0; round < 1_000 && sent.length < all.length; round++) {
        const choice = (choices.next().value ?? 0) % 3;
        if (choice === 0 && added < all.length) {
          queue.add(added, (all[added] ?? []).map(String), round);
          added++;
        } else if (choice === 1 && under.length < LIMITS.inFlightMax) {
          const batch = queue.take(0);
          if (batch.length > 0) under.push(batch);
          sent.push(...itemsOf(batch));
        } else if (under.length > 0) {
          queue.finish(under.splice((choices.next().value ?? 0) % under.length, 1)[0] ?? []);
        }
        const keys = under.flat().flatMap((entry) => entry.keys);
        expect(new Set(keys).size).toBe(keys.length);
      }
      expect(sent.length).toBe(all.length);
      for (let key = 0; key <= 5; key++) {
        const ofKey = sent.filter((item) => all[item]?.includes(key));
        expect(ofKey).toEqual([...ofKey].sort((a, b) => a - b));
      }
    }),
    { seed: 7, numRuns: 300 },
  );
});
