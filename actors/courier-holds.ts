/**
 * A courier's holds and offers. A hold keeps a slot for one delivery for seconds, an offer for as
 * long as the phone may show it; both end by themselves at their deadline (D7), whatever becomes of
 * the delivery. The courier actor is the only one who grants them, so a courier never has more than
 * OFFERS_PARALLEL_MAX.
 */
import type { DeliveryId, Millis } from "../proto/ids.ts";
import type { Refusal, ReleaseReason, ToCourier } from "../proto/messages.ts";
import type { Effect } from "./actor.ts";
import { NOT_MEASURED, push, slotsOf, toDelivery } from "./courier-state.ts";
import type { CourierContext, Hold, KnownCourier, KnownStep, Offer } from "./courier-state.ts";

type MessageOf<K extends ToCourier["type"]> = Extract<ToCourier, { type: K }>;

const holdOf = (courier: KnownCourier, delivery: DeliveryId): Hold | undefined =>
  courier.holds.find((hold) => hold.delivery === delivery);

const carries = (courier: KnownCourier, delivery: DeliveryId): boolean =>
  courier.active.some((carried) => carried.delivery === delivery);

/** Grants or refuses. D4: asked again for the same delivery, it gives the same answer. */
export function onHold(
  courier: KnownCourier,
  { delivery }: MessageOf<"hold">,
  now: Millis,
  ctx: CourierContext,
): KnownStep {
  const refusal = refusalOf(courier, delivery, ctx);
  if (refusal !== null) return [courier, refuse(courier, delivery, refusal)];
  const before = holdOf(courier, delivery);
  const until = Math.max(before?.until ?? 0, now + ctx.settings.HOLD_TTL_MS);
  const isOffered = before !== undefined && before.offer !== null;
  const kept = isOffered ? before : { delivery, until, offer: null };
  const holds = [...courier.holds.filter((hold) => hold.delivery !== delivery), kept];
  const held = toDelivery(delivery, { type: "held", courier: courier.id, until: kept.until });
  return [isOffered ? courier : { ...courier, holds }, held];
}

function refusalOf(
  courier: KnownCourier,
  delivery: DeliveryId,
  { settings }: CourierContext,
): Refusal | null {
  if (carries(courier, delivery)) return "carries_it";
  if (holdOf(courier, delivery) !== undefined) return null;
  if (!courier.online) return "off_shift";
  if (courier.track.position === null) return "unknown";
  return slotsOf(courier, settings) > 0 ? null : "no_slots";
}

const refuse = (courier: KnownCourier, delivery: DeliveryId, reason: Refusal): Effect =>
  toDelivery(delivery, { type: "refused", courier: courier.id, reason });

/**
 * Shows the offer. A hold that lapsed on the way is granted anew if there is room; else the
 * delivery is told.
 */
export function onOffer(
  courier: KnownCourier,
  offer: Offer,
  now: Millis,
  ctx: CourierContext,
): KnownStep {
  const delivery = offer.job.id;
  const before = holdOf(courier, delivery);
  if (offer.until <= now || (before !== undefined && before.offer !== null)) return [courier];
  const refusal = refusalOf(courier, delivery, ctx);
  if (refusal === "carries_it") return [courier];
  if (refusal !== null) return [courier, refuse(courier, delivery, refusal)];
  // D7: no delivery can keep a courier for longer than an offer lasts, whatever `until` says.
  const until = Math.min(offer.until, now + ctx.settings.OFFER_TTL_MS);
  const hold: Hold = { delivery, until, offer };
  const others = courier.holds.filter((one) => one.delivery !== delivery);
  return show({ ...courier, holds: [...others, hold] }, hold, now, ctx);
}

function show(courier: KnownCourier, hold: Hold, now: Millis, ctx: CourierContext): KnownStep {
  const { offer, until } = hold;
  if (offer === null) return [courier];
  const { job, distanceM, etaS, ordinal } = offer;
  return push(
    courier,
    {
      type: "offer",
      delivery: job.id,
      until,
      ttlMs: until - now,
      pickupLng: job.pickupLng,
      pickupLat: job.pickupLat,
      pickupArea: job.pickupArea,
      dropoffLng: job.dropoffLng,
      dropoffLat: job.dropoffLat,
      dropoffArea: job.dropoffArea,
      size: job.size,
      distanceM,
      etaS,
    },
    ctx.epoch,
    { receivedAtUs: job.receivedAtUs, ordinal },
  );
}

/** Shows all live offers, on a new session. */
export function showAll(courier: KnownCourier, now: Millis, ctx: CourierContext): KnownStep {
  return courier.holds
    .filter((hold) => hold.until > now)
    .reduce<KnownStep>(
      ([state, ...effects], hold) => {
        const [next, ...more] = show(state, hold, now, ctx);
        return [next, ...effects, ...more];
      },
      [courier],
    );
}

/** Ends a hold, and takes its offer off the phone; `silent` when the app knows why. */
export function dropHold(
  courier: KnownCourier,
  delivery: DeliveryId,
  reason: ReleaseReason | "busy" | "silent",
  ctx: CourierContext,
): KnownStep {
  const hold = holdOf(courier, delivery);
  if (hold === undefined) return [courier];
  const holds = courier.holds.filter((one) => one !== hold);
  const dropped = { ...courier, holds };
  if (hold.offer === null || reason === "silent" || reason === "declined") return [dropped];
  return push(dropped, { type: "withdrawn", delivery, reason }, ctx.epoch, NOT_MEASURED);
}

function dropAll(
  courier: KnownCourier,
  holds: readonly Hold[],
  reason: "lapsed" | "busy",
  ctx: CourierContext,
): KnownStep {
  return holds.reduce<KnownStep>(
    ([state, ...effects], { delivery }) => {
      const [next, ...more] = dropHold(state, delivery, reason, ctx);
      return [next, ...effects, ...more];
    },
    [courier],
  );
}

/**
 * D7: what nobody ended ends at its deadline. The delivery knows the deadline too and is not told.
 */
export function lapse(courier: KnownCourier, now: Millis, ctx: CourierContext): KnownStep {
  const over = courier.holds.filter((hold) => hold.until <= now);
  return over.length === 0 ? [courier] : dropAll(courier, over, "lapsed", ctx);
}

/**
 * A courier that can carry no more gives its other offers back: they could only be refused at the
 * accept. Their deliveries are told, so that they look on at once and may ask this courier again
 * when it is free.
 */
export function giveBackIfFull(courier: KnownCourier, ctx: CourierContext): KnownStep {
  if (courier.active.length < courier.capacity || courier.holds.length === 0) return [courier];
  const told = courier.holds.map(({ delivery }) => refuse(courier, delivery, "no_slots"));
  const [next, ...effects] = dropAll(courier, courier.holds, "busy", ctx);
  return [next, ...effects, ...told];
}

/** When `lapse` is due. */
export const holdsDeadline = ({ holds }: KnownCourier): Millis =>
  Math.min(Infinity, ...holds.map((hold) => hold.until));
