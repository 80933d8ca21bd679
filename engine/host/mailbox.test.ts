import { expect, it } from "vitest";
import { Alarms } from "./alarms.ts";
import type { Alarmed } from "./alarms.ts";
import { Mailbox } from "./mailbox.ts";

it("a mailbox gives out in order, urgent entries first, and refuses when it is full", () => {
  const mailbox = new Mailbox<number>(3);
  expect([1, 2, 3, 4].map((n) => mailbox.push(n))).toEqual([true, true, true, false]);
  mailbox.pushUrgent(10);
  mailbox.pushUrgent(11);
  expect(mailbox.size).toBe(5);
  expect([1, 2, 3].map(() => mailbox.shift())).toEqual([10, 11, 1]);
  expect(mailbox.push(4)).toBe(true);
  expect(mailbox.clear()).toEqual([2, 3, 4]);
  expect(mailbox.shift()).toBeUndefined();
});

it("a mailbox keeps its order over many more messages than it holds", () => {
  const mailbox = new Mailbox<number>(100);
  let given = 0;
  let taken = 0;
  for (let round = 0; round < 2_000; round++) {
    for (let i = 0; i < (round * 7) % 5; i++) if (mailbox.push(given)) given += 1;
    for (let i = 0; i < (round * 3) % 5; i++) {
      const item = mailbox.shift();
      if (item === undefined) break;
      expect(item).toBe(taken++);
    }
  }
  expect(given - taken).toBe(mailbox.size);
});

it("alarms come in the order of (time, arming), however often they were moved or dropped", () => {
  type Item = Alarmed & { readonly name: number };
  const items = Array.from({ length: 500 }, (_, name): Item => ({
    name,
    alarmAt: 0,
    alarmOrder: 0,
    alarmSlot: -1,
  }));
  const alarms = new Alarms<Item>();
  for (const item of items) alarms.set(item, (item.name * 7_919) % 1_009);
  for (const item of items) if (item.name % 3 === 0) alarms.set(item, (item.name * 31) % 503);
  for (const item of items) if (item.name % 5 === 0) alarms.set(item, null);
  const expected = items
    .filter((item) => item.alarmSlot >= 0)
    .sort((a, b) => a.alarmAt - b.alarmAt || a.alarmOrder - b.alarmOrder);
  expect(alarms.takeDue(-1)).toBeNull();
  const taken: Item[] = [];
  for (let item = alarms.takeDue(2_000); item !== null; item = alarms.takeDue(2_000))
    taken.push(item);
  expect(taken).toEqual(expected);
  expect(alarms.size).toBe(0);
});
