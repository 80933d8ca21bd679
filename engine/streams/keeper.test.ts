import { expect, it } from "vitest";
import { STREAMS_GAP_MS, STREAMS_LOOK_MS } from "../../proto/limits.ts";
import { VirtualClock } from "../io/virtual-clock.ts";
import { StreamKeeper } from "./keeper.ts";
import type { StreamTroubles } from "./keeper.ts";

const FINE: StreamTroubles = new Map();

function drive(look: () => Promise<StreamTroubles> = () => Promise.resolve(FINE)) {
  const clock = new VirtualClock(1_000);
  const looks: number[] = [];
  const state = { underWay: 0, mostUnderWay: 0, failures: 0 };
  const keeper = new StreamKeeper({
    clock,
    look: async () => {
      looks.push(clock.now());
      state.mostUnderWay = Math.max(state.mostUnderWay, ++state.underWay);
      try {
        return await look();
      } finally {
        state.underWay -= 1;
      }
    },
    onLooked: () => undefined,
    onFailed: (_, isFirst) => void (state.failures += isFirst ? 1 : 0),
  });
  return { clock, looks, state, keeper };
}

it("streams are looked at at once, at an interval, and no more often however many ask", async () => {
  const { clock, looks, state, keeper } = drive();
  keeper.start();
  await clock.advance(0);
  expect(looks).toEqual([1_000]);
  for (let i = 0; i < 100; i++) {
    keeper.nudge();
    await clock.advance(STREAMS_GAP_MS / 10);
  }
  expect(looks.length).toBeLessThanOrEqual(11);
  expect(looks.length).toBeGreaterThan(8);
  expect(state.mostUnderWay).toBe(1);
  const before = looks.length;
  await clock.advance(STREAMS_LOOK_MS * 3);
  expect(looks.length - before).toBe(3);
  await keeper.stop();
  keeper.nudge();
  await clock.advance(STREAMS_LOOK_MS * 3);
  expect(looks.length - before).toBe(3);
});

it("while JetStream is silent that is reported once, known to readiness, and asked again sooner", async () => {
  let isSilent = true;
  const { clock, looks, state, keeper } = drive(() =>
    isSilent
      ? Promise.reject(new Error("timeout"))
      : Promise.resolve(new Map([["EVENTS", "sealed"]] as const)),
  );
  keeper.start();
  await clock.advance(STREAMS_GAP_MS * 4);
  expect(looks.length).toBeGreaterThan(2);
  expect(keeper.problems()).toEqual(["jetstream"]);
  expect(state.failures).toBe(1);
  isSilent = false;
  await clock.advance(STREAMS_LOOK_MS);
  expect(keeper.problems()).toEqual(["stream EVENTS"]);
  await keeper.stop();
  expect(keeper.problems()).toEqual([]);
});
