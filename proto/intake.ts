/**
 * A create on its way through the INTAKE stream: the whole command, and the answer that its caller
 * got. Written by gateways while Postgres is away, read by the worker (`engine/streams/intake.ts`)
 * and by gateways that meet the same key again. Messages may lie in the stream for a day: fields
 * are only appended.
 */
import { INTERNAL_BOUNDS, tableCodec } from "./codec.ts";
import type { Table, UnionOf } from "./codec.ts";
import { kilograms, maybe, millis, str, struct, u16 } from "./field.ts";
import {
  ADDRESS_MAX_CHARS,
  EXTERNAL_ID_MAX_CHARS,
  NOTES_MAX_CHARS,
  PHONE_MAX_CHARS,
} from "./limits.ts";
import { job } from "./messages.ts";

/**
 * A key with the prefix that says where it came from, and a principal with its role, are longer
 * than their bounds.
 */
const SLACK_CHARS = 64;
const BODY_MAX_CHARS = 8_192;

const intakeKey = struct("idempotency key", {
  principal: str(128),
  key: str(255 + SLACK_CHARS),
  fingerprint: str(SLACK_CHARS),
});

export const intakeTable = {
  create: {
    code: 1,
    doc: "A create that was answered `status` and `body` (JSON) before it was committed. `trackingHash` is hexadecimal.",
    fields: {
      job,
      externalId: maybe(str(EXTERNAL_ID_MAX_CHARS)),
      pickupAddress: maybe(str(ADDRESS_MAX_CHARS)),
      dropoffAddress: maybe(str(ADDRESS_MAX_CHARS)),
      weightKg: maybe(kilograms),
      phone: str(PHONE_MAX_CHARS),
      recipientPhone: maybe(str(PHONE_MAX_CHARS)),
      notes: maybe(str(NOTES_MAX_CHARS)),
      readyAt: maybe(millis),
      searchAt: millis,
      estimatedPickupAt: millis,
      estimatedArrivalAt: millis,
      trackingHash: str(SLACK_CHARS),
      key: maybe(intakeKey),
      status: u16,
      body: str(BODY_MAX_CHARS),
    },
  },
} as const satisfies Table;

export const intakeMessages = tableCodec(intakeTable, INTERNAL_BOUNDS);
export type IntakeMessage = UnionOf<typeof intakeTable>;
