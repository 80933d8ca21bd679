import { expect, it } from "vitest";
import { VirtualClock } from "../../engine/io/virtual-clock.ts";
import type { CourierId } from "../../proto/ids.ts";
import { PositionCache } from "./position-cache.ts";

it("asks again for a courier whose phone is ahead of our clock", async () => {
  const clock = new VirtualClock(1_000_000);
  const courier = "cur_ahead" as CourierId;
  let lng = 1;
  const where = () => Promise.resolve({ at: clock.now() + 25_000 + lng, lng, lat: 0 } as never);
  const positionCache = new PositionCache(
    { where },
    { lastKnown: () => Promise.resolve(null) },
    clock,
  );
  expect((await positionCache.of(courier))?.lng).toBe(1);
  lng = 2;
  expect((await positionCache.of(courier))?.lng).toBe(1);
  await clock.advance(600);
  expect((await positionCache.of(courier))?.lng).toBe(2);
});

it("D6: while a courier's owner does not answer, the kept position is not shown in its place", async () => {
  const clock = new VirtualClock(1_000_000);
  const courier = "cur_frozen" as CourierId;
  const kept = { courier, at: clock.now() - 26_000, lng: 1, lat: 0 };
  let answer: unknown = "unreachable";
  let asked = 0;
  const store = {
    lastKnown: () => {
      asked += 1;
      return Promise.resolve(kept);
    },
  };
  const where = () => Promise.resolve(answer as never);
  // A client of the gateway that was killed comes here; this one has never seen the courier.
  const other = new PositionCache({ where }, store, clock);
  expect(await other.of(courier)).toBeNull();
  expect(asked).toBe(0);
  // The next owner answers: it has the courier's record, or it knows that there is nothing newer.
  answer = { courier, at: clock.now() - 1_000, lng: 2, lat: 0 };
  await clock.advance(600);
  expect((await other.of(courier))?.lng).toBe(2);
  answer = "unknown";
  const fresh = new PositionCache({ where }, store, clock);
  expect((await fresh.of(courier))?.lng).toBe(1);
  // What this gateway has shown stays, with its own time, when the owner is silent again.
  answer = "unreachable";
  await clock.advance(600);
  expect((await other.of(courier))?.lng).toBe(2);
});
