import { expect, test } from "vitest";
import { parseFaultArgs } from "./options.ts";
import { FAULTS, planOf } from "./plan.ts";

test("the quick plan does each fault at least once, the full one as often as was promised", () => {
  const quick = planOf("quick", [], null);
  expect(quick.map(({ fault }) => fault)).toEqual(FAULTS.map(({ name }) => name));
  expect(quick.every(({ count }) => count >= 1)).toBe(true);
  const full = new Map(planOf("full", [], null).map(({ fault, count }) => [fault, count]));
  expect(full.get("node-kill")).toBe(50);
  for (const name of ["node-drain", "nats-kill", "leader-kill", "postgres-immediate"] as const) {
    expect(full.get(name)).toBe(20);
  }
});

test("the plan of the issue does what has a number there, so often, and nothing else", () => {
  const { plan, limitMin } = parseFaultArgs(["--plan", "issue"]);
  expect(Object.fromEntries(plan.map(({ fault, count }) => [fault, count]))).toEqual({
    nothing: 3,
    "node-kill": 50,
    "node-nats-kill": 50,
    "node-drain": 20,
    "nats-kill": 20,
    "leader-kill": 20,
    "nats-away": 3,
    "postgres-immediate": 20,
  });
  expect(limitMin).toBe(55);
  const { plan: picked } = parseFaultArgs(["--plan", "issue", "--only", "restart"]);
  expect(picked.map(({ fault, count }) => [fault, count])).toEqual([["restart", 1]]);
});

test("the plan over all kinds has 300 rounds, each kind among them", () => {
  const { plan } = parseFaultArgs(["--plan", "issue10"]);
  expect(plan.map(({ fault }) => fault)).toEqual(FAULTS.map(({ name }) => name));
  expect(plan.reduce((sum, { count }) => sum + count, 0)).toBe(300);
});

test("some faults, so often", () => {
  const { plan } = parseFaultArgs(["--only", "node-drain", "--only", "nats-kill", "--count", "7"]);
  expect(plan.map(({ fault, count }) => [fault, count])).toEqual([
    ["node-drain", 7],
    ["nats-kill", 7],
  ]);
});

test("what is not known is refused with what there is", () => {
  expect(() => parseFaultArgs(["--only", "earthquake"])).toThrow(
    /no fault "earthquake".*node-kill/,
  );
  expect(() => parseFaultArgs(["--plan", "medium"])).toThrow("quick or full or issue");
  expect(() => parseFaultArgs(["--shards", "33"])).toThrow("from 1 to 32");
  expect(() => parseFaultArgs(["--count", "0"])).toThrow("from 1 to 1000");
});

test("the load follows the options, and the run has a limit", () => {
  const options = parseFaultArgs(["--data", "somewhere", "--couriers", "100", "--plan", "full"]);
  expect(options.load).toMatchObject({ data: "somewhere", couriers: 100, ordersPerDay: 8_000 });
  expect(options.limitMin).toBe(240);
  expect(parseFaultArgs([]).limitMin).toBe(30);
});
