/**
 * What couriers do over REST, the fall-back of their socket: look for deliveries, take and refuse them, report progress,
 * go on shift, say where they are. The rules are those of `gateway/commands.ts` and `gateway/ingest.ts`.
 */
import { distanceM } from "../../actors/geo.ts";
import type { Store } from "../../engine/store/port.ts";
import { shortenAddress } from "../../proto/address.ts";
import { DispatchError } from "../../proto/errors.ts";
import { AVAILABLE_MAX_ROWS } from "../../proto/limits.ts";
import type { Commands } from "../commands.ts";
import type { Deps } from "../deps.ts";
import { current } from "../estimates.ts";
import type { Ingest } from "../ingest.ts";
import type { Outlook } from "../outlook.ts";
import { ROLES_OF } from "../policy.ts";
import { courierOf, deliveryIdOf, route } from "../route.ts";
import type { Route } from "../route.ts";
import {
  acceptedAnswer,
  availableAnswer,
  declinedAnswer,
  shiftAnswer,
  successAnswer,
} from "../schemas-answers.ts";
import {
  acceptBody,
  availableQuery,
  declineBody,
  locationBody,
  shiftBody,
  statusBody,
} from "../schemas.ts";
import { availableView, timeText } from "../views.ts";

export type CourierParts = {
  readonly deps: Pick<Deps, "clock" | "travel" | "config"> & {
    readonly store: Pick<Store, "available" | "courier">;
  };
  readonly outlook: Pick<Outlook, "carriedBy">;
  readonly commands: Commands;
  readonly ingest: Ingest;
};

export const courierRoutes = (parts: CourierParts): readonly Route[] => [
  availableRoute(parts),
  acceptRoute(parts),
  declineRoute(parts),
  statusRoute(parts),
  shiftRoute(parts),
  locationRoute(parts),
];

const availableRoute = ({ deps, outlook }: CourierParts): Route =>
  route({
    method: "GET",
    path: "/deliveries/available",
    name: "availableDeliveries",
    roles: ["courier"],
    body: null,
    query: availableQuery,
    idempotency: "none",
    doc: {
      summary: "Deliveries that wait for a courier, nearest pickup first, addresses shortened.",
      answers: { 200: availableAnswer },
      errors: ["invalid_field", "identity_mismatch"],
    },
    async handle(call) {
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
          carried: outlook.carriedBy(id),
        } as const;
        // As if this courier took it now and set off from here.
        const { pickupAt } = current(deps.travel, underway, { ...here, at: now }, now);
        const away = distanceM(here, pickup);
        return { away, view: availableView(row, away, pickupAt ?? now, shortenAddress) };
      });
      near.sort((a, b) => a.away - b.away);
      return { status: 200, json: { deliveries: near.map(({ view }) => view) } };
    },
  });

const acceptRoute = ({ commands }: CourierParts): Route =>
  route({
    method: "POST",
    path: "/deliveries/{id}/accept",
    name: "acceptDelivery",
    roles: ROLES_OF.accept,
    body: acceptBody,
    query: null,
    idempotency: "kept",
    doc: {
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
    },
    async handle(call) {
      const courier = courierOf(call, call.body.courier_id);
      const row = await commands.accept(courier, deliveryIdOf(call));
      // The store gives an accepted row, which has this time.
      if (row.assignedAt === null) throw new Error("an accepted delivery has no time of it");
      return { status: 200, json: { accepted: true, assigned_at: timeText(row.assignedAt) } };
    },
  });

const declineRoute = ({ commands }: CourierParts): Route =>
  route({
    method: "POST",
    path: "/deliveries/{id}/decline",
    name: "declineDelivery",
    roles: ROLES_OF.decline,
    body: declineBody,
    query: null,
    idempotency: "kept",
    doc: {
      summary: "Refuse an offer. This delivery will not be offered to you again.",
      answers: { 200: declinedAnswer },
      errors: ["not_found", "not_offered", "unavailable"],
    },
    async handle(call) {
      const courier = courierOf(call, call.body.courier_id);
      await commands.decline(courier, deliveryIdOf(call), call.body.reason ?? null);
      return { status: 200, json: { declined: true } };
    },
  });

const statusRoute = ({ commands }: CourierParts): Route =>
  route({
    method: "POST",
    path: "/deliveries/{id}/status",
    name: "reportStatus",
    roles: ROLES_OF.report,
    body: statusBody,
    query: null,
    idempotency: "kept",
    doc: {
      summary: "Report progress. `timestamp` is kept as a claim beside the server's own time.",
      answers: { 200: successAnswer },
      errors: ["not_found", "wrong_status"],
    },
    async handle(call) {
      const { status, timestamp, reason, courier_id: repeated } = call.body;
      const claimedAt = timestamp === undefined ? null : Date.parse(timestamp);
      const report = { status, claimedAt, reason: reason ?? null };
      await commands.status(courierOf(call, repeated), deliveryIdOf(call), report);
      return { status: 200, json: { success: true } };
    },
  });

const shiftRoute = ({ commands }: CourierParts): Route =>
  route({
    method: "POST",
    path: "/couriers/me/shift",
    name: "setShift",
    roles: ["courier"],
    body: shiftBody,
    query: null,
    idempotency: "kept",
    doc: {
      summary: "Go on or off shift.",
      answers: { 200: shiftAnswer },
      errors: ["not_found", "unavailable"],
    },
    async handle(call) {
      const courier = courierOf(call, call.body.courier_id);
      const online = await commands.shift(courier, call.body.online);
      return { status: 200, json: { online } };
    },
  });

const locationRoute = ({ deps, ingest }: CourierParts): Route =>
  route({
    method: "POST",
    path: "/couriers/me/location",
    name: "reportLocation",
    roles: ["courier"],
    body: locationBody,
    query: null,
    idempotency: "kept",
    doc: {
      summary: "Say where you are: the fall-back for the socket's pings.",
      answers: { 204: null },
      errors: ["rate_limited"],
    },
    async handle(call) {
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
