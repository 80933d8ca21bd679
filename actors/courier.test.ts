/** Stories of one courier: what it grants, believes, reports and forgets. */
import { describe, expect, it } from "vitest";
import { SETTINGS, T0, carriedOf, courierId, courierRow, deliveryId, drive } from "../sim/drive.ts";
import { jobOf, northM, openedOf, pingOf, wordsOf } from "../sim/drive.ts";
import type { Epoch } from "../proto/ids.ts";
import type { Effect } from "./actor.ts";
import { courierActor, emptyCourier } from "./courier.ts";
import type { Courier, CourierMessage } from "./courier-state.ts";

const ME = courierId("me");
const actor = courierActor(SETTINGS, 7 as Epoch);
const hold = (n: number): CourierMessage => ({ type: "hold", delivery: deliveryId(n), until: 0 });
const offer = (n: number, until: number): CourierMessage => ({
  ...{ type: "offer", job: jobOf(n), until, ordinal: 1, distanceM: 10, etaS: 5 },
});
const confirm = (n: number): CourierMessage => ({ type: "confirm", ...carriedOf(jobOf(n)) });

function story(more: Parameters<typeof courierRow>[1] = {}) {
  const me = drive(actor, emptyCourier(ME));
  me.send({ type: "loaded", snapshot: courierRow(ME, more), record: null });
  return { ...me, known: () => me.state() as Extract<Courier, { at: "known" }> };
}

const recordOf = (effects: readonly Effect[]) =>
  effects.flatMap((effect) => (effect.do === "index" ? [effect.record] : [])).at(-1);
const signalsOf = (effects: readonly Effect[]): readonly string[] =>
  effects.flatMap((e) =>
    e.do === "send" && e.post.msg.type === "progress" ? [e.post.msg.signal] : [],
  );

describe("holds and offers", () => {
  it("at most three at a time; the fourth is refused", () => {
    const me = story();
    const records = [1, 2, 3].map((n) => recordOf(me.send(hold(n)))?.slots);
    expect(records).toEqual([2, 1, 0]);
    expect(me.send(hold(4))).toMatchObject([{ post: { msg: { reason: "no_slots" } } }]);
  });

  it("D7: a hold without its offer ends by itself after 5 s", () => {
    const me = story();
    me.send(hold(1));
    expect(recordOf(me.advance(SETTINGS.HOLD_TTL_MS))?.slots).toBe(3);
  });

  it("D7: an offer ends by itself at its deadline, and the phone is told", () => {
    const me = story();
    me.send(openedOf("s1"));
    me.send(hold(1));
    me.send(offer(1, T0 + SETTINGS.OFFER_TTL_MS));
    expect(me.advance(SETTINGS.OFFER_TTL_MS)).toMatchObject([
      { frame: { type: "withdrawn", reason: "lapsed" } },
      { do: "index" },
    ]);
  });

  it("D7: no delivery keeps a courier for longer than an offer lasts, whatever it asks for", () => {
    const me = story();
    me.send(offer(1, T0 + 10 * SETTINGS.OFFER_TTL_MS));
    me.advance(SETTINGS.OFFER_TTL_MS);
    expect(me.known().holds).toEqual([]);
  });

  it("a new session is shown all live offers again, with what is left of their time", () => {
    const me = story();
    me.send(offer(1, T0 + SETTINGS.OFFER_TTL_MS));
    me.advance(4_000);
    const [shown] = me.send(openedOf("s1"));
    expect(shown).toMatchObject({ frame: { type: "offer", ttlMs: 16_000, epoch: 7 } });
  });

  it("loaded again under the same epoch it numbers its frames above those that the app has seen", () => {
    const numbersOf = (effects: readonly Effect[]): readonly number[] =>
      effects.flatMap((e) => (e.do === "notify" && "number" in e.frame ? [e.frame.number] : []));
    const me = story();
    const first = [1, 2, 3].flatMap((n) => numbersOf(me.send(openedOf(`s${n}`))));
    me.send(offer(1, T0 + SETTINGS.OFFER_TTL_MS));
    const seen = [4, 5, 6].flatMap((n) => numbersOf(me.send(openedOf(`s${n}`))));
    expect(first).toEqual([]);
    // It leaves memory, or a step throws, and it begins anew a while later.
    const again = actor.step(
      emptyCourier(ME),
      { type: "loaded", snapshot: courierRow(ME), record: null },
      T0 + 1_000,
    )[0];
    const [told] = actor.step(again, offer(2, T0 + SETTINGS.OFFER_TTL_MS), T0 + 1_000);
    const [, ...effects] = actor.step(told, openedOf("s7"), T0 + 1_000);
    expect(seen.length).toBeGreaterThan(0);
    expect(Math.min(...numbersOf(effects))).toBeGreaterThan(Math.max(...seen));
  });

  it("the old session's end changes nothing for the new one", () => {
    const me = story();
    me.send(openedOf("s1"));
    me.send(openedOf("s2"));
    me.send({ type: "closed", session: "s1" as never });
    expect(me.known().session?.session).toBe("s2");
  });

  it("a courier who can carry no more gives the other offers back, and their deliveries know it", () => {
    const me = story();
    me.send(openedOf("s1"));
    for (const n of [1, 2]) me.send(offer(n, T0 + 20_000));
    const taken = me.send(confirm(1));
    expect(wordsOf(taken)).toEqual(["notify withdrawn", "send refused", "index"]);
    expect(recordOf(taken)).toMatchObject({ slots: 0, active: 1 });
  });

  it("going off shift keeps the offers that are out, and takes no new ones", () => {
    const me = story();
    me.send(offer(1, T0 + 20_000));
    const off = me.send({ type: "shift", online: false });
    expect(wordsOf(off)).toEqual(["commit shift", "answer ok", "index"]);
    expect(me.known().holds).toHaveLength(1);
    expect(me.send(hold(2))).toMatchObject([{ post: { msg: { reason: "off_shift" } } }]);
  });
});

describe("pings", () => {
  it("a ping moves the record and is history; its repeat changes nothing", () => {
    const me = story();
    me.advance(10_000);
    const ping = pingOf(1, T0 + 10_000, northM(50));
    expect(wordsOf(me.send(ping))).toEqual(["history", "index"]);
    const before = me.state();
    expect(me.send(ping)).toEqual([]);
    expect(me.state()).toBe(before);
  });

  it("late, future and overtaken pings move nothing", () => {
    const me = story();
    me.advance(200_000);
    expect(wordsOf(me.send(pingOf(5, T0 + 200_000)))).toEqual(["history", "index"]);
    expect(me.send(pingOf(4, T0 + 199_000))).toEqual([]);
    expect(me.send(pingOf(6, T0 + 199_000))).toEqual([]);
    expect(me.send(pingOf(7, T0 + 200_000 + SETTINGS.PING_AHEAD_MAX_MS + 1))).toEqual([]);
  });

  it("an old ping of an offline batch is history only", () => {
    const me = story();
    me.advance(300_000);
    expect(wordsOf(me.send({ ...pingOf(1, T0 + 100_000), newest: false }))).toEqual(["history"]);
  });

  it("a jump is not believed, unless the next pings say the same", () => {
    const me = story();
    const far = (n: number) => pingOf(n, T0 + n * 1_000, northM(200_000 + n));
    me.advance(1_000);
    // The one record says that it is offered nothing for now.
    expect(wordsOf(me.send(far(1)))).toEqual(["index"]);
    me.advance(1_000);
    expect(wordsOf(me.send(far(2)))).toEqual([]);
    me.advance(1_000);
    expect(wordsOf(me.send(far(3)))).toEqual(["history", "index"]);
  });

  it("an app that was installed anew counts from 1 again", () => {
    const me = story();
    me.advance(10_000);
    me.send(pingOf(5_000, T0 + 10_000));
    me.advance(10_000);
    expect(wordsOf(me.send(pingOf(1, T0 + 20_000)))).toEqual(["history", "index"]);
    me.advance(10_000);
    expect(wordsOf(me.send(pingOf(2, T0 + 30_000)))).toEqual(["history", "index"]);
  });

  it("pings over REST are not numbered, and all count", () => {
    const me = story();
    for (const at of [10_000, 20_000]) {
      me.advance(10_000);
      expect(wordsOf(me.send(pingOf(0, T0 + at)))).toEqual(["history", "index"]);
    }
  });
});

describe("how it gets on", () => {
  const on = (metres: number, me: ReturnType<typeof story>, seq: number) => {
    me.advance(10_000);
    return signalsOf(me.send(pingOf(seq, me.now(), northM(metres))));
  };
  const carrying = () => {
    const me = story({ lastKnown: { ...northM(2_000), at: T0 } });
    me.send(confirm(1));
    return me;
  };

  it("arrival needs two pings in a row, and so does leaving", () => {
    const me = carrying();
    const walk = [300, 50, 100, 50, 40, 130, 100, 130, 140];
    const said = walk.map((metres, i) => on(metres, me, i + 1).join());
    expect(said).toEqual(["", "", "", "", "arrived_pickup", "", "", "", "left_pickup"]);
  });

  it("silence for 90 s is dark, once; the next ping brings it back", () => {
    const me = carrying();
    on(1_900, me, 1);
    expect(signalsOf(me.advance(SETTINGS.DARK_MS - 1)).filter((s) => s === "dark")).toEqual([]);
    expect(signalsOf(me.advance(1))).toEqual(["dark"]);
    expect(signalsOf(me.advance(10_000))).toEqual([]);
    expect(on(1_850, me, 2)).toEqual(["back"]);
  });

  it("a courier who does not come nearer for 3 minutes stands still, until it does", () => {
    const me = carrying();
    const said: string[] = [];
    on(1_900, me, 1);
    for (let n = 2; n <= 19; n++) {
      said.push(...signalsOf(me.advance(10_000)));
      said.push(...signalsOf(me.send(pingOf(n, me.now(), northM(1_900)))));
    }
    expect(said).toEqual(["moving", "moving", "moving", "still"]);
    expect(on(1_840, me, 20)).toEqual(["moving"]);
  });

  it("who moves 500 m further away than at best retreats, until half of it is made good", () => {
    const me = carrying();
    const said = [1_000, 1_499, 1_520, 1_400, 1_240].map((m, i) => on(m, me, i + 1).join());
    expect(said).toEqual(["", "", "retreating", "", "approaching"]);
  });

  it("waiting at the pickup is not standing still", () => {
    const me = carrying();
    on(20, me, 1);
    on(20, me, 2);
    const said: string[] = [];
    for (let n = 3; n <= 30; n++) said.push(...on(20, me, n));
    expect(said).toEqual([]);
  });

  it("a second delivery is not judged while the first is under way", () => {
    const me = story({ capacity: 2, lastKnown: { ...northM(100), at: T0 } });
    me.send({ type: "confirm", ...carriedOf(jobOf(1, { pickupLat: northM(9_000).lat })) });
    me.send(confirm(2));
    const said: string[] = [];
    for (let n = 1; n <= 30; n++) said.push(...on(300 + 100 * n, me, n));
    expect(said).toEqual([]);
  });

  it("once a minute it repeats how each delivery stands, so that a lost end heals (D7)", () => {
    const me = carrying();
    me.send({ type: "picked", delivery: deliveryId(1) });
    expect(signalsOf(me.advance(3 * SETTINGS.REMIND_MS))).toEqual(["moving", "moving", "moving"]);
    me.send({ type: "ended", delivery: deliveryId(1), reason: "delivered", tell: false });
    expect(actor.deadline(me.state())).toBeNull();
  });
});

describe("a new owner", () => {
  it("numbers its records above all of the owner before, even if it saw none of them", () => {
    const old = drive(courierActor(SETTINGS, 6 as Epoch), emptyCourier(ME));
    const before = old.send({ type: "loaded", snapshot: courierRow(ME), record: null });
    const now = actor.step(
      emptyCourier(ME),
      { type: "loaded", snapshot: courierRow(ME), record: null },
      T0,
    );
    const [, ...effects] = now;
    expect(recordOf(effects)?.no).toBeGreaterThan(recordOf(before)?.no ?? Infinity);
  });

  it("learns the session from the first ping, and shows the live offers", () => {
    const me = story();
    me.send(offer(1, T0 + 20_000));
    me.advance(1_000);
    const ping = { ...pingOf(1, T0 + 1_000), session: "s9" as never };
    expect(wordsOf(me.send(ping))).toEqual(["notify offer", "history", "index"]);
  });

  it("learns of a newer session from a newer ping when its opening was lost, never from a late one", () => {
    const me = story();
    me.send(openedOf("s1"));
    me.send(offer(1, T0 + 20_000));
    me.advance(1_000);
    const ping = { ...pingOf(5, T0 + 1_000), session: "s2" as never };
    expect(wordsOf(me.send(ping))).toEqual(["notify offer", "history", "index"]);
    me.advance(1_000);
    const late = { ...pingOf(4, T0 + 900), session: "s1" as never };
    expect(wordsOf(me.send(late))).toEqual([]);
    const next = { ...pingOf(6, T0 + 2_000), session: "s2" as never };
    expect(wordsOf(me.send(next))).toEqual(["history", "index"]);
  });
});
