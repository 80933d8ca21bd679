/**
 * What requests may contain: one schema for each body and query, built once. The same schemas check
 * requests (`operations/run.ts`) and describe them (`gateway/rest/openapi.ts`), so the description
 * cannot drift from the check. Objects are strict: a key that is not listed is refused, `__proto__`
 * and `constructor` included.
 *
 * What texts may hold is one rule for all doors (`proto/text.ts`).
 */
import { z } from "zod";
import { REPORTED_STATUSES } from "../../proto/frames.ts";
import { PACKAGE_SIZES, VEHICLES } from "../../proto/geo.ts";
import { COURIER_ID_PATTERN, DELIVERY_ID_PATTERN } from "../../proto/ids.ts";
import { PRINCIPAL_ID_PATTERN, ROLES } from "../../proto/ids.ts";
import {
  ACCURACY_MAX_M,
  ADDRESS_MAX_CHARS,
  COURIER_CAPACITY_MAX_DELIVERIES,
  EXTERNAL_ID_MAX_CHARS,
  NAME_MAX_CHARS,
  NOTES_MAX_CHARS,
  PAGE_DEFAULT_ROWS,
  PAGE_MAX_ROWS,
  PHONE_MAX_CHARS,
  PHONE_MIN_CHARS,
  QUOTE_MAX_CHARS,
  REASON_MAX_CHARS,
  WEBHOOK_URL_MAX_CHARS,
  WEIGHT_MAX_KG,
} from "../../proto/limits.ts";
import { STATUSES } from "../../proto/status.ts";
import { isLine, isProse, isVisible } from "../../proto/text.ts";
import { TEST_SCENARIO_NAMES } from "../../proto/test-mode.ts";

/** 2100-01-01: later than any time that makes sense here. */
const TIME_MAX_MS = 4_102_444_800_000;
/** A canceller's own words are appended to the reason's code, and both must fit. */
const CANCEL_REASON_MAX_CHARS = REASON_MAX_CHARS - 40;

const line = (minChars: number, maxChars: number) =>
  z.string().min(minChars).max(maxChars).refine(isLine, "must be one line of plain text");
const filled = (maxChars: number) => line(1, maxChars).refine(isVisible, "must not be empty");

const address = (example: string) => filled(ADDRESS_MAX_CHARS).meta({ example });
const phone = z
  .string()
  .min(PHONE_MIN_CHARS)
  .max(PHONE_MAX_CHARS)
  .regex(/^(?=(?:[^0-9]*[0-9]){5})[0-9+\-(). ]+$/, "must be a phone number")
  .meta({ example: "+1-555-0100" });
const time = z.iso
  .datetime({ offset: true })
  .max(40)
  .refine((text) => isTime(Date.parse(text)), "must be a time between 1970 and 2100")
  .meta({ example: "2026-05-03T14:15:00Z" });
const isTime = (ms: number): boolean => ms >= 0 && ms <= TIME_MAX_MS;
const vehicle = z.enum(VEHICLES).meta({ example: "bike" });
const size = z.enum(PACKAGE_SIZES).meta({ example: "small" });
const lat = z.number().min(-90).max(90).meta({ example: 37.7749 });
const lng = z.number().min(-180).max(180).meta({ example: -122.4194 });
const reason = line(1, REASON_MAX_CHARS);
/** May repeat the token's subject, never replace it. */
const courierId = z.string().regex(COURIER_ID_PATTERN).meta({ example: "cur_1" });

export const point = z.strictObject({ lat, lng });

type Stops = { readonly [field in Stop | `${Stop}_address`]?: unknown };
type Stop = "origin" | "destination";

/**
 * A stop is given as a point, an address or both. Checked even when other fields are bad, to name
 * all at once.
 */
const eitherForm = (stop: Stop) =>
  [
    (body: Stops) => body[stop] !== undefined || body[`${stop}_address`] !== undefined,
    {
      path: [`${stop}_address`] as PropertyKey[],
      message: `Give ${stop}_address or ${stop}.`,
      when: ({ value }: { value: unknown }) =>
        typeof value === "object" && value !== null && !Array.isArray(value),
    },
  ] as const;

const createShape = {
  origin_address: address("123 Market St, SF").optional(),
  destination_address: address("456 Valencia St, SF").optional(),
  origin: point.optional(),
  destination: point.optional(),
  package_size: size,
  phone,
  weight_kg: z.number().positive().max(WEIGHT_MAX_KG).optional(),
  recipient_phone: phone.optional(),
  external_id: filled(EXTERNAL_ID_MAX_CHARS).optional(),
  ready_at: time.optional(),
  notes: z.string().max(NOTES_MAX_CHARS).refine(isProse, "must be plain text").optional(),
  vehicle: vehicle.optional(),
  /** Served by a robot and told to nobody else. A `test_` principal need not say it. */
  test: z.boolean().optional().meta({ example: true }),
  test_scenario: z.enum(TEST_SCENARIO_NAMES).optional().meta({ example: "returned" }),
};
export const createBody = z
  .strictObject(createShape)
  .refine(...eitherForm("origin"))
  .refine(...eitherForm("destination"));
/** A create may name the quote that it goes by. */
export const quotedCreateBody = z
  .strictObject({
    ...createShape,
    quote: z
      .string()
      .max(QUOTE_MAX_CHARS)
      .regex(/^[\x21-\x7e]+$/, "must be a quote")
      .optional(),
  })
  .refine(...eitherForm("origin"))
  .refine(...eitherForm("destination"));
const { notes, recipient_phone: recipientPhone, destination_address: door } = createShape;
const deliveryId = z
  .string()
  .regex(DELIVERY_ID_PATTERN)
  .meta({ example: "del_00a0mn3k2v8q4x7z1c5b9d" });
export const partnerGetBody = z.strictObject({ delivery_id: deliveryId });
/**
 * What may change before the pickup; null takes it away. The address is for people: the point
 * stays.
 */
const detailsShape = {
  notes: notes.unwrap().nullable().optional(),
  recipient_phone: recipientPhone.unwrap().nullable().optional(),
  phone: phone.optional(),
  destination_address: door.unwrap().optional(),
};
export const detailsBody = z
  .strictObject(detailsShape)
  .refine((body) => Object.keys(body).length > 0, "must change something");
export const partnerUpdateBody = z
  .strictObject({ delivery_id: deliveryId, ...detailsShape })
  .refine((body) => Object.keys(body).length > 1, "must change something");
export type CreateBody = z.infer<typeof createBody>;

export const acceptBody = z.strictObject({ courier_id: courierId.optional() });
export const declineBody = z.strictObject({
  courier_id: courierId.optional(),
  reason: reason.optional(),
});
export const statusBody = z.strictObject({
  status: z.enum(REPORTED_STATUSES),
  timestamp: time.optional(),
  reason: reason.optional(),
  courier_id: courierId.optional(),
});
export type StatusBody = z.infer<typeof statusBody>;
export const cancelBody = z.strictObject({ reason: line(1, CANCEL_REASON_MAX_CHARS).optional() });
export const partnerCancelBody = z.strictObject({
  delivery_id: deliveryId,
  reason: line(1, CANCEL_REASON_MAX_CHARS).optional(),
});
export const partnerListBody = z.strictObject({
  status: z.enum(STATUSES).optional(),
  cursor: z.string().max(80).optional(),
  limit: z.int().min(1).max(PAGE_MAX_ROWS).optional().meta({ example: PAGE_DEFAULT_ROWS }),
});

export const courierBody = z.strictObject({
  name: filled(NAME_MAX_CHARS).meta({ example: "Alice Example" }),
  phone,
  vehicle,
  capacity: z.int().min(1).max(COURIER_CAPACITY_MAX_DELIVERIES).meta({ example: 2 }),
});
/**
 * Either a principal or a token, each whole. The values are compared with what tokens hold, and
 * nothing else.
 */
export const revocationBody = z
  .strictObject({
    role: z.enum(ROLES).optional().meta({ example: "courier" }),
    subject: z
      .string()
      .regex(/^[A-Za-z0-9_-]{1,64}$/, "must be the subject of a token")
      .optional()
      .meta({ example: "cur_1" }),
    jti: z
      .string()
      .regex(/^[A-Za-z0-9_-]{1,64}$/, "must be the jti of a token")
      .optional()
      .meta({ example: "0b7dd1b2-6bd1-4f66-a7f7-7d94e3a1a1f3" }),
  })
  .refine(({ role, subject, jti }) => {
    const isPrincipal = role !== undefined && subject !== undefined;
    const isHalf = (role === undefined) !== (subject === undefined);
    return !isHalf && isPrincipal !== (jti !== undefined);
  }, "name a role and a subject, or a jti");
export const shiftBody = z.strictObject({
  online: z.boolean(),
  courier_id: courierId.optional(),
});
export const locationBody = z.strictObject({
  lat,
  lng,
  accuracy_m: z.number().min(0).max(ACCURACY_MAX_M).optional(),
  timestamp: time.optional(),
  /** Rises by one with each report of a courier; without it the time alone orders the reports. */
  seq: z.int().min(0).max(4_294_967_295).optional(),
  courier_id: courierId.optional(),
});
export type LocationBody = z.infer<typeof locationBody>;

/** Numbers in a query are text; only the plain decimal notation is taken. */
const decimal = (limit: number, example: number) =>
  z
    .string()
    .max(24)
    .regex(/^-?\d{1,3}(\.\d{1,18})?$/, "must be a decimal number")
    .refine((text) => Math.abs(Number(text)) <= limit, `must be from -${limit} to ${limit}`)
    .meta({ example: String(example) });

export const listQuery = z.strictObject({
  status: z.enum(STATUSES).optional(),
  cursor: z.string().max(80).optional(),
  limit: z
    .string()
    .regex(/^\d{1,3}$/, "must be a whole number")
    .refine(
      (text) => Number(text) >= 1 && Number(text) <= PAGE_MAX_ROWS,
      `must be 1 to ${PAGE_MAX_ROWS}`,
    )
    .optional()
    .meta({ example: String(PAGE_DEFAULT_ROWS) }),
});
export type ListQuery = z.infer<typeof listQuery>;
export const availableQuery = z.strictObject({
  lat: decimal(90, 37.7749),
  lng: decimal(180, -122.4194),
  courier_id: courierId.optional(),
});
export type AvailableQuery = z.infer<typeof availableQuery>;

export const webhookBody = z.strictObject({
  /** As it goes over the wire: a name of other letters is given in its encoded form (`xn--`). */
  url: z
    .string()
    .max(WEBHOOK_URL_MAX_CHARS)
    .regex(/^[\x21-\x7e]+$/, "must be a URL in ASCII")
    .meta({ example: "https://example.com/hooks" }),
  /** Operators only: whose deliveries. A partner's is its own. */
  owner: z.string().regex(PRINCIPAL_ID_PATTERN).optional(),
});
export const resendBody = z.strictObject({ delivery_id: deliveryId.optional() });
export const webhookMessagesQuery = z.strictObject({
  state: z.enum(["waiting", "sent", "dead"]).optional(),
});

/** For calls that take no body fields or no parameters at all. */
export const nothing = z.strictObject({});
