import { expect, test } from "vitest";
import { Slots } from "./slots.ts";
import { VirtualClock } from "./virtual-clock.ts";

test("a place that is given back goes to whoever waits longest", async () => {
  const slots = new Slots(1, 10, new VirtualClock());
  expect(await slots.take(100)).toBe(true);
  const order: string[] = [];
  const first = slots.take(100).then(() => order.push("first"));
  const second = slots.take(100).then(() => order.push("second"));
  slots.give();
  await first;
  slots.give();
  await second;
  expect(order).toEqual(["first", "second"]);
});

test("who has waited too long leaves the line and takes no place", async () => {
  const clock = new VirtualClock();
  const slots = new Slots(1, 10, clock);
  await slots.take(100);
  const late = slots.take(100);
  const patient = slots.take(1_000);
  await clock.advance(100);
  expect(await late).toBe(false);
  slots.give();
  expect(await patient).toBe(true);
});

test("a full line refuses at once", async () => {
  const slots = new Slots(1, 1, new VirtualClock());
  await slots.take(100);
  void slots.take(100);
  expect(await slots.take(100)).toBe(false);
});
