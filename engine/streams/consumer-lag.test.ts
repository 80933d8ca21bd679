import { expect, it } from "vitest";
import { ConsumerLag, waitingOf } from "./consumer-lag.ts";

it("of the partners the one that is furthest behind counts, and what is not ours does not", () => {
  const all = waitingOf([
    { name: "webhooks", waiting: 3 },
    { name: "p_acme", waiting: 7 },
    { name: "p_other", waiting: 40 },
    { name: "somebody", waiting: 900 },
  ]);
  expect([...all]).toEqual([
    ["webhooks", 3],
    ["partners", 40],
  ]);
});

it("keeps what it knew while it cannot ask, until another looks", async () => {
  let isAway = false;
  const failures: unknown[] = [];
  const list = () =>
    isAway ? Promise.reject(new Error("away")) : Promise.resolve([{ name: "notices", waiting: 5 }]);
  const lag = new ConsumerLag(list, (error) => void failures.push(error));
  expect(lag.waiting("notices")).toBe(0);
  await lag.look();
  isAway = true;
  await lag.look();
  expect(lag.waiting("notices")).toBe(5);
  expect(failures.length).toBe(1);
  lag.forget();
  expect(lag.waiting("notices")).toBe(0);
});
