/** What holds for a courier whatever arrives; see `delivery.property.test.ts`. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { SETTINGS, T0, carriedOf, courierId, courierRow, deliveryId } from "../sim/drive.ts";
import { jobOf, northM, openedOf, pingOf } from "../sim/drive.ts";
import type { Epoch, SessionId } from "../proto/ids.ts";
import type { Effect } from "./actor.ts";
import { courierActor, emptyCourier } from "./courier.ts";
import type { Courier, CourierMessage } from "./courier-state.ts";

const actor = courierActor(SETTINGS, 1 as Epoch);
const ME = courierId("me");
const n = fc.integer({ min: 1, max: 5 });
const loaded: CourierMessage = {
  type: "loaded",
  snapshot: courierRow(ME, { capacity: 2 }),
  record: null,
};

const message: fc.Arbitrary<CourierMessage> = fc.oneof(
  { weight: 4, arbitrary: fc.constant<CourierMessage>({ type: "woke" }) },
  { weight: 4, arbitrary: fc.constant(loaded) },
  {
    weight: 4,
    arbitrary: n.map((d): CourierMessage => ({
      ...{ type: "hold", delivery: deliveryId(d), until: T0 + 1e9 },
    })),
  },
  {
    weight: 4,
    arbitrary: fc.tuple(n, fc.integer({ min: 0, max: 1e9 })).map(([d, ms]): CourierMessage => ({
      ...{ type: "offer", job: jobOf(d), until: T0 + ms, ordinal: 1, distanceM: 1, etaS: 1 },
    })),
  },
  n.map((d): CourierMessage => ({ type: "release", delivery: deliveryId(d), reason: "taken" })),
  fc
    .tuple(n, fc.boolean())
    .map(([d, picked]): CourierMessage => ({ type: "confirm", ...carriedOf(jobOf(d), picked) })),
  n.map((d): CourierMessage => ({ type: "picked", delivery: deliveryId(d) })),
  fc.tuple(n, fc.boolean()).map(([d, tell]): CourierMessage => ({
    ...{ type: "ended", delivery: deliveryId(d), reason: "over", tell },
  })),
  fc.boolean().map((online): CourierMessage => ({ type: "shift", online })),
  n.map((s): CourierMessage => openedOf(`s${s}`)),
  n.map((s): CourierMessage => ({ type: "closed", session: `s${s}` as SessionId })),
  fc
    .tuple(
      fc.integer({ min: 0, max: 300 }),
      fc.integer({ min: 0, max: 600_000 }),
      fc.integer({ min: 0, max: 5_000 }),
    )
    .map(([seq, ms, metres]): CourierMessage => pingOf(seq, T0 + ms, northM(metres))),
);
const script = fc.array(fc.tuple(message, fc.integer({ min: 0, max: 20_000 })), { maxLength: 60 });
const RUNS = { seed: 20_261_122, numRuns: 1_000 };

type Seen = {
  readonly before: Courier;
  readonly message: CourierMessage;
  readonly after: Courier;
  readonly effects: readonly Effect[];
  readonly now: number;
};

function play(steps: readonly (readonly [CourierMessage, number])[]): Seen[] {
  let state: Courier = emptyCourier(ME);
  let now = T0;
  return steps.map(([one, ms]) => {
    now += ms;
    const before = state;
    const [after, ...effects] = actor.step(before, one, now);
    state = after;
    return { before, message: one, after, effects, now };
  });
}

const always = (holds: (seen: Seen) => void): void =>
  fc.assert(
    fc.property(script, (steps) => play(steps).forEach(holds)),
    RUNS,
  );

describe("whatever arrives", () => {
  it("D7: no hold is longer than an offer lasts, and there are never more than three", () => {
    always(({ after, now }) => {
      if (after.at === "empty") return;
      expect(after.holds.length).toBeLessThanOrEqual(SETTINGS.OFFERS_PARALLEL_MAX);
      for (const hold of after.holds) {
        expect(hold.until).toBeLessThanOrEqual(now + SETTINGS.OFFER_TTL_MS);
      }
    });
  });

  it("D7: after every sequence of messages, time alone ends all holds", () => {
    fc.assert(
      fc.property(script, (steps) => {
        const last = play(steps).at(-1);
        if (last === undefined) return;
        let state = last.after;
        const until = last.now + SETTINGS.OFFER_TTL_MS;
        for (let woken = 0; woken < 1_000; woken++) {
          const due = actor.deadline(state);
          if (due === null || due > until) break;
          [state] = actor.step(state, { type: "woke" }, Math.max(due, last.now));
        }
        expect(state.at === "known" ? state.holds : []).toEqual([]);
      }),
      RUNS,
    );
  });

  it("D2: a courier who carries as much as it can has no slots and no holds", () => {
    always(({ after, effects }) => {
      if (after.at === "empty" || after.active.length < after.capacity) return;
      expect(after.holds).toEqual([]);
      const records = effects.flatMap((effect) => (effect.do === "index" ? [effect.record] : []));
      expect(records.every((record) => record.slots === 0)).toBe(true);
    });
  });

  it("D4: a repeated message gives the same answer and changes nothing further", () => {
    always(({ message: m, after, effects, now }) => {
      if (m.type === "ping" || m.type === "woke" || m.type === "loaded") return;
      // Shows live offers once more, with the next frame number: frames may have been lost.
      if (m.type === "opened") return;
      const [same, ...again] = actor.step(after, m, now);
      expect(JSON.stringify(same)).toBe(JSON.stringify(after));
      const answers = effects.filter((effect) => effect.do === "answer");
      expect(again.filter((effect) => effect.do === "answer")).toEqual(answers);
    });
  });

  it("D6: the position never goes back in time, and records are numbered upwards", () => {
    always(({ before, after }) => {
      if (before.at === "empty" || after.at === "empty") return;
      expect(after.recordNo).toBeGreaterThanOrEqual(before.recordNo);
      expect(after.track.position?.at ?? 0).toBeGreaterThanOrEqual(before.track.position?.at ?? 0);
    });
  });

  it("a record is published whenever what the cells see has changed, and only then", () => {
    always(({ before, after, effects }) => {
      if (before.at === "empty" || after.at === "empty") return;
      const isPublished = effects.some((effect) => effect.do === "index");
      expect(isPublished).toBe(after.recordNo !== before.recordNo);
    });
  });

  it("being woken at the deadline moves the deadline on", () => {
    always(({ after }) => {
      const due = actor.deadline(after);
      if (due === null) return;
      const [next] = actor.step(after, { type: "woke" }, due);
      expect(actor.deadline(next) ?? Infinity).toBeGreaterThan(due);
    });
  });
});
