/** Stories of one delivery: what it does as time passes and couriers answer, or do not. */
import { describe, expect, it } from "vitest";
import { SETTINGS, T0, courierId, drive, jobOf, rowOf, wordsOf } from "../sim/drive.ts";
import type { CourierId } from "../proto/ids.ts";
import { deliveryActor } from "./delivery.ts";
import { PUBLIC_STATUS, emptyDelivery } from "./delivery-state.ts";
import type { Delivery, DeliveryMessage } from "./delivery-state.ts";
import type { Effect, SearchQuery } from "./actor.ts";

const [A, B, C, D] = ["a", "b", "c", "d"].map(courierId) as [
  CourierId,
  CourierId,
  CourierId,
  CourierId,
];
const actor = deliveryActor(SETTINGS);
const DARK: DeliveryMessage = { type: "progress", courier: A, signal: "dark", distanceM: 900 };

/**
 * A delivery driven with a list of couriers that the next searches find, and couriers who grant
 * every hold.
 */
function story(initial: Delivery = emptyDelivery(jobOf().id)) {
  const one = drive(actor, initial);
  const answer = (couriers: readonly CourierId[]): readonly Effect[] =>
    one.send({
      type: "candidates",
      result: {
        radiusM: 0,
        candidates: couriers.map((courier) => ({ courier, distanceM: 10, etaS: 5 })),
        gates: {},
      },
    });
  const grant = (couriers: readonly CourierId[]): void => {
    for (const courier of couriers) one.send({ type: "held", courier, until: one.now() + 5_000 });
  };
  const begin = (couriers: readonly CourierId[]): void => {
    one.send({ type: "created", job: jobOf() });
    answer(couriers);
    grant(couriers);
  };
  return { ...one, answer, grant, begin };
}

const answerOf = (code: "ok" | "not_offered"): Effect => ({ do: "answer", code, online: null });
const queriesOf = (effects: readonly Effect[]): readonly SearchQuery[] =>
  effects.flatMap((effect) => (effect.do === "search" ? [effect.query] : []));
const sentOf = (effects: readonly Effect[]): readonly string[] =>
  effects.flatMap((e) => (e.do === "send" ? [`${e.post.msg.type} ${e.post.id}`] : []));
const roundsOf = (effects: readonly Effect[]) =>
  effects.flatMap((e) => (e.do === "commit" && e.write.kind === "round" ? [e.write] : []));

describe("the first wave", () => {
  it("asks the best three for a hold, records the round, and only then pushes the offers", () => {
    const it = story();
    it.send({ type: "created", job: jobOf() });
    expect(sentOf(it.answer([A, B, C, D]))).toEqual([`hold ${A}`, `hold ${B}`, `hold ${C}`]);
    it.grant([A, B]);
    const last = it.send({ type: "held", courier: C, until: 0 });
    expect(wordsOf(last)).toEqual(["commit round", "send offer", "send offer", "send offer"]);
    expect(roundsOf(last)[0]).toMatchObject({ wave: 1, asked: [A, B, C], version: 1 });
    const offers = last.flatMap((e) =>
      e.do === "send" && e.post.msg.type === "offer" ? [e.post.msg] : [],
    );
    expect(offers.map((offer) => offer.ordinal)).toEqual([1, 2, 3]);
    expect(offers[0]?.until).toBe(T0 + SETTINGS.OFFER_TTL_MS);
  });

  it("a refused hold takes the next candidate of the list", () => {
    const it = story();
    it.send({ type: "created", job: jobOf() });
    it.answer([A, B, C, D]);
    expect(sentOf(it.send({ type: "refused", courier: B, reason: "no_slots" }))).toEqual([
      `hold ${D}`,
    ]);
    it.grant([A, C]);
    expect(roundsOf(it.send({ type: "held", courier: D, until: 0 }))[0]?.asked).toEqual([A, C, D]);
  });

  it("a lost answer costs 250 ms: the wave goes out with who is held, and a late hold is released", () => {
    const it = story();
    it.send({ type: "created", job: jobOf() });
    it.answer([A, B, C]);
    it.grant([A, B]);
    expect(roundsOf(it.advance(SETTINGS.HOLD_WAIT_MS - 1))).toEqual([]);
    expect(roundsOf(it.advance(1))[0]?.asked).toEqual([A, B]);
    expect(sentOf(it.send({ type: "held", courier: C, until: 0 }))).toEqual([`release ${C}`]);
  });

  it("when nobody answers, the next candidates are asked", () => {
    const it = story();
    it.send({ type: "created", job: jobOf() });
    it.answer([A, B, C, D]);
    expect(sentOf(it.advance(SETTINGS.HOLD_WAIT_MS))).toEqual([`hold ${D}`]);
  });

  it("an empty reach opens the next one at once, without a timer", () => {
    const it = story();
    const looks = [
      ...queriesOf(it.send({ type: "created", job: jobOf() })),
      ...queriesOf(it.answer([])),
      ...queriesOf(it.answer([])),
    ];
    expect(looks.map((query) => query.radiusM)).toEqual([1_000, 2_500, 5_000]);
    expect(it.now()).toBe(T0);
  });
});

describe("later waves", () => {
  it("open after 2 s, wider, with nobody who was asked; earlier offers stay valid", () => {
    const it = story();
    it.begin([A]);
    const [query] = queriesOf(it.advance(SETTINGS.WAVE_MS));
    expect(query).toMatchObject({ radiusM: 2_500, exclude: [A] });
    it.answer([B]);
    const [round] = roundsOf(it.send({ type: "held", courier: B, until: 0 }));
    expect(round?.offers.map((offer) => offer.courier)).toEqual([A, B]);
  });

  it("whoever was asked last is shown the offer once more when nobody accepts: a message may be lost", () => {
    const it = story();
    it.begin([A, B]);
    expect(sentOf(it.advance(SETTINGS.WAVE_MS))).toEqual([`offer ${A}`, `offer ${B}`]);
  });

  it("a declined offer is not waited for: with the last one gone the next wave opens at once", () => {
    const it = story();
    it.begin([A, B]);
    expect(queriesOf(it.send({ type: "declined", courier: A, reason: null }))).toEqual([]);
    const [query] = queriesOf(it.send({ type: "declined", courier: B, reason: "too far" }));
    expect(query?.exclude).toEqual([A, B]);
  });

  it("D7: a decline is in the row before it is answered", () => {
    const it = story();
    it.begin([A, B]);
    const said = it.send({ type: "declined", courier: A, reason: null });
    expect(wordsOf(said)).toEqual(["commit round", "send release", "answer ok"]);
    expect(roundsOf(said)).toMatchObject([
      { wave: 1, asked: [A, B], nextAttemptAt: T0 + SETTINGS.WAVE_MS, reason: "searching" },
    ]);
    expect(roundsOf(said)[0]?.offers.map(({ courier }) => courier)).toEqual([B]);
  });

  it("D7: the decline of the last offer is in the row, too, with a look that is due at once", () => {
    const it = story();
    it.begin([A]);
    it.advance(100);
    const said = it.send({ type: "declined", courier: A, reason: null });
    expect(roundsOf(said)).toMatchObject([{ offers: [], asked: [A], nextAttemptAt: T0 + 100 }]);
  });

  it("a decline while others are asked for a hold says when the wave goes out without them", () => {
    const it = story();
    it.begin([A, B]);
    it.advance(SETTINGS.WAVE_MS);
    it.answer([C]);
    const [round] = roundsOf(it.send({ type: "declined", courier: A, reason: null }));
    expect(round?.nextAttemptAt).toBe(it.now() + SETTINGS.HOLD_WAIT_MS);
    expect(round?.offers.map(({ courier }) => courier)).toEqual([B]);
  });

  it("an offer that a courier gives back unseen does not count as asked", () => {
    const it = story();
    it.begin([A]);
    const [query] = queriesOf(it.send({ type: "refused", courier: A, reason: "no_slots" }));
    expect(query?.exclude).toEqual([]);
  });

  it("who gives an offer back is passed over in the look under way, and asked in a later wave", () => {
    const it = story();
    it.begin([A, B]);
    it.advance(SETTINGS.WAVE_MS);
    it.answer([C]);
    it.send({ type: "refused", courier: A, reason: "no_slots" });
    const [wider] = queriesOf(it.send({ type: "refused", courier: C, reason: "no_slots" }));
    expect(wider?.exclude.toSorted()).toEqual([A, B, C]);
    it.answer([D]);
    it.grant([D]);
    const [later] = queriesOf(it.advance(SETTINGS.WAVE_MS));
    expect(later?.exclude).toEqual([B, D]);
  });

  it("an offer nobody answers lapses after 20 s, and the search goes on without that courier", () => {
    const it = story();
    it.begin([A]);
    it.advance(SETTINGS.WAVE_MS);
    it.answer([]);
    it.answer([]);
    const [query] = queriesOf(it.advance(SETTINGS.OFFER_TTL_MS));
    expect(query).toMatchObject({ radiusM: 5_000, exclude: [A] });
  });
});

describe("nobody is free", () => {
  it("it waits in its cell's backlog, visibly, and is woken by a free courier", () => {
    const it = story();
    it.send({ type: "created", job: jobOf() });
    it.answer([]);
    it.answer([]);
    const parked = it.answer([]);
    expect(wordsOf(parked)).toEqual(["commit round", "send wait"]);
    expect(roundsOf(parked)[0]?.reason).toBe("no_courier_free");
    expect(it.state().at).toBe("waiting");
    expect(queriesOf(it.send({ type: "wake", courier: A }))[0]?.radiusM).toBe(5_000);
  });

  it("woken in vain, it waits again in the same place and records nothing", () => {
    const it = story();
    it.send({ type: "created", job: jobOf() });
    for (let look = 0; look < 3; look++) it.answer([]);
    it.send({ type: "wake", courier: A });
    const again = it.answer([]);
    expect(wordsOf(again)).toEqual(["send wait"]);
    expect(again.find((e) => e.do === "send")).toMatchObject({ post: { msg: { since: T0 } } });
  });

  it("a lost wake costs time only: it looks again by itself after 30 s", () => {
    const it = story();
    it.send({ type: "created", job: jobOf() });
    for (let look = 0; look < 3; look++) it.answer([]);
    expect(queriesOf(it.advance(SETTINGS.WAIT_LOOK_MS - 1))).toEqual([]);
    expect(queriesOf(it.advance(1))).toHaveLength(1);
  });

  it("D3: at its search deadline it becomes unfilled, with the reason, and lets everybody go", () => {
    const it = story();
    it.begin([A]);
    it.advance(jobOf().searchUntil - T0 - 1);
    const over = it.advance(1);
    expect(over).toContainEqual({
      do: "commit",
      write: { kind: "unfilled", delivery: jobOf().id, reason: "search_deadline" },
    });
    expect(it.state().at).toBe("unfilled");
    expect(actor.deadline(it.state())).toBeNull();
  });
});

describe("the accept", () => {
  it("the first one wins: it is confirmed, all others are released", () => {
    const it = story();
    it.begin([A, B, C]);
    const won = it.send({
      ...{ type: "changed", version: 2, status: "assigned", courier: B, at: T0, reason: null },
    });
    expect(sentOf(won)).toEqual([`release ${A}`, `release ${C}`, `confirm ${B}`]);
  });

  it("a commit that comes too late adopts the row: the winner is confirmed all the same", () => {
    const it = story();
    it.begin([A, B]);
    const row = rowOf({ status: "assigned", version: 2, courier: A, assignedAt: T0 });
    expect(sentOf(it.send({ type: "superseded", snapshot: row }))).toEqual([
      `release ${B}`,
      `confirm ${A}`,
    ]);
  });

  it("a new owner goes on from the row: its offers stay valid, and nobody is asked twice", () => {
    const it = story();
    const offers = [{ courier: A, until: T0 + 9_000, distanceM: 640, etaS: 120 }];
    const row = rowOf({ wave: 1, offers, asked: [A, B], nextAttemptAt: T0 + 500 });
    // Shown once more: the owner before may have died before it pushed them.
    expect(sentOf(it.send({ type: "resumed", snapshot: row }))).toEqual([`offer ${A}`]);
    expect(it.state().at).toBe("offered");
    expect(queriesOf(it.advance(500))[0]).toMatchObject({ radiusM: 2_500, exclude: [A, B] });
  });

  it("D7: a new owner shows nothing to who declined, whatever its courier's actor says", () => {
    const before = story();
    before.begin([A, B]);
    const [round] = roundsOf(before.send({ type: "declined", courier: A, reason: null }));
    const it = story();
    it.send({ type: "resumed", snapshot: rowOf({ ...round, status: "pending" }) });
    expect(it.log.flatMap((e) => sentOf([e]))).toEqual([`offer ${B}`]);
    it.send({ type: "refused", courier: A, reason: "no_slots" });
    expect(queriesOf(it.advance(SETTINGS.WAVE_MS))[0]?.exclude).toEqual([A, B]);
  });
});

describe("a delivery for later", () => {
  const HOUR_MS = 3_600_000;
  const job = jobOf(1, { searchUntil: T0 + HOUR_MS + SETTINGS.SEARCH_DEADLINE_MS });
  const restMs = HOUR_MS - SETTINGS.SEARCH_AHEAD_MS;

  it("rests until SEARCH_AHEAD_MS before it is ready, whatever wakes it", () => {
    const it = story();
    expect(it.send({ type: "created", job })).toEqual([]);
    expect(it.send({ type: "wake", courier: A })).toEqual([]);
    expect(it.send({ type: "woke" })).toEqual([]);
    expect(PUBLIC_STATUS[it.state().at]).toBe("pending");
    expect(it.advance(restMs - 1)).toEqual([]);
    expect(queriesOf(it.advance(1))).toHaveLength(1);
  });

  it("a new owner lets it rest as the row says", () => {
    const it = story();
    const row = rowOf({ job, nextAttemptAt: T0 + restMs + 1_000 });
    expect(it.send({ type: "resumed", snapshot: row })).toEqual([]);
    expect(it.advance(restMs + 999)).toEqual([]);
    expect(queriesOf(it.advance(1))).toHaveLength(1);
  });

  it("is searched for at once when it is ready sooner than that, or its search has begun", () => {
    const soon = jobOf(1, { searchUntil: T0 + 60_000 + SETTINGS.SEARCH_DEADLINE_MS });
    expect(queriesOf(story().send({ type: "created", job: soon }))).toHaveLength(1);
    const begun = rowOf({ job, nextAttemptAt: T0 });
    expect(queriesOf(story().send({ type: "resumed", snapshot: begun }))).toHaveLength(1);
  });
});

describe("the watch", () => {
  const assigned = () => {
    const it = story();
    it.begin([A, B]);
    it.send({ type: "changed", version: 2, status: "assigned", courier: A, at: T0, reason: null });
    return it;
  };

  it("a dark courier is warned about, then replaced, and keeps the delivery until the new one has it", () => {
    const it = assigned();
    it.send(DARK);
    expect(queriesOf(it.advance(SETTINGS.WARN_MS - 1))).toEqual([]);
    const [query] = queriesOf(it.advance(1));
    expect(query?.exclude).toEqual([A]);
    it.answer([C]);
    const [round] = roundsOf(it.send({ type: "held", courier: C, until: 0 }));
    expect(round).toMatchObject({ replacing: true, reason: "courier_dark", version: 2 });
    expect(it.state()).toMatchObject({ at: "assigned", courier: A });
    const over = it.send({
      ...{ type: "changed", version: 3, status: "assigned", courier: C, at: T0, reason: null },
    });
    expect(sentOf(over)).toEqual([`confirm ${C}`, `ended ${A}`]);
  });

  it("who declined before is not asked as a replacement; who merely lost the race is", () => {
    const it = story();
    it.begin([A, B, C]);
    it.send({ type: "declined", courier: B, reason: null });
    it.send({ type: "changed", version: 2, status: "assigned", courier: A, at: T0, reason: null });
    it.send(DARK);
    expect(queriesOf(it.advance(SETTINGS.WARN_MS))[0]?.exclude).toEqual([A, B]);
  });

  it("who declines when the race is over is not asked as a replacement either, whoever owns it then", () => {
    const it = story();
    it.begin([A, B, C]);
    it.send({ type: "changed", version: 2, status: "assigned", courier: A, at: T0, reason: null });
    expect(it.send({ type: "declined", courier: B, reason: null })).toEqual([answerOf("ok")]);
    expect(it.send({ type: "declined", courier: B, reason: null })).toEqual([answerOf("ok")]);
    it.send(DARK);
    expect(queriesOf(it.advance(SETTINGS.WARN_MS))[0]?.exclude).toEqual([A, B]);
    // C lost the race, and nobody has asked it anew: there is nothing that it could decline.
    expect(it.send({ type: "declined", courier: C, reason: null })).toEqual([
      answerOf("not_offered"),
    ]);
    it.answer([D]);
    it.grant([D]);
    const mended = it.send({ ...DARK, signal: "back" } as DeliveryMessage);
    expect(roundsOf(mended)[0]?.asked).toEqual([A, B, C, D]);
  });

  it("a courier who is back in time is not replaced", () => {
    const it = assigned();
    it.send(DARK);
    it.advance(SETTINGS.WARN_MS - 1);
    it.send({ ...DARK, signal: "back" } as DeliveryMessage);
    expect(queriesOf(it.advance(SETTINGS.WARN_MS))).toEqual([]);
  });

  it("a courier who is back while others are asked keeps it, and their offers are withdrawn", () => {
    const it = assigned();
    it.send(DARK);
    it.advance(SETTINGS.WARN_MS);
    it.answer([C]);
    it.grant([C]);
    const mended = it.send({ ...DARK, signal: "back" } as DeliveryMessage);
    expect(wordsOf(mended)).toEqual(["commit round", "send release"]);
    expect(roundsOf(mended)[0]).toMatchObject({ replacing: false, offers: [] });
  });

  it("a courier whose actor says nothing is confirmed again, and the row is read again", () => {
    const it = assigned();
    expect(wordsOf(it.advance(2 * SETTINGS.REMIND_MS))).toEqual(["reload", "send confirm"]);
  });
});

it("every state shows a status of the API, or none while nothing is known", () => {
  expect(PUBLIC_STATUS.waiting).toBe("pending");
  expect(Object.values(PUBLIC_STATUS).filter((status) => status === null)).toHaveLength(1);
});
