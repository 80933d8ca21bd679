/**
 * What couriers do apart from their stream of positions: look for deliveries, take and refuse them,
 * report progress, go on shift, say where they are. The rules are those of `commands.ts` and
 * `ingest.ts`.
 */
import { distanceM } from "../../actors/geo.ts";
import { shortenAddress } from "../../proto/address.ts";
import { DispatchError } from "../../proto/errors.ts";
import { AVAILABLE_MAX_ROWS } from "../../proto/limits.ts";
import { current } from "../views/estimates.ts";
import { ROLES_OF } from "../access/policy.ts";
import { acceptedAnswer, availableAnswer, declinedAnswer } from "./answers.ts";
import { shiftAnswer, successAnswer } from "./answers.ts";
import { acceptBody, availableQuery, declineBody } from "./schemas.ts";
import { locationBody, shiftBody, statusBody } from "./schemas.ts";
import { availableView, timeText } from "../views/delivery-view.ts";
import { courierOf, deliveryIdOf, operation } from "./operation.ts";

export const availableDeliveries = operation({
  summary: "Deliveries that wait for a courier, nearest pickup first, addresses shortened.",
  answers: { 200: availableAnswer },
  errors: ["invalid_field", "identity_mismatch"],
  roles: ["courier"],
  kind: "read",
  body: null,
  query: availableQuery,
  keyed: null,
  async run({ deps, forecast }, call) {
    const { query } = call;
    const id = courierOf(call, query.courier_id);
    const here = { lng: Number(query.lng), lat: Number(query.lat) };
    const radiusM = deps.config.settings.WAVE_3_RADIUS_M;
    const courier = await deps.store.courier(id);
    // Who is no courier here can take nothing.
    const rows =
      courier === null
        ? []
        : await deps.store.available(here, radiusM, AVAILABLE_MAX_ROWS, courier.vehicle);
    const now = deps.clock.now();
    const near = rows.map((row) => {
      const pickup = { lng: row.pickupLng, lat: row.pickupLat };
      const underway = {
        id: row.id,
        status: "assigned",
        pickup,
        dropoff: { lng: row.dropoffLng, lat: row.dropoffLat },
        vehicle: courier?.vehicle ?? row.vehicle,
        readyAt: row.readyAt,
        promised: { pickupAt: row.estimatedPickupAt, arrivalAt: row.estimatedArrivalAt },
        carried: forecast.carriedBy(id),
      } as const;
      // As if this courier took it now and set off from here.
      const { pickupAt } = current(deps.travel, underway, { ...here, at: now }, now);
      const away = distanceM(here, pickup);
      return { away, view: availableView(row, away, pickupAt ?? now, shortenAddress) };
    });
    near.sort((a, b) => a.away - b.away);
    return { status: 200, body: { deliveries: near.map(({ view }) => view) } };
  },
});

export const acceptDelivery = operation({
  summary: "Take a delivery, offered or not. Repeating it gives the same answer.",
  answers: { 200: acceptedAnswer },
  errors: [
    "not_found",
    "delivery_taken",
    "delivery_over",
    "courier_busy",
    "courier_off_shift",
    "vehicle_unfit",
  ],
  roles: ROLES_OF.accept,
  kind: "command",
  body: acceptBody,
  query: null,
  keyed: { how: "kept", scope: "POST /deliveries/{id}/accept" },
  async run({ commands }, call) {
    const courier = courierOf(call, call.body.courier_id);
    const row = await commands.accept(courier, deliveryIdOf(call));
    // The store gives an accepted row, which has this time.
    if (row.assignedAt === null) throw new Error("an accepted delivery has no time of it");
    const body = { accepted: true, assigned_at: timeText(row.assignedAt) };
    return { status: 200, body, delivery: row };
  },
});

export const declineDelivery = operation({
  summary: "Refuse an offer. This delivery will not be offered to you again.",
  answers: { 200: declinedAnswer },
  errors: ["not_found", "not_offered", "unavailable"],
  roles: ROLES_OF.decline,
  kind: "command",
  body: declineBody,
  query: null,
  keyed: { how: "kept", scope: "POST /deliveries/{id}/decline" },
  async run({ commands }, call) {
    const courier = courierOf(call, call.body.courier_id);
    await commands.decline(courier, deliveryIdOf(call), call.body.reason ?? null);
    return { status: 200, body: { declined: true } };
  },
});

export const reportStatus = operation({
  summary: "Report progress. `timestamp` is kept as a claim beside the server's own time.",
  answers: { 200: successAnswer },
  errors: ["not_found", "wrong_status"],
  roles: ROLES_OF.report,
  kind: "command",
  body: statusBody,
  query: null,
  keyed: { how: "kept", scope: "POST /deliveries/{id}/status" },
  async run({ commands }, call) {
    const { status, timestamp, reason, courier_id: repeated } = call.body;
    const claimedAt = timestamp === undefined ? null : Date.parse(timestamp);
    const report = { status, claimedAt, reason: reason ?? null };
    await commands.status(courierOf(call, repeated), deliveryIdOf(call), report);
    return { status: 200, body: { success: true } };
  },
});

export const setShift = operation({
  summary: "Go on or off shift.",
  answers: { 200: shiftAnswer },
  errors: ["not_found", "unavailable"],
  roles: ["courier"],
  kind: "command",
  body: shiftBody,
  query: null,
  keyed: { how: "kept", scope: "POST /couriers/me/shift" },
  async run({ commands }, call) {
    const courier = courierOf(call, call.body.courier_id);
    const online = await commands.shift(courier, call.body.online);
    return { status: 200, body: { online } };
  },
});

export const reportLocation = operation({
  summary: "Say where you are: the fall-back for the socket's pings.",
  answers: { 204: null },
  errors: ["rate_limited"],
  roles: ["courier"],
  kind: "command",
  body: locationBody,
  query: null,
  keyed: { how: "kept", scope: "POST /couriers/me/location" },
  async run({ deps, ingest }, call) {
    const { body } = call;
    const courier = courierOf(call, body.courier_id);
    const now = deps.clock.now();
    const waitS = ingest.take({
      courier,
      session: null,
      ping: {
        seq: body.seq ?? 0,
        at: body.timestamp === undefined ? now : Date.parse(body.timestamp),
        lng: body.lng,
        lat: body.lat,
        accuracyM: body.accuracy_m ?? null,
        speedMps: null,
        headingDeg: null,
      },
      newest: true,
      receivedAt: now,
    });
    if (waitS > 0) throw new DispatchError("rate_limited", undefined, { retryAfterS: waitS });
    return { status: 204 };
  },
});
