/**
 * One courier: the only writer of its own record. It owns the shift, the holds and offers
 * (`courier-holds.ts`), what it carries and how that goes (`progress.ts`), the session and the
 * position (`pings.ts`), and publishes its record to the cells whenever it changed. It refuses to
 * be kept by a delivery beyond a deadline (D7) and to be asked for more than it can carry; whether
 * an accept counts is not its business but the store's (D1, D2). Drawing, tables and invariants:
 * SPEC.md.
 */
import type { CourierId, DeliveryId, Epoch, Millis } from "../proto/ids.ts";
import type { DispatchSettings } from "../proto/limits.ts";
import type { CourierRecord, ToCourier } from "../proto/messages.ts";
import type { ActiveDelivery, CourierSnapshot } from "../proto/writes.ts";
import type { Actor, Effect } from "./actor.ts";
import { dropHold, giveBackIfFull, holdsDeadline, lapse } from "./courier-holds.ts";
import { onHold, onOffer, showAll } from "./courier-holds.ts";
import { NOT_MEASURED, firstRecordNo, isSameRecord, push, recordOf } from "./courier-state.ts";
import { report } from "./courier-state.ts";
import type { Carried, Courier, CourierContext, CourierMessage } from "./courier-state.ts";
import type { CourierStep, KnownCourier, KnownStep, Session } from "./courier-state.ts";
import { distanceM } from "./geo.ts";
import { NO_SUSPICION, judge } from "./pings.ts";
import { becomeNext, onFix, onQuiet, progressDeadline, startProgress } from "./progress.ts";
import type { Leg, ProgressStep } from "./progress.ts";

export const emptyCourier = (id: CourierId): Courier => ({ at: "empty", id });

/** The actor under these settings, for the owner of one epoch of its shard. */
export function courierActor(
  settings: DispatchSettings,
  epoch: Epoch,
): Actor<Courier, CourierMessage> {
  const ctx: CourierContext = { settings, epoch };
  return {
    step: (state, message, now) => step(state, message, now, ctx),
    deadline: (state) => deadline(state, settings),
    mayPassivate: (state) =>
      state.at === "empty" ||
      (!state.online &&
        state.active.length === 0 &&
        state.holds.length === 0 &&
        state.session === null),
  };
}

function step(state: Courier, m: CourierMessage, now: Millis, ctx: CourierContext): CourierStep {
  if (state.at === "empty") return stepEmpty(state.id, state, m, now, ctx);
  const [next, ...effects] = stepKnown(state, m, now, ctx);
  return published(state, next, effects, ctx);
}

/** Numbers and publishes the record when what the cells see of it has changed. */
function published(
  before: KnownCourier,
  after: KnownCourier,
  effects: readonly Effect[],
  { settings }: CourierContext,
): KnownStep {
  if (isSameRecord(recordOf(before, settings), recordOf(after, settings))) {
    return [after, ...effects];
  }
  const numbered = { ...after, recordNo: after.recordNo + 1 };
  return [numbered, ...effects, { do: "index", record: recordOf(numbered, settings) }];
}

function stepEmpty(
  id: CourierId,
  state: Courier,
  m: CourierMessage,
  now: Millis,
  ctx: CourierContext,
): CourierStep {
  switch (m.type) {
    case "loaded":
      return load(m.snapshot, m.record, now, ctx);
    case "profile":
      return load(newcomer(id, m), null, now, ctx);
    case "shift":
      return [state, { do: "answer", code: "not_found", online: null }];
    case "hold":
      return [state, refuseUnknown(id, m.delivery)];
    case "opened":
    case "closed":
    case "ping":
    case "offer":
    case "release":
    case "confirm":
    case "picked":
    case "ended":
    case "woke":
      return [state];
  }
}

const refuseUnknown = (courier: CourierId, delivery: DeliveryId): Effect => ({
  do: "send",
  post: { kind: "delivery", id: delivery, msg: { type: "refused", courier, reason: "unknown" } },
});

const newcomer = (
  courier: CourierId,
  { vehicle, capacity }: Extract<ToCourier, { type: "profile" }>,
): CourierSnapshot => ({
  courier,
  vehicle,
  capacity,
  online: false,
  active: [],
  lastKnown: null,
});

/** Activation. Holds of an owner before us are forgotten: at worst their offers are repeated. */
function load(
  snapshot: CourierSnapshot,
  record: CourierRecord | null,
  now: Millis,
  ctx: CourierContext,
): KnownStep {
  const { courier: id, vehicle, capacity, online, lastKnown } = snapshot;
  const recorded = record === null || record.at === 0 ? null : record;
  const isRecorded = recorded !== null && recorded.at >= (lastKnown?.at ?? 0);
  const fix = isRecorded ? recorded : lastKnown;
  const position = fix === null ? null : { lng: fix.lng, lat: fix.lat, at: fix.at };
  // What the owner before us had against it, to ten points.
  const isDoubted = record !== null && record.doubt > 0;
  const suspicion = isDoubted ? { points: record.doubt * 10, at: now } : NO_SUSPICION;
  const known: KnownCourier = {
    at: "known",
    id,
    vehicle,
    capacity,
    online,
    active: snapshot.active.map((delivery) => carry(delivery, now, ctx)),
    holds: [],
    session: null,
    track: { position, heardAt: position?.at ?? 0, seq: null, doubt: null, suspicion },
    recordNo: Math.max(record?.no ?? 0, firstRecordNo(ctx.epoch)),
    // An app drops numbers that it has seen; one that is loaded again under the same epoch must not
    // begin below them.
    frameNo: now,
  };
  if (record !== null && isSameRecord(record, recordOf(known, ctx.settings))) return [known];
  const numbered = { ...known, recordNo: known.recordNo + 1 };
  return [numbered, { do: "index", record: recordOf(numbered, ctx.settings) }];
}

const carry = (delivery: ActiveDelivery, now: Millis, { settings }: CourierContext): Carried => ({
  delivery: delivery.delivery,
  pickupLng: delivery.pickupLng,
  pickupLat: delivery.pickupLat,
  dropoffLng: delivery.dropoffLng,
  dropoffLat: delivery.dropoffLat,
  pickedUp: delivery.pickedUp,
  progress: startProgress(now, settings),
});

function stepKnown(
  c: KnownCourier,
  m: CourierMessage,
  now: Millis,
  ctx: CourierContext,
): KnownStep {
  switch (m.type) {
    case "loaded":
      return [c];
    case "opened":
      return attach(c, { gateway: m.gateway, session: m.session }, now, ctx);
    case "closed":
      return c.session?.session === m.session ? [{ ...c, session: null }] : [c];
    case "shift":
      return onShift(c, m.online);
    case "ping":
      return onPing(c, m, now, ctx);
    case "hold":
      return onHold(c, m, now, ctx);
    case "offer":
      return onOffer(c, m, now, ctx);
    case "release":
      return dropHold(c, m.delivery, m.reason, ctx);
    case "confirm":
      return onConfirm(c, m, now, ctx);
    case "picked":
      return onPicked(c, m.delivery, now, ctx);
    case "ended":
      return onEnded(c, m, now, ctx);
    case "profile":
      return onProfile(c, m, ctx);
    case "woke":
      return onWoke(c, now, ctx);
  }
}

/**
 * The newer session wins; live offers are shown on it, or once more: frames may have been lost on
 * the way to it.
 */
function attach(c: KnownCourier, session: Session, now: Millis, ctx: CourierContext): KnownStep {
  const isSame = c.session?.session === session.session && c.session.gateway === session.gateway;
  return showAll(isSame ? c : { ...c, session }, now, ctx);
}

/** Valid offers stay until they lapse; the record says that there shall be no new ones. */
function onShift(c: KnownCourier, online: boolean): KnownStep {
  const answer: Effect = { do: "answer", code: "ok", online };
  if (c.online === online) return [c, answer];
  const write = { kind: "shift", courier: c.id, online } as const;
  return [{ ...c, online }, { do: "commit", write }, answer];
}

function onProfile(
  c: KnownCourier,
  { vehicle, capacity }: Extract<ToCourier, { type: "profile" }>,
  ctx: CourierContext,
): KnownStep {
  if (c.vehicle === vehicle && c.capacity === capacity) return [c];
  return giveBackIfFull({ ...c, vehicle, capacity }, ctx);
}

function onPing(
  c: KnownCourier,
  m: Extract<ToCourier, { type: "ping" }>,
  now: Millis,
  ctx: CourierContext,
): KnownStep {
  const { verdict, track } = judge(c.track, m, now, ctx.settings);
  // The pings tell which session there is after a change of owner, and when the message that opened
  // it was lost: a courier's newest ping came by its newest session.
  const isSessionNews =
    c.session === null || (verdict === "moves" && c.session.session !== m.session);
  const [known, ...shown] =
    isSessionNews && m.session !== null
      ? attach(c, { gateway: m.gateway, session: m.session }, now, ctx)
      : ([c] as const);
  if (track === c.track) return [known, ...shown];
  const tracked = { ...known, track };
  if (verdict === "refused") return [tracked, ...shown];
  const { at, lng, lat } = m;
  const history: Effect = { do: "history", courier: c.id, at, lng, lat };
  if (verdict === "history") return [tracked, ...shown, history];
  const [moved, ...reports] = progressed(tracked, (carried, leg, distance) =>
    onFix(carried.progress, distance, leg, now, ctx.settings),
  );
  return [moved, ...shown, history, ...reports];
}

/** One step of every delivery it carries, with what its delivery is told. */
function progressed(
  c: KnownCourier,
  advance: (carried: Carried, leg: Leg, distanceM: number) => ProgressStep,
): KnownStep {
  const reports: Effect[] = [];
  let isChanged = false;
  const active = c.active.map((carried, i) => {
    const distance = distanceToStop(c, carried);
    const { progress, signals } = advance(carried, legOf(carried, i), distance);
    for (const signal of signals) reports.push(report(c.id, carried.delivery, signal, distance));
    if (progress === carried.progress) return carried;
    isChanged = true;
    return { ...carried, progress };
  });
  return [isChanged ? { ...c, active } : c, ...reports];
}

const legOf = (carried: Carried, i: number): Leg => ({
  isPickup: !carried.pickedUp,
  isNext: i === 0,
});

/** Metres to the stop it heads for; 0 while its position is not known. */
function distanceToStop({ track: { position } }: KnownCourier, d: Carried): number {
  if (position === null) return 0;
  const stop = d.pickedUp
    ? { lng: d.dropoffLng, lat: d.dropoffLat }
    : { lng: d.pickupLng, lat: d.pickupLat };
  return distanceM(position, stop);
}

/** The delivery is its own now. D4: told again, nothing changes. */
function onConfirm(
  c: KnownCourier,
  m: Extract<ToCourier, { type: "confirm" }>,
  now: Millis,
  ctx: CourierContext,
): KnownStep {
  if (c.active.some((carried) => carried.delivery === m.delivery)) {
    return m.pickedUp ? onPicked(c, m.delivery, now, ctx) : [c];
  }
  const [freed, ...effects] = dropHold(c, m.delivery, "silent", ctx);
  const active = [...freed.active, carry(m, now, ctx)];
  const [next, ...more] = giveBackIfFull({ ...freed, active }, ctx);
  return [next, ...effects, ...more];
}

function onPicked(
  c: KnownCourier,
  delivery: DeliveryId,
  now: Millis,
  ctx: CourierContext,
): KnownStep {
  if (!c.active.some((one) => one.delivery === delivery && !one.pickedUp)) return [c];
  const progress = startProgress(now, ctx.settings);
  const active = c.active.map((one) =>
    one.delivery === delivery ? { ...one, pickedUp: true, progress } : one,
  );
  return [{ ...c, active }];
}

/** D7: it is free of this delivery, whether it was held, offered or carried. */
function onEnded(
  c: KnownCourier,
  { delivery, reason, tell }: Extract<ToCourier, { type: "ended" }>,
  now: Millis,
  ctx: CourierContext,
): KnownStep {
  const [freed, ...effects] = dropHold(c, delivery, "over", ctx);
  const index = freed.active.findIndex((one) => one.delivery === delivery);
  if (index < 0) return [freed, ...effects];
  const active = freed.active
    .filter((_, i) => i !== index)
    .map((one, i) =>
      i === 0 && index === 0 ? { ...one, progress: becomeNext(one.progress, now) } : one,
    );
  const next = { ...freed, active };
  if (!tell) return [next, ...effects];
  const frame = { type: "assignment_over", delivery, reason } as const;
  const [told, ...more] = push(next, frame, ctx.epoch, NOT_MEASURED);
  return [told, ...effects, ...more];
}

function onWoke(c: KnownCourier, now: Millis, ctx: CourierContext): KnownStep {
  const [awake, ...effects] = lapse(c, now, ctx);
  const [next, ...reports] = progressed(awake, (carried, leg) =>
    onQuiet(carried.progress, awake.track.heardAt, leg, now, ctx.settings),
  );
  return [next, ...effects, ...reports];
}

function deadline(state: Courier, settings: DispatchSettings): Millis | null {
  if (state.at === "empty") return null;
  const times = state.active.map((carried, i) =>
    progressDeadline(carried.progress, state.track.heardAt, legOf(carried, i), settings),
  );
  const at = Math.min(holdsDeadline(state), ...times);
  return at === Infinity ? null : at;
}
