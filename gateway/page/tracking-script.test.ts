/**
 * What the tracking page does with answers of gateways of which one knows less than another (D6).
 */
import { runInNewContext } from "node:vm";
import { expect, it } from "vitest";
import { TRACKING_SCRIPT } from "./tracking-script.ts";

type Spot = { lat: number; updated_at: string; age_s: number };
type View = {
  version: number;
  courier: { id: string } | null;
  courier_location: Spot | null;
  ended_at: string | null;
};

const source = /function newest\(d\) \{[\s\S]*?\n\}/.exec(TRACKING_SCRIPT)?.[0] ?? "";
/** The page's own function, over what it shows. */
const newest = (shown: View | null, told: View): View | null =>
  runInNewContext(`${source}; newest(told)`, {
    ...{ shown, told, heardAt: 0, performance: { now: () => 2_000 } },
  }) as View | null;

const at = (s: number): Spot => ({ lat: s, updated_at: `2026-05-03T14:15:${s}Z`, age_s: 1 });
const view = (version: number, spot: Spot | null, courier = "cur_1"): View => ({
  ...{ version, courier: { id: courier }, courier_location: spot, ended_at: null },
});

it("an older state is dropped, and a first or newer one is shown as it is", () => {
  expect(newest(null, view(2, at(10)))).toEqual(view(2, at(10)));
  expect(newest(view(3, at(10)), view(2, at(20)))).toBeNull();
  expect(newest(view(2, at(10)), view(3, at(11)))).toEqual(view(3, at(11)));
  expect(newest(view(2, null), view(2, at(11)))).toEqual(view(2, at(11)));
});

it("an older position, or none, leaves the one that is shown, with its age going on", () => {
  for (const told of [at(10), null]) {
    const next = newest(view(2, at(40)), view(3, told));
    expect(next?.version).toBe(3);
    expect(next?.courier_location).toEqual({ ...at(40), age_s: 3 });
  }
});

it("of another courier, or after the end, nothing is kept", () => {
  expect(newest(view(2, at(40)), view(3, at(10), "cur_2"))?.courier_location).toEqual(at(10));
  const ended = { ...view(4, null), ended_at: "2026-05-03T15:00:00Z" };
  expect(newest(view(2, at(40)), ended)?.courier_location).toBeNull();
});
