/**
 * The full table of the courier: every standing against every message, with the variants that
 * matter. Cells as in `delivery.table.test.ts`: `-` is the very same state and silence, `=` the
 * very same state.
 */
import { describe, expect, it } from "vitest";
import { SETTINGS, T0, carriedOf, courierId, courierRow } from "../sim/drive.ts";
import { deliveryId, jobOf, openedOf, outcomeOf, pingOf } from "../sim/drive.ts";
import type { Epoch, SessionId } from "../proto/ids.ts";
import { courierActor, emptyCourier } from "./courier.ts";
import { standingOf } from "./courier-state.ts";
import type { Courier, CourierMessage, Offer, Standing } from "./courier-state.ts";

const actor = courierActor(SETTINGS, 3 as Epoch);
const ME = courierId("me");
const OTHER = deliveryId(2);
const NEW = deliveryId(3);

const run = (messages: readonly CourierMessage[], from: Courier = emptyCourier(ME)) =>
  messages.reduce((state, message) => actor.step(state, message, T0)[0], from);

const loaded = (more: Parameters<typeof courierRow>[1] = {}): CourierMessage => ({
  type: "loaded",
  snapshot: courierRow(ME, more),
  record: null,
});
const hold = (n: number): CourierMessage => ({
  type: "hold",
  delivery: deliveryId(n),
  until: T0 + 5_000,
});
const offer = (n: number): Offer => ({
  type: "offer",
  job: jobOf(n),
  until: T0 + 20_000,
  ordinal: 1,
  distanceM: 10,
  etaS: 5,
});
const confirm = (n: number, pickedUp = false): CourierMessage => ({
  type: "confirm",
  ...carriedOf(jobOf(n), pickedUp),
});
const release = (n: number): CourierMessage => ({
  type: "release",
  delivery: deliveryId(n),
  reason: "taken",
});
const open = openedOf("s1");

/**
 * `held` has an offer of delivery 1 on the phone; `carrying` has delivery 1 and room for one more.
 */
const STATES: Record<Standing, Courier> = {
  empty: emptyCourier(ME),
  off_shift: run([loaded({ online: false }), open]),
  free: run([loaded(), open]),
  held: run([loaded(), open, hold(1), offer(1)]),
  carrying: run([loaded({ capacity: 2 }), open, confirm(1)]),
};

const MESSAGES = {
  loaded: loaded(),
  "opened, same session": open,
  "opened, new session": openedOf("s2"),
  "closed, own session": { type: "closed", session: "s1" as SessionId },
  "closed, old session": { type: "closed", session: "s0" as SessionId },
  "shift on": { type: "shift", online: true },
  "shift off": { type: "shift", online: false },
  "ping, newer": pingOf(1, T0 + 500),
  "ping, not newer": pingOf(1, T0 - 500),
  "ping, from the future": pingOf(1, T0 + 60_000),
  "ping, teleported": pingOf(1, T0 + 500, { lng: 0, lat: 0 }),
  "ping, of an offline batch": { ...pingOf(1, T0 - 500), newest: false },
  "hold, delivery 1": hold(1),
  "hold, another": hold(3),
  "offer, delivery 1": offer(1),
  "offer, another": offer(3),
  "offer, too late": { ...offer(3), until: T0 },
  "release, delivery 1": release(1),
  "release, another": release(2),
  "confirm, delivery 1": confirm(1),
  "confirm, another": confirm(3),
  "confirm, picked up": confirm(1, true),
  "picked, delivery 1": { type: "picked", delivery: deliveryId(1) },
  "picked, another": { type: "picked", delivery: OTHER },
  "ended, delivery 1": { type: "ended", delivery: deliveryId(1), reason: "canceled", tell: true },
  "ended, quietly": { type: "ended", delivery: deliveryId(1), reason: "delivered", tell: false },
  "ended, another": { type: "ended", delivery: NEW, reason: "canceled", tell: true },
  "profile, same": { type: "profile", vehicle: "bike", capacity: 1 },
  "profile, changed": { type: "profile", vehicle: "car", capacity: 3 },
  "woke, early": { type: "woke" },
} as const satisfies Record<string, CourierMessage>;
type Column = keyof typeof MESSAGES;

const TABLE: Record<Standing, Record<Column, string>> = {
  empty: {
    loaded: "free: index",
    "opened, same session": "-",
    "opened, new session": "-",
    "closed, own session": "-",
    "closed, old session": "-",
    "shift on": "=: answer not_found",
    "shift off": "=: answer not_found",
    "ping, newer": "-",
    "ping, not newer": "-",
    "ping, from the future": "-",
    "ping, teleported": "-",
    "ping, of an offline batch": "-",
    "hold, delivery 1": "=: send refused",
    "hold, another": "=: send refused",
    "offer, delivery 1": "-",
    "offer, another": "-",
    "offer, too late": "-",
    "release, delivery 1": "-",
    "release, another": "-",
    "confirm, delivery 1": "-",
    "confirm, another": "-",
    "confirm, picked up": "-",
    "picked, delivery 1": "-",
    "picked, another": "-",
    "ended, delivery 1": "-",
    "ended, quietly": "-",
    "ended, another": "-",
    "profile, same": "off_shift: index",
    "profile, changed": "off_shift: index",
    "woke, early": "-",
  },
  off_shift: {
    loaded: "-",
    "opened, same session": "-",
    "opened, new session": "off_shift",
    "closed, own session": "off_shift",
    "closed, old session": "-",
    "shift on": "free: commit shift, answer ok, index",
    "shift off": "=: answer ok",
    "ping, newer": "off_shift: history, index",
    "ping, not newer": "-",
    "ping, from the future": "-",
    "ping, teleported": "off_shift: index",
    "ping, of an offline batch": "off_shift: history",
    "hold, delivery 1": "=: send refused",
    "hold, another": "=: send refused",
    "offer, delivery 1": "=: send refused",
    "offer, another": "=: send refused",
    "offer, too late": "-",
    "release, delivery 1": "-",
    "release, another": "-",
    "confirm, delivery 1": "carrying: index",
    "confirm, another": "carrying: index",
    "confirm, picked up": "carrying: index",
    "picked, delivery 1": "-",
    "picked, another": "-",
    "ended, delivery 1": "-",
    "ended, quietly": "-",
    "ended, another": "-",
    "profile, same": "-",
    "profile, changed": "off_shift: index",
    "woke, early": "-",
  },
  free: {
    loaded: "-",
    "opened, same session": "-",
    "opened, new session": "free",
    "closed, own session": "free",
    "closed, old session": "-",
    "shift on": "=: answer ok",
    "shift off": "off_shift: commit shift, answer ok, index",
    "ping, newer": "free: history, index",
    "ping, not newer": "-",
    "ping, from the future": "-",
    "ping, teleported": "free: index",
    "ping, of an offline batch": "free: history",
    "hold, delivery 1": "held: send held, index",
    "hold, another": "held: send held, index",
    "offer, delivery 1": "held: notify offer, index",
    "offer, another": "held: notify offer, index",
    "offer, too late": "-",
    "release, delivery 1": "-",
    "release, another": "-",
    "confirm, delivery 1": "carrying: index",
    "confirm, another": "carrying: index",
    "confirm, picked up": "carrying: index",
    "picked, delivery 1": "-",
    "picked, another": "-",
    "ended, delivery 1": "-",
    "ended, quietly": "-",
    "ended, another": "-",
    "profile, same": "-",
    "profile, changed": "free: index",
    "woke, early": "-",
  },
  held: {
    loaded: "-",
    "opened, same session": "held: notify offer",
    "opened, new session": "held: notify offer",
    "closed, own session": "held",
    "closed, old session": "-",
    "shift on": "=: answer ok",
    "shift off": "held: commit shift, answer ok, index",
    "ping, newer": "held: history, index",
    "ping, not newer": "-",
    "ping, from the future": "-",
    "ping, teleported": "held: index",
    "ping, of an offline batch": "held: history",
    "hold, delivery 1": "=: send held",
    "hold, another": "held: send held, index",
    "offer, delivery 1": "-",
    "offer, another": "held: notify offer, index",
    "offer, too late": "-",
    "release, delivery 1": "free: notify withdrawn, index",
    "release, another": "-",
    "confirm, delivery 1": "carrying: index",
    "confirm, another": "carrying: notify withdrawn, send refused, index",
    "confirm, picked up": "carrying: index",
    "picked, delivery 1": "-",
    "picked, another": "-",
    "ended, delivery 1": "free: notify withdrawn, index",
    "ended, quietly": "free: notify withdrawn, index",
    "ended, another": "-",
    "profile, same": "-",
    "profile, changed": "held: index",
    "woke, early": "-",
  },
  carrying: {
    loaded: "-",
    "opened, same session": "-",
    "opened, new session": "carrying",
    "closed, own session": "carrying",
    "closed, old session": "-",
    "shift on": "=: answer ok",
    "shift off": "carrying: commit shift, answer ok, index",
    "ping, newer": "carrying: history, index",
    "ping, not newer": "-",
    "ping, from the future": "-",
    "ping, teleported": "carrying: index",
    "ping, of an offline batch": "carrying: history",
    "hold, delivery 1": "=: send refused",
    "hold, another": "carrying: send held, index",
    "offer, delivery 1": "-",
    "offer, another": "carrying: notify offer, index",
    "offer, too late": "-",
    "release, delivery 1": "-",
    "release, another": "-",
    "confirm, delivery 1": "-",
    "confirm, another": "carrying: index",
    "confirm, picked up": "carrying",
    "picked, delivery 1": "carrying",
    "picked, another": "-",
    "ended, delivery 1": "free: notify assignment_over, index",
    "ended, quietly": "free: index",
    "ended, another": "-",
    "profile, same": "carrying: index",
    "profile, changed": "carrying: index",
    "woke, early": "-",
  },
};

describe("the courier's table", () => {
  for (const [row, state] of Object.entries(STATES) as [Standing, Courier][]) {
    it(`courier ${row}: every message does what the table says`, () => {
      const outcomes: Record<string, string> = {};
      for (const [column, message] of Object.entries(MESSAGES)) {
        const [next, ...effects] = actor.step(state, message, T0 + 1_000);
        outcomes[column] = outcomeOf(state, next, standingOf(next), effects);
      }
      expect(outcomes).toEqual(TABLE[row]);
    });
  }

  it("the states of the table are in the state that their row names", () => {
    for (const [row, state] of Object.entries(STATES)) {
      expect(standingOf(state)).toBe(row);
    }
  });
});
