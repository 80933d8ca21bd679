/**
 * What each role sees of a row (`proto/views.ts` says what it looks like). The audience decides
 * about the courier's name and number; the caller has already asked the policy whether there is
 * anything to see, and whether the position is.
 */
import type { CourierRow, DeliveryRow, Position } from "../../engine/store/port.ts";
import type { Millis } from "../../proto/ids.ts";
import type {
  AssignmentView,
  AvailableView,
  CourierView,
  DeliveryView,
} from "../../proto/views.ts";
import { isTestDelivery } from "../../proto/test-mode.ts";
import type { Principal } from "../base/principal.ts";
import type { CurrentEstimates } from "./estimates.ts";
import { isCarried } from "../access/policy.ts";

/**
 * Who looks, as far as it changes the view. `party`: whose delivery it is, and the courier itself;
 * `link`: whoever has the tracking link; `operator`: those who run it.
 */
export type Audience = "party" | "link" | "operator";

export const audienceOf = (principal: Principal): Audience => {
  if (principal.role === "operator") return "operator";
  return principal.role === "tracking" ? "link" : "party";
};

/** RFC 3339 in UTC; whole seconds are written without a fraction. */
export const timeText = (at: Millis): string => {
  const text = new Date(at).toISOString();
  return text.endsWith(".000Z") ? `${text.slice(0, 19)}Z` : text;
};
const maybeTime = (at: Millis | null): string | null => (at === null ? null : timeText(at));

/** A delivery for one audience. `position`: null when unknown, or not for these eyes. */
export function deliveryView(
  row: DeliveryRow,
  audience: Audience,
  position: Position | null,
  estimates: CurrentEstimates,
  now: Millis,
): DeliveryView {
  return {
    id: row.id,
    version: row.version,
    status: row.status,
    status_reason: row.statusReason,
    origin: { address: row.pickupAddress, lat: row.pickupLat, lng: row.pickupLng },
    destination: { address: row.dropoffAddress, lat: row.dropoffLat, lng: row.dropoffLng },
    package_size: row.size,
    external_id: audience === "link" ? null : row.externalId,
    courier: courierPart(row, audience),
    courier_location: isCarried(row.status) ? locationView(position, now) : null,
    estimated_pickup_time: maybeTime(estimates.pickupAt),
    estimated_arrival: maybeTime(estimates.arrivalAt),
    created_at: timeText(row.createdAt),
    assigned_at: maybeTime(row.assignedAt),
    picked_up_at: maybeTime(row.pickedUpAt),
    delivered_at: maybeTime(row.deliveredAt),
    ended_at: maybeTime(row.endedAt),
    test: isTestDelivery(row.id),
  };
}

function courierPart(row: DeliveryRow, audience: Audience): DeliveryView["courier"] {
  if (row.courierId === null) return null;
  const id = row.courierId;
  const vehicle = row.courierVehicle ?? "bike";
  if (audience === "operator") {
    return { id, name: row.courierName, phone: row.courierPhone, vehicle };
  }
  if (!isCarried(row.status)) return { id, name: null, phone: null, vehicle };
  if (audience === "link") return { id, name: firstName(row.courierName), phone: null, vehicle };
  return { id, name: row.courierName, phone: row.courierPhone, vehicle };
}

/** Whoever has the link need not know more of a name than how to greet. */
export const firstName = (name: string | null): string | null =>
  name === null ? null : (name.trim().split(/\s+/u)[0] ?? null);

/**
 * A courier's number as customers see it, by the setting COURIER_PHONE. Masked, two digits are left
 * to know it by.
 */
export function phoneSeen(phone: string | null, setting: string): string | null {
  if (phone === null || setting === "shown") return phone;
  return setting === "masked" ? phone.replace(/\d(?=(?:\D*\d){2})/g, "*") : setting;
}

export function locationView(
  position: Position | null,
  now: Millis,
): DeliveryView["courier_location"] {
  if (position === null) return null;
  const { lat, lng, at } = position;
  const ageS = Math.max(0, Math.round((now - at) / 1000));
  return { lat, lng, updated_at: timeText(at), age_s: ageS };
}

/** The delivery for the courier who carries it. The row must be assigned. */
export function assignmentView(row: DeliveryRow): AssignmentView {
  return {
    id: row.id,
    version: row.version,
    status: row.status,
    origin: { address: row.pickupAddress, lat: row.pickupLat, lng: row.pickupLng },
    destination: { address: row.dropoffAddress, lat: row.dropoffLat, lng: row.dropoffLng },
    package_size: row.size,
    phone: row.phone,
    recipient_phone: row.recipientPhone,
    notes: row.notes,
    assigned_at: timeText(row.assignedAt ?? row.createdAt),
  };
}

/**
 * A delivery as couriers see it before it is theirs. `shorten` takes the house number off an
 * address.
 */
export function availableView(
  row: DeliveryRow,
  distanceM: number,
  pickupAt: Millis,
  shorten: (address: string) => string | null,
): AvailableView {
  const stop = (address: string | null, lat: number, lng: number) => ({
    address: address === null ? null : shorten(address),
    lat,
    lng,
  });
  return {
    id: row.id,
    origin: stop(row.pickupAddress, row.pickupLat, row.pickupLng),
    destination: stop(row.dropoffAddress, row.dropoffLat, row.dropoffLng),
    distance_km: Math.round(distanceM / 10) / 100,
    estimated_pickup_time: timeText(pickupAt),
    package_size: row.size,
  };
}

/** `doubt`: how implausible its pings were lately, 0 to 100; above 0 it is offered nothing. */
export function courierView(
  row: CourierRow,
  position: Position | null,
  now: Millis,
  doubt = 0,
): CourierView {
  return {
    id: row.id,
    name: row.name,
    phone: row.phone,
    vehicle: row.vehicle,
    capacity: row.capacity,
    online: row.online,
    active_deliveries: row.load,
    location: locationView(position, now),
    doubt,
  };
}
