import { expect, it } from "vitest";
import { VirtualClock } from "../engine/io/virtual-clock.ts";
import type { CourierId } from "../proto/ids.ts";
import { Whereabouts } from "./whereabouts.ts";

it("asks again for a courier whose phone is ahead of our clock", async () => {
  const clock = new VirtualClock(1_000_000);
  const courier = "cur_ahead" as CourierId;
  let lng = 1;
  const where = () => Promise.resolve({ at: clock.now() + 25_000 + lng, lng, lat: 0 } as never);
  const whereabouts = new Whereabouts({ where }, { lastKnown: () => Promise.resolve(null) }, clock);
  expect((await whereabouts.of(courier))?.lng).toBe(1);
  lng = 2;
  expect((await whereabouts.of(courier))?.lng).toBe(1);
  await clock.advance(600);
  expect((await whereabouts.of(courier))?.lng).toBe(2);
});
