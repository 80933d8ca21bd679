/**
 * The standing check must see each loss that is planted; every test breaks one row of a run that is
 * sound.
 */
import { describe, expect, it } from "vitest";
import { claimsIn, compareClaims } from "./claims.ts";
import type { Mismatch, Rows, Stored } from "./claims.ts";
import type { Request } from "./history.ts";

const made = (externalId: string | null = "o-1") => ({
  ...{ externalId, size: "small" },
  ...{ pickupLng: -122.4, pickupLat: 37.7, dropoffLng: -122.41, dropoffLat: 37.71 },
});
const asked = (verb: Request["verb"], who: string, more: Partial<Request> = {}): Request => ({
  ...{ verb, who, delivery: "del_1", status: null, courier: null },
  ...{ sentAt: 1, endedAt: 2, outcome: { is: "ok" } },
  ...(verb === "create" ? { made: made() } : {}),
  ...more,
});
const row = (more: Partial<Stored> = {}): Stored => ({
  ...{ id: "del_1", owner: "cus_a", status: "delivered", courier: "cur_1", offered: [] },
  ...made(),
  ...more,
});
const run = [
  asked("create", "cus_a"),
  asked("accept", "cur_1"),
  asked("status", "cur_1", { status: "picked_up" }),
  asked("status", "cur_1", { status: "delivered" }),
];

function compare(
  requests: readonly Request[],
  stored: readonly Stored[],
  more: Partial<Rows> = {},
  wasReplaced = false,
): readonly Mismatch[] {
  const byId = new Map(stored.map((one) => [one.id, one]));
  const countOf = new Map([["cus_a", stored.filter(({ owner }) => owner === "cus_a").length]]);
  const rows = { byId, countOf, shared: [], ...more };
  return compareClaims(claimsIn(requests), rows, requests, () => wasReplaced);
}
const kindsOf = (found: readonly Mismatch[]): string[] => found.map(({ kind }) => kind);

it("a run in which all is stored as it was answered has no mismatch", () => {
  expect(compare(run, [row()])).toEqual([]);
});

describe("a loss", () => {
  it("of a whole delivery is seen by all that was answered of it", () => {
    expect(kindsOf(compare(run, []))).toEqual(["lost", "lost", "lost", "lost"]);
  });

  it("of an accept is seen: it waits again, or is somebody else's without a word", () => {
    const accepted = run.slice(0, 2);
    const waiting = row({ status: "pending", courier: null });
    expect(kindsOf(compare(accepted, [waiting]))).toEqual(["lost"]);
    const taken = row({ status: "assigned", courier: "cur_2" });
    expect(kindsOf(compare(accepted, [taken]))).toEqual(["lost"]);
    expect(compare(accepted, [taken], {}, true)).toEqual([]);
    expect(compare(accepted, [row({ status: "canceled", courier: null })])).toEqual([]);
  });

  it.each(["pending", "assigned"])("of a pickup is seen: it is %s", (status) => {
    const picked = [asked("status", "cur_1", { status: "picked_up" })];
    expect(kindsOf(compare(picked, [row({ status })]))).toEqual(["lost"]);
  });

  it.each(["assigned", "picked_up", "returned", "canceled"])(
    "of a handing over is seen: it is %s",
    (status) => {
      const over = [asked("status", "cur_1", { status: "delivered" })];
      expect(kindsOf(compare(over, [row({ status })]))).toEqual(["lost"]);
    },
  );

  it("of a cancellation or a decline is seen", () => {
    const canceled = [asked("cancel", "cus_a")];
    expect(kindsOf(compare(canceled, [row()]))).toEqual(["lost"]);
    expect(compare(canceled, [row({ status: "canceled" })])).toEqual([]);
    const declined = [asked("decline", "cur_2")];
    const open = row({ status: "pending", courier: null, offered: ["cur_2"] });
    expect(kindsOf(compare(declined, [open]))).toEqual(["lost"]);
    expect(compare(declined, [{ ...open, offered: ["cur_3"] }])).toEqual([]);
  });
});

describe("a change", () => {
  it.each([
    ["owner", { owner: "cus_b" }],
    ["place", { pickupLat: 37.8 }],
    ["size", { size: "large" }],
    ["external id", { externalId: "o-2" }],
  ])("of the %s of what was created is seen", (_, more) => {
    expect(kindsOf(compare(run.slice(0, 1), [row(more)]))).toEqual(["changed"]);
  });

  it("that is a rounding is none", () => {
    expect(compare(run, [row({ pickupLat: 37.700_000_04 })])).toEqual([]);
  });
});

describe("a double", () => {
  it("is seen where two rows are for one order, or more than were asked for", () => {
    const twice = [row(), row({ id: "del_2" })];
    expect(kindsOf(compare(run, twice))).toEqual(["doubled"]);
    const shared = [{ owner: "cus_a", externalId: "o-1" }];
    expect(kindsOf(compare(run, [row()], { shared }))).toEqual(["doubled"]);
  });

  it("is seen where two customers with one key were answered with one delivery", () => {
    const both = [asked("create", "cus_a"), asked("create", "cus_b")];
    expect(kindsOf(compare(both, [row()]))).toEqual(["changed", "doubled"]);
  });

  it("is none where one asked again under its own key", () => {
    expect(compare([...run, asked("create", "cus_a")], [row()])).toEqual([]);
  });
});

it("what was refused, or has no answer, claims nothing", () => {
  const refused = { outcome: { is: "refused", code: "delivery_taken" } } as const;
  const unknown = { outcome: { is: "unknown", code: "unavailable" } } as const;
  const requests = [asked("accept", "cur_1", refused), asked("create", "cus_a", unknown)];
  expect(compare(requests, [])).toEqual([]);
});
