import { expect, test } from "vitest";
import { DispatchError } from "../../proto/errors.ts";
import { VirtualClock } from "../io/virtual-clock.ts";
import { createBatcher } from "./batcher.ts";
import type { BatcherOptions } from "./batcher.ts";

/** A batcher on a clock that stands still, over a database that answers when it is told to. */
function drive(more: Partial<BatcherOptions<string, string>> = {}) {
  const clock = new VirtualClock();
  const statements: { items: readonly string[]; answer: () => void; fail: (e: Error) => void }[] =
    [];
  const batcher = createBatcher<string, string>({
    name: "commands",
    keysOf: () => [],
    run: (items) =>
      new Promise((resolve, reject) => {
        const answer = (): void => resolve(items.map((item) => `${item} done`));
        statements.push({ items, answer, fail: reject });
      }),
    clock,
    ...more,
  });
  return { clock, statements, batcher, sent: () => statements.map((s) => s.items.join(" ")) };
}

const codeOf = (promise: Promise<unknown>): Promise<unknown> =>
  promise.then(
    () => "answered",
    (error: unknown) => (error instanceof DispatchError ? error.code : (error as Error).message),
  );

test("commands of one turn of the event loop share a statement, and each gets its own answer", async () => {
  const { clock, statements, batcher, sent } = drive();
  const answers = Promise.all([batcher.submit("a"), batcher.submit("b")]);
  await clock.settle();
  expect(sent()).toEqual(["a b"]);
  statements[0]?.answer();
  expect(await answers).toEqual(["a done", "b done"]);
});

test("what comes while a statement runs waits for its end and shares the next", async () => {
  const { clock, statements, batcher, sent } = drive();
  const answers = [batcher.submit("a")];
  await clock.settle();
  answers.push(batcher.submit("b"), batcher.submit("c"));
  await clock.advance(100);
  expect(sent()).toEqual(["a"]);
  statements[0]?.answer();
  await answers[0];
  await clock.settle();
  expect(sent()).toEqual(["a", "b c"]);
  statements[1]?.answer();
  expect(await Promise.all(answers)).toEqual(["a done", "b done", "c done"]);
});

test("where two may run, what comes while one runs waits a millisecond for company", async () => {
  const { clock, batcher, sent } = drive({ limits: { inFlightMax: 2 } });
  void batcher.submit("a");
  await clock.settle();
  void batcher.submit("b");
  void batcher.submit("c");
  await clock.settle();
  expect(sent()).toEqual(["a"]);
  await clock.advance(1);
  expect(sent()).toEqual(["a", "b c"]);
  void batcher.submit("d");
  await clock.advance(100);
  expect(sent()).toEqual(["a", "b c"]);
});

test("a database that is away fails the whole statement once", async () => {
  const { clock, statements, batcher } = drive();
  const codes = Promise.all([codeOf(batcher.submit("a")), codeOf(batcher.submit("b"))]);
  await clock.settle();
  statements[0]?.fail(new DispatchError("unavailable"));
  expect(await codes).toEqual(["unavailable", "unavailable"]);
  expect(statements.length).toBe(1);
});

test("one bad row fails alone: the others are repeated one by one", async () => {
  const run = (items: readonly string[]): Promise<readonly string[]> =>
    items.includes("bad")
      ? Promise.reject(new Error("breaks a constraint"))
      : Promise.resolve(items.map((item) => `${item} done`));
  const { clock, batcher } = drive({ run });
  const answers = Promise.all(["a", "bad", "c"].map((item) => codeOf(batcher.submit(item))));
  await clock.settle();
  expect(await answers).toEqual(["answered", "breaks a constraint", "answered"]);
});

test("a command that was never sent is refused after a while, and says so", async () => {
  const { clock, statements, batcher } = drive({ keysOf: () => ["same"], waitMaxMs: 50 });
  const first = codeOf(batcher.submit("a"));
  await clock.settle();
  const second = codeOf(batcher.submit("b"));
  await clock.advance(50);
  expect(await second).toBe("unavailable");
  statements[0]?.answer();
  expect(await first).toBe("answered");
  expect(statements.length).toBe(1);
});

test("a full queue refuses with `overloaded`", async () => {
  const { batcher } = drive({ limits: { waitingMax: 1 } });
  void batcher.submit("a");
  expect(await codeOf(batcher.submit("b"))).toBe("overloaded");
});

test("closing waits for what is under way and refuses what comes after", async () => {
  const { clock, statements, batcher } = drive();
  const first = codeOf(batcher.submit("a"));
  await clock.settle();
  let closed = false;
  const closing = batcher.close().then(() => (closed = true));
  expect(await codeOf(batcher.submit("b"))).toBe("unavailable");
  await clock.settle();
  expect(closed).toBe(false);
  statements[0]?.answer();
  await closing;
  expect(await first).toBe("answered");
});
