/**
 * The full table of the delivery: every state against every message, with the variants that matter.
 * A cell says `-` where the very same state comes back and nothing is said; else the new state
 * (`=`: the very same) and what is asked for, ledger lines left out. A new state or message does
 * not compile until its cells exist.
 */
import { describe, expect, it } from "vitest";
import { SETTINGS, T0, courierId, jobOf, outcomeOf, rowOf } from "../sim/drive.ts";
import { deliveryActor } from "./delivery.ts";
import { emptyDelivery } from "./delivery-state.ts";
import type { Delivery, DeliveryMessage } from "./delivery-state.ts";

const actor = deliveryActor(SETTINGS);
const A = courierId("a");
const B = courierId("b");
const C = courierId("c");
const STRANGER = courierId("stranger");
const candidate = (courier: typeof A) => ({ courier, distanceM: 100, etaS: 60 });

/** The moment at which the messages arrive: the first wave has been out for a second. */
const NOW = T0 + 1_000;

const run = (messages: readonly DeliveryMessage[], from: Delivery = emptyDelivery(jobOf().id)) =>
  messages.reduce((state, message) => actor.step(state, message, T0)[0], from);

const created: DeliveryMessage = { type: "created", job: jobOf() };
const found: DeliveryMessage = {
  type: "candidates",
  result: { radiusM: 1_000, candidates: [candidate(A), candidate(B)], gates: {} },
};
const nobody: DeliveryMessage = {
  type: "candidates",
  result: { radiusM: 1_000, candidates: [], gates: {} },
};
const held = (courier: typeof A): DeliveryMessage => ({ type: "held", courier, until: T0 + 5_000 });
const changed = (
  status: "assigned" | "picked_up" | "delivered" | "canceled" | "returned",
  version: number,
  courier: typeof A | null = A,
): DeliveryMessage => ({ type: "changed", version, status, courier, at: T0, reason: null });

const OFFERED = run([created, found, held(A), held(B)]);
const ASSIGNED = run([changed("assigned", 2)], OFFERED);
const REPLACING = (() => {
  const dark = run([{ type: "progress", courier: A, signal: "dark", distanceM: 900 }], ASSIGNED);
  const [seeking] = actor.step(dark, { type: "woke" }, T0 + SETTINGS.WARN_MS);
  const some = { ...found.result, candidates: [candidate(C)] };
  return run([{ type: "candidates", result: some }, held(C)], seeking);
})();

type Row = Delivery["at"] | "searching (holding)" | "assigned (replacing)";
const STATES: Record<Row, Delivery> = {
  empty: emptyDelivery(jobOf().id),
  searching: run([created]),
  "searching (holding)": run([created, found]),
  offered: OFFERED,
  waiting: run([created, nobody, nobody, nobody]),
  assigned: ASSIGNED,
  "assigned (replacing)": REPLACING,
  picked_up: run([changed("picked_up", 3)], ASSIGNED),
  delivered: run([changed("picked_up", 3), changed("delivered", 4)], ASSIGNED),
  canceled: run([changed("canceled", 2, null)], OFFERED),
  unfilled: actor.step(run([created]), { type: "woke" }, jobOf().searchUntil)[0],
  returned: run([changed("picked_up", 3), changed("returned", 4)], ASSIGNED),
};

const MESSAGES = {
  created,
  "resumed, same version": { type: "resumed", snapshot: rowOf() },
  "resumed, newer": {
    type: "resumed",
    snapshot: rowOf({ status: "assigned", version: 9, courier: B, assignedAt: T0 }),
  },
  "superseded by a cancel": {
    type: "superseded",
    snapshot: rowOf({ status: "canceled", version: 9 }),
  },
  "superseded, row gone": { type: "superseded", snapshot: null },
  "changed to assigned": changed("assigned", 9, B),
  "changed to picked_up": changed("picked_up", 9, A),
  "changed to delivered": changed("delivered", 9, A),
  "changed to canceled": changed("canceled", 9, null),
  "changed, old version": changed("canceled", 1, null),
  "candidates, some": found,
  "candidates, none": nobody,
  "held, asked": held(A),
  "held, stranger": held(STRANGER),
  refused: { type: "refused", courier: A, reason: "no_slots" },
  "declined by an offered one": { type: "declined", courier: B, reason: null },
  "declined by a stranger": { type: "declined", courier: STRANGER, reason: null },
  "progress dark": { type: "progress", courier: A, signal: "dark", distanceM: 900 },
  "progress moving": { type: "progress", courier: A, signal: "moving", distanceM: 900 },
  "progress arrived": { type: "progress", courier: A, signal: "arrived_pickup", distanceM: 9 },
  "progress of a stranger": {
    type: "progress",
    courier: STRANGER,
    signal: "moving",
    distanceM: 900,
  },
  wake: { type: "wake", courier: C },
  woke: { type: "woke" },
} as const satisfies Record<string, DeliveryMessage>;
type Column = keyof typeof MESSAGES;

const ENDED: Record<Column, string> = {
  created: "-",
  "resumed, same version": "-",
  "resumed, newer": "-",
  "superseded by a cancel": "-",
  "superseded, row gone": "-",
  "changed to assigned": "-",
  "changed to picked_up": "-",
  "changed to delivered": "-",
  "changed to canceled": "-",
  "changed, old version": "-",
  "candidates, some": "-",
  "candidates, none": "-",
  "held, asked": "=: send release",
  "held, stranger": "=: send release",
  refused: "-",
  "declined by an offered one": "=: answer delivery_over",
  "declined by a stranger": "=: answer delivery_over",
  "progress dark": "=: send ended",
  "progress moving": "=: send ended",
  "progress arrived": "=: send ended",
  "progress of a stranger": "=: send ended",
  wake: "-",
  woke: "-",
};

const TABLE: Record<Row, Record<Column, string>> = {
  empty: {
    created: "searching: search",
    "resumed, same version": "searching: search",
    "resumed, newer": "assigned: send confirm",
    "superseded by a cancel": "-",
    "superseded, row gone": "-",
    "changed to assigned": "-",
    "changed to picked_up": "-",
    "changed to delivered": "-",
    "changed to canceled": "-",
    "changed, old version": "-",
    "candidates, some": "-",
    "candidates, none": "-",
    "held, asked": "-",
    "held, stranger": "-",
    refused: "-",
    "declined by an offered one": "=: answer not_found",
    "declined by a stranger": "=: answer not_found",
    "progress dark": "-",
    "progress moving": "-",
    "progress arrived": "-",
    "progress of a stranger": "-",
    wake: "-",
    woke: "-",
  },
  searching: {
    created: "-",
    "resumed, same version": "-",
    "resumed, newer": "assigned: send confirm",
    "superseded by a cancel": "canceled",
    "superseded, row gone": "canceled",
    "changed to assigned": "assigned: send confirm",
    "changed to picked_up": "picked_up: send confirm",
    "changed to delivered": "delivered: send ended",
    "changed to canceled": "canceled",
    "changed, old version": "-",
    "candidates, some": "searching: send hold, send hold",
    "candidates, none": "searching: search",
    "held, asked": "=: send release",
    "held, stranger": "=: send release",
    refused: "-",
    "declined by an offered one": "=: answer not_offered",
    "declined by a stranger": "=: answer not_offered",
    "progress dark": "=: reload",
    "progress moving": "=: reload",
    "progress arrived": "=: reload",
    "progress of a stranger": "=: reload",
    wake: "-",
    woke: "-",
  },
  "searching (holding)": {
    created: "-",
    "resumed, same version": "-",
    "resumed, newer": "assigned: send release, send confirm",
    "superseded by a cancel": "canceled: send release, send release",
    "superseded, row gone": "canceled: send release, send release",
    "changed to assigned": "assigned: send release, send confirm",
    "changed to picked_up": "picked_up: send release, send confirm",
    "changed to delivered": "delivered: send release, send release, send ended",
    "changed to canceled": "canceled: send release, send release",
    "changed, old version": "-",
    "candidates, some": "-",
    "candidates, none": "-",
    "held, asked": "searching",
    "held, stranger": "=: send release",
    refused: "searching",
    "declined by an offered one": "=: answer not_offered",
    "declined by a stranger": "=: answer not_offered",
    "progress dark": "=: reload",
    "progress moving": "=: reload",
    "progress arrived": "=: reload",
    "progress of a stranger": "=: reload",
    wake: "-",
    woke: "searching: search",
  },
  offered: {
    created: "-",
    "resumed, same version": "-",
    "resumed, newer": "assigned: send release, send confirm",
    "superseded by a cancel": "canceled: send release, send release",
    "superseded, row gone": "canceled: send release, send release",
    "changed to assigned": "assigned: send release, send confirm",
    "changed to picked_up": "picked_up: send release, send confirm",
    "changed to delivered": "delivered: send release, send release, send ended",
    "changed to canceled": "canceled: send release, send release",
    "changed, old version": "-",
    "candidates, some": "-",
    "candidates, none": "-",
    "held, asked": "-",
    "held, stranger": "=: send release",
    refused: "offered",
    "declined by an offered one": "offered: commit round, send release, answer ok",
    "declined by a stranger": "=: answer not_offered",
    "progress dark": "=: reload",
    "progress moving": "=: reload",
    "progress arrived": "=: reload",
    "progress of a stranger": "=: reload",
    wake: "-",
    woke: "-",
  },
  waiting: {
    created: "-",
    "resumed, same version": "-",
    "resumed, newer": "assigned: send leave, send confirm",
    "superseded by a cancel": "canceled: send leave",
    "superseded, row gone": "canceled: send leave",
    "changed to assigned": "assigned: send leave, send confirm",
    "changed to picked_up": "picked_up: send leave, send confirm",
    "changed to delivered": "delivered: send leave, send ended",
    "changed to canceled": "canceled: send leave",
    "changed, old version": "-",
    "candidates, some": "-",
    "candidates, none": "-",
    "held, asked": "=: send release",
    "held, stranger": "=: send release",
    refused: "-",
    "declined by an offered one": "=: answer not_offered",
    "declined by a stranger": "=: answer not_offered",
    "progress dark": "=: reload",
    "progress moving": "=: reload",
    "progress arrived": "=: reload",
    "progress of a stranger": "=: reload",
    wake: "searching: search",
    woke: "-",
  },
  assigned: {
    created: "-",
    "resumed, same version": "-",
    "resumed, newer": "assigned: send confirm, send ended",
    "superseded by a cancel": "canceled: send ended",
    "superseded, row gone": "canceled: send ended",
    "changed to assigned": "assigned: send confirm, send ended",
    "changed to picked_up": "picked_up: send picked",
    "changed to delivered": "delivered: send ended",
    "changed to canceled": "canceled: send ended",
    "changed, old version": "-",
    "candidates, some": "-",
    "candidates, none": "-",
    "held, asked": "-",
    "held, stranger": "=: send release",
    refused: "-",
    "declined by an offered one": "assigned: answer ok",
    "declined by a stranger": "=: answer not_offered",
    "progress dark": "assigned",
    "progress moving": "assigned",
    "progress arrived": "assigned",
    "progress of a stranger": "=: send ended, reload",
    wake: "-",
    woke: "-",
  },
  "assigned (replacing)": {
    created: "-",
    "resumed, same version": "-",
    "resumed, newer": "assigned: send release, send confirm, send ended",
    "superseded by a cancel": "canceled: send release, send ended",
    "superseded, row gone": "canceled: send release, send ended",
    "changed to assigned": "assigned: send release, send confirm, send ended",
    "changed to picked_up": "picked_up: send release, send picked",
    "changed to delivered": "delivered: send release, send ended",
    "changed to canceled": "canceled: send release, send ended",
    "changed, old version": "-",
    "candidates, some": "-",
    "candidates, none": "-",
    "held, asked": "=: send release",
    "held, stranger": "=: send release",
    refused: "-",
    "declined by an offered one": "=: answer not_offered",
    "declined by a stranger": "=: answer not_offered",
    "progress dark": "-",
    "progress moving": "assigned: commit round, send release",
    "progress arrived": "assigned: commit round, send release",
    "progress of a stranger": "=: send ended, reload",
    wake: "-",
    woke: "-",
  },
  picked_up: {
    created: "-",
    "resumed, same version": "-",
    "resumed, newer": "-",
    "superseded by a cancel": "canceled: send ended",
    "superseded, row gone": "canceled: send ended",
    "changed to assigned": "-",
    "changed to picked_up": "-",
    "changed to delivered": "delivered: send ended",
    "changed to canceled": "canceled: send ended",
    "changed, old version": "-",
    "candidates, some": "-",
    "candidates, none": "-",
    "held, asked": "-",
    "held, stranger": "=: send release",
    refused: "-",
    "declined by an offered one": "=: answer ok",
    "declined by a stranger": "=: answer not_offered",
    "progress dark": "picked_up: send picked",
    "progress moving": "picked_up",
    "progress arrived": "picked_up: send picked",
    "progress of a stranger": "=: send ended, reload",
    wake: "-",
    woke: "-",
  },
  delivered: ENDED,
  canceled: ENDED,
  unfilled: ENDED,
  returned: ENDED,
};

describe("the delivery's table", () => {
  for (const [row, state] of Object.entries(STATES) as [Row, Delivery][]) {
    it(`delivery ${row}: every message does what the table says`, () => {
      const outcomes: Record<string, string> = {};
      for (const [column, message] of Object.entries(MESSAGES)) {
        const [next, ...effects] = actor.step(state, message, NOW);
        outcomes[column] = outcomeOf(state, next, next.at, effects);
      }
      expect(outcomes).toEqual(TABLE[row]);
    });
  }

  it("the states of the table are in the state that their row names", () => {
    for (const [row, state] of Object.entries(STATES)) {
      expect(state.at).toBe(row.split(" ")[0]);
    }
  });
});
