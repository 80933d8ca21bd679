/**
 * What answers look like: the schemas behind the answers of the OpenAPI page. The tests hold every
 * answer of the running gateway against them; the gateway itself does not check what it has just
 * made.
 */
import { z } from "zod";
import { ERRORS } from "../../proto/errors.ts";
import type { ErrorCode } from "../../proto/errors.ts";
import { PACKAGE_SIZES, VEHICLES } from "../../proto/geo.ts";
import { EVENT_TYPES, STATUSES } from "../../proto/status.ts";

const time = z.iso.datetime().meta({ example: "2026-05-03T14:15:00Z" });
const pickupTime = z.iso.datetime().meta({
  example: "2026-05-03T14:15:00Z",
  description: "When the parcel is expected to be picked up, handing over included.",
});
const arrivalTime = z.iso.datetime().meta({
  example: "2026-05-03T14:31:00Z",
  description: "When it is expected to be delivered, handing over included.",
});
const deliveryId = z.string().meta({ example: "del_00a0mn3k2v8q4x7z1c5b9d" });
const stop = z.strictObject({
  address: z.string().nullable().meta({ example: "123 Market St, SF" }),
  lat: z.number().meta({ example: 37.79 }),
  lng: z.number().meta({ example: -122.39 }),
});
const location = z.strictObject({
  lat: z.number().meta({ example: 37.7749 }),
  lng: z.number().meta({ example: -122.4194 }),
  updated_at: time,
  age_s: z.number().meta({ example: 4 }),
});

export const createdAnswer = z
  .strictObject({
    delivery_id: deliveryId,
    status: z.literal("pending"),
    estimated_pickup_time: pickupTime,
    estimated_arrival: arrivalTime,
    tracking_url: z.string().meta({ example: "http://127.0.0.1:8080/t/Zm9vYmFyYmF6cXV4MTIzNA" }),
  })
  .meta({ id: "Created" });

export const quoteAnswer = z
  .strictObject({
    quote: z.string().meta({ example: "q1.1777817700000.c2lnbmF0dXJl" }),
    expires_at: time,
    estimated_pickup_time: pickupTime,
    estimated_arrival: arrivalTime,
  })
  .meta({ id: "Quote" });

export const deliveryAnswer = z
  .strictObject({
    id: deliveryId,
    version: z.int().meta({ example: 3 }),
    status: z.enum(STATUSES).meta({ example: "picked_up" }),
    status_reason: z.string().nullable().meta({ example: null }),
    origin: stop,
    destination: stop,
    package_size: z.enum(PACKAGE_SIZES),
    external_id: z.string().nullable(),
    courier: z
      .strictObject({
        id: z.string().meta({ example: "cur_1" }),
        name: z.string().nullable().meta({ example: "Alice" }),
        phone: z.string().nullable().meta({ example: "+1-555-0101" }),
        vehicle: z.enum(VEHICLES),
      })
      .nullable(),
    courier_location: location.nullable(),
    estimated_pickup_time: pickupTime.nullable(),
    estimated_arrival: arrivalTime.nullable(),
    created_at: time,
    assigned_at: time.nullable(),
    picked_up_at: time.nullable(),
    delivered_at: time.nullable(),
    ended_at: time.nullable(),
    test: z.boolean().meta({ example: false }),
  })
  .meta({ id: "Delivery" });

export const listAnswer = z.strictObject({
  deliveries: z.array(deliveryAnswer),
  next_cursor: z.string().nullable(),
});

export const availableAnswer = z.strictObject({
  deliveries: z.array(
    z.strictObject({
      id: deliveryId,
      origin: stop,
      destination: stop,
      distance_km: z.number().meta({ example: 0.8 }),
      estimated_pickup_time: pickupTime,
      package_size: z.enum(PACKAGE_SIZES),
    }),
  ),
});

export const acceptedAnswer = z.strictObject({ accepted: z.literal(true), assigned_at: time });
export const declinedAnswer = z.strictObject({ declined: z.literal(true) });
export const successAnswer = z.strictObject({ success: z.literal(true) });
export const canceledAnswer = z.strictObject({
  canceled: z.literal(true),
  status: z.literal("canceled"),
});
export const shiftAnswer = z.strictObject({ online: z.boolean() });

export const courierAnswer = z
  .strictObject({
    id: z.string().meta({ example: "cur_1" }),
    name: z.string().meta({ example: "Alice Example" }),
    phone: z.string().meta({ example: "+1-555-0101" }),
    vehicle: z.enum(VEHICLES),
    capacity: z.int(),
    online: z.boolean(),
    active_deliveries: z.int(),
    location: location.nullable(),
    doubt: z.int().min(0).max(100).meta({ example: 0 }),
  })
  .meta({ id: "Courier" });
export const fleetAnswer = z.strictObject({ couriers: z.array(courierAnswer) });

export const ledgerAnswer = z.strictObject({
  delivery_id: deliveryId,
  entries: z.array(z.looseObject({ at: time, type: z.string() })),
});

/** What stands on the stream and in a webhook (`proto/events.ts`). */
export const eventAnswer = z
  .strictObject({
    id: z.string().meta({ example: "4711" }),
    delivery_id: deliveryId,
    number: z.int().min(1).meta({ example: 2 }),
    type: z.enum(EVENT_TYPES),
    status: z.enum(STATUSES),
    reason: z.string().nullable(),
    courier_id: z.string().nullable().meta({ example: "cur_1" }),
    external_id: z.string().nullable().meta({ example: "order-7" }),
    at: time,
    test: z.boolean().meta({ example: false }),
  })
  .meta({ id: "Event" });

const webhookFields = {
  id: z.string().meta({ example: "whk_5f2c8d1e9a7b4c30" }),
  owner: z.string().meta({ example: "acme" }),
  url: z.string().meta({ example: "https://example.com/hooks" }),
  created_at: time,
  disabled_reason: z.string().nullable(),
};
export const webhookAnswer = z.strictObject(webhookFields).meta({ id: "Webhook" });
export const webhooksAnswer = z.strictObject({ webhooks: z.array(webhookAnswer) });
/** The only answers that hold the secret. */
export const webhookSecretAnswer = z
  .strictObject({ ...webhookFields, secret: z.string().meta({ example: "whsec_c2VjcmV0" }) })
  .meta({ id: "WebhookWithSecret" });
export const webhookMessagesAnswer = z.strictObject({
  messages: z.array(
    z.strictObject({
      delivery_id: deliveryId,
      number: z.int().meta({ example: 2 }),
      type: z.string().meta({ example: "assigned" }),
      state: z.enum(["waiting", "sent", "dead"]),
      attempts: z.int(),
      created_at: time,
      due_at: time,
      ended_at: time.nullable(),
      last_error: z.string().nullable(),
    }),
  ),
});
export const resentAnswer = z.strictObject({ resent: z.int() });
export const removedAnswer = z.strictObject({ removed: z.literal(true) });

const codes = Object.keys(ERRORS) as [ErrorCode, ...ErrorCode[]];
export const problemAnswer = z
  .strictObject({
    type: z.string().meta({ example: "urn:hexdispatch:problem:invalid_field" }),
    title: z.string(),
    status: z.int().meta({ example: 422 }),
    code: z.enum(codes),
    detail: z.string(),
    instance: z.string().meta({ example: "/v1/deliveries" }),
    errors: z
      .array(
        z.strictObject({
          pointer: z.string().meta({ example: "/origin/lat" }),
          code: z.enum(codes),
          detail: z.string(),
        }),
      )
      .optional(),
  })
  .meta({ id: "Problem" });
