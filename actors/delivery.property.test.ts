/**
 * What holds whatever arrives, in whatever order, however often: random messages and random time,
 * titled by the invariant of docs/architecture.md. fast-check prints seed and path of a failure;
 * the seed here is fixed.
 */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { SETTINGS, T0, courierId, jobOf, rowOf } from "../sim/drive.ts";
import { STATUSES } from "../proto/status.ts";
import type { CourierId } from "../proto/ids.ts";
import type { Effect } from "./actor.ts";
import { deliveryActor } from "./delivery.ts";
import { PUBLIC_STATUS, emptyDelivery } from "./delivery-state.ts";
import type { Delivery, DeliveryMessage } from "./delivery-state.ts";

const actor = deliveryActor(SETTINGS);
const COURIERS = ["a", "b", "c", "d", "e"].map(courierId);
const courier = fc.constantFrom(...COURIERS);
const version = fc.integer({ min: 1, max: 6 });
const signal = fc.constantFrom("dark", "back", "still", "moving", "arrived_pickup" as const);
const candidates = fc.uniqueArray(courier, { maxLength: 4 }).map((list): DeliveryMessage => ({
  type: "candidates",
  result: {
    radiusM: 0,
    candidates: list.map((one) => ({ courier: one, distanceM: 1, etaS: 1 })),
    gates: {},
  },
}));
/** Rows and changes as a store could have them: a carried delivery has a courier. */
const row = fc
  .record({ version, status: fc.constantFrom(...STATUSES), courier, replacing: fc.boolean() })
  .map(({ replacing, ...some }) => {
    const isFree = some.status === "pending" || some.status === "unfilled";
    return rowOf({
      ...some,
      courier: isFree ? null : some.courier,
      replacing: replacing && some.status === "assigned",
    });
  });

const message: fc.Arbitrary<DeliveryMessage> = fc.oneof(
  { weight: 6, arbitrary: fc.constant<DeliveryMessage>({ type: "woke" }) },
  { weight: 2, arbitrary: fc.constant<DeliveryMessage>({ type: "created", job: jobOf() }) },
  { weight: 6, arbitrary: candidates },
  {
    weight: 6,
    arbitrary: courier.map((c): DeliveryMessage => ({ type: "held", courier: c, until: 0 })),
  },
  courier.map((c): DeliveryMessage => ({ type: "refused", courier: c, reason: "no_slots" })),
  courier.map((c): DeliveryMessage => ({ type: "declined", courier: c, reason: null })),
  courier.map((c): DeliveryMessage => ({ type: "wake", courier: c })),
  fc
    .record({ courier, signal })
    .map((m): DeliveryMessage => ({ type: "progress", distanceM: 1, ...m }) as DeliveryMessage),
  row.map((r): DeliveryMessage => ({
    ...{ type: "changed", version: r.version, status: r.status, courier: r.courier },
    ...{ at: T0, reason: null },
  })),
  row.map((snapshot): DeliveryMessage => ({ type: "resumed", snapshot })),
  row.map((snapshot): DeliveryMessage => ({ type: "superseded", snapshot })),
);
const script = fc.array(fc.tuple(message, fc.integer({ min: 0, max: 30_000 })), { maxLength: 60 });
const RUNS = { seed: 20_261_122, numRuns: 1_000 };

type Seen = {
  readonly before: Delivery;
  readonly message: DeliveryMessage;
  readonly after: Delivery;
  readonly effects: readonly Effect[];
};

/** Plays a script; a `search` is answered by the script, not at once, which is harder. */
function play(steps: readonly (readonly [DeliveryMessage, number])[]): Seen[] {
  let state: Delivery = emptyDelivery(jobOf().id);
  let now = T0;
  return steps.map(([one, ms]) => {
    now += ms;
    const before = state;
    const [after, ...effects] = actor.step(before, one, now);
    state = after;
    return { before, message: one, after, effects };
  });
}

const always = (holds: (seen: Seen, i: number, all: readonly Seen[]) => void): void =>
  fc.assert(
    fc.property(script, (steps) => play(steps).forEach(holds)),
    RUNS,
  );

describe("whatever arrives", () => {
  it("D1: an assigned delivery stays with its courier until the store says otherwise", () => {
    always(({ before, message: m, after }) => {
      if (before.at !== "assigned" || after.at !== "assigned") return;
      if (before.courier === after.courier) return;
      expect(["changed", "resumed", "superseded"]).toContain(m.type);
    });
  });

  it("D4: every decline is answered exactly once, and its repeat says the same and changes nothing", () => {
    always(({ message: m, after, effects }) => {
      const answers = effects.filter((effect) => effect.do === "answer");
      expect(answers.length).toBe(m.type === "declined" ? 1 : 0);
      if (m.type !== "declined") return;
      const [same, ...again] = actor.step(after, m, T0);
      expect(same).toBe(after);
      expect(again).toEqual(answers);
    });
  });

  it("D5: an ended delivery never moves again", () => {
    always(({ before, after }) => {
      const status = PUBLIC_STATUS[before.at];
      const isOver = status !== null && "id" in before;
      if (isOver) expect(after).toBe(before);
    });
  });

  it("D7: whoever is held or offered is confirmed, released, lapsed or still known", () => {
    const known = (state: Delivery): readonly CourierId[] => {
      if (!("search" in state) || state.search === null) return [];
      const { live, phase } = state.search;
      const held = phase.at === "holding" ? [...phase.asking, ...phase.granted] : [];
      return [...live, ...held].map((one) => one.courier);
    };
    always(({ before, message: m, after, effects }) => {
      const told = effects.flatMap((e) => (e.do === "send" ? [e.post.id] : []));
      const lapses = m.type === "woke" || m.type === "refused";
      for (const one of known(before)) {
        const isWinner = "courier" in after && after.courier === one;
        const isSettled = lapses || isWinner || told.includes(one) || known(after).includes(one);
        expect(isSettled, `${one} is forgotten by ${m.type} in ${before.at}`).toBe(true);
      }
    });
  });

  it("a message that changes nothing and asks for nothing gives the very same state back", () => {
    always(({ before, after, effects }) => {
      if (effects.length > 0) return;
      if (JSON.stringify(before) === JSON.stringify(after)) expect(after).toBe(before);
    });
  });

  it("there is at most one commit in a step, and nobody is asked twice in a search", () => {
    always(({ after, effects }) => {
      expect(effects.filter((effect) => effect.do === "commit").length).toBeLessThanOrEqual(1);
      if (!("search" in after) || after.search === null) return;
      expect(new Set(after.search.asked).size).toBe(after.search.asked.length);
    });
  });

  it("being woken at the deadline moves the deadline on", () => {
    fc.assert(
      fc.property(script, (steps) => {
        const last = play(steps).at(-1)?.after;
        const due = last === undefined ? null : actor.deadline(last);
        if (last === undefined || due === null) return;
        const [next] = actor.step(last, { type: "woke" }, due);
        expect(actor.deadline(next) ?? Infinity).toBeGreaterThan(due);
      }),
      RUNS,
    );
  });
});
