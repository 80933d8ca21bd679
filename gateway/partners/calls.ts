/**
 * What a partner can ask for over NATS: one row per action with its schema, its answer and what it does. The rows
 * call the very functions that the REST routes call, under the same policy, and share their idempotency keys; the
 * service runs them, the AsyncAPI page describes them.
 */
import { createHash } from "node:crypto";
import type { z } from "zod";
import type { IdempotencyKey } from "../../engine/store/port.ts";
import type { PartnerStore } from "../../engine/store/partners.ts";
import type { ErrorCode } from "../../proto/errors.ts";
import { PAGE_DEFAULT_ROWS } from "../../proto/limits.ts";
import type { DeliveryId } from "../../proto/ids.ts";
import type { PartnerAction } from "../../proto/subjects.ts";
import type { Commands } from "../commands.ts";
import { estimatesFor } from "../create.ts";
import type { Create } from "../create.ts";
import { decodeCursor, encodeCursor } from "../cursor.ts";
import type { Deps } from "../deps.ts";
import { keyOfExternalId } from "../idempotency.ts";
import type { Idempotency } from "../idempotency.ts";
import { mayTry, permitted } from "../policy.ts";
import type { Principal } from "../principal.ts";
import { fieldProblem } from "../problem.ts";
import type { Reader } from "../reader.ts";
import type { Revocations } from "../revocations.ts";
import { canceledAnswer, createdAnswer, deliveryAnswer, listAnswer } from "../schemas-answers.ts";
import { quoteAnswer } from "../schemas-answers.ts";
import { createBody, partnerCancelBody, partnerCreateBody, partnerGetBody } from "../schemas.ts";
import { partnerListBody, partnerUpdateBody } from "../schemas.ts";
import type { CreateBody, PartnerCreateBody } from "../schemas.ts";
import { timeText } from "../views.ts";
import type { Outlook } from "../outlook.ts";
import type { Quotes } from "./quote.ts";

export type PartnerParts = {
  readonly deps: Deps;
  readonly partners: Pick<PartnerStore, "changeDetails">;
  readonly create: Create;
  readonly commands: Commands;
  readonly reader: Reader;
  readonly idempotency: Idempotency;
  readonly outlook: Pick<Outlook, "expect">;
  readonly quotes: Quotes;
  readonly revocations: Pick<Revocations, "revokes">;
};
export type PartnerPrincipal = Extract<Principal, { role: "customer" | "partner" | "operator" }> & {
  readonly role: "partner";
};
export type PartnerCall<B = unknown> = {
  readonly principal: PartnerPrincipal;
  readonly body: B;
  readonly bytes: Uint8Array;
  /** Of the `Nats-Msg-Id` header; null without one. */
  readonly key: IdempotencyKey | null;
  readonly receivedAtUs: number;
};
export type PartnerAnswer = {
  readonly status: number;
  readonly body: unknown;
  readonly isReplay: boolean;
};
export type PartnerRow = {
  readonly summary: string;
  /** What the key's fingerprint names; a create shares its keys with REST. */
  readonly route: string;
  readonly body: z.ZodType;
  readonly answer: z.ZodType;
  readonly errors: readonly ErrorCode[];
  readonly run: (parts: PartnerParts, call: PartnerCall) => Promise<PartnerAnswer>;
};

/** A row with its types tied together: `run` gets what its schema makes. */
const row = <B extends z.ZodType>(
  given: Omit<PartnerRow, "body" | "run"> & {
    readonly body: B;
    readonly run: (parts: PartnerParts, call: PartnerCall<z.infer<B>>) => Promise<PartnerAnswer>;
  },
): PartnerRow => given as unknown as PartnerRow;

const fresh = (body: unknown): PartnerAnswer => ({ status: 200, body, isReplay: false });
const OF_STOPS = ["address_not_found", "city_not_loaded", "outside_service_area"] as const;
const OF_KEYS = ["idempotency_mismatch", "idempotency_in_progress"] as const;

export const PARTNER_CALLS: Readonly<Record<PartnerAction, PartnerRow>> = {
  quote: row({
    summary: "When a delivery would be picked up and arrive; good until `expires_at`.",
    route: "quote",
    body: createBody,
    answer: quoteAnswer,
    errors: OF_STOPS,
    async run({ deps, outlook, quotes }, { principal, body }) {
      const now = deps.clock.now();
      const { pickupAt, arrivalAt } = estimatesFor({ deps, outlook }, body, now);
      const claims = { partner: principal.subject, what: fingerprintOf(body) };
      const { quote, expiresAt } = quotes.issue(claims, now);
      return fresh({
        quote,
        expires_at: timeText(expiresAt),
        estimated_pickup_time: timeText(pickupAt),
        estimated_arrival: timeText(arrivalAt),
      });
    },
  }),
  create: row({
    summary: "Ask for a delivery, with or without a quote.",
    route: "POST /deliveries",
    body: partnerCreateBody,
    answer: createdAnswer,
    errors: [...OF_STOPS, ...OF_KEYS, "quote_expired"],
    run: runCreate,
  }),
  update: row({
    summary:
      "Change notes, numbers or the words of the destination before the pickup. Null takes notes or the recipient's number away.",
    route: "update",
    body: partnerUpdateBody,
    answer: deliveryAnswer,
    errors: ["not_found", "wrong_status", ...OF_KEYS],
    run: (parts, call) =>
      kept(parts, call, async () => {
        const { delivery_id: id, notes, recipient_phone: recipientPhone, phone } = call.body;
        const { destination_address: dropoffAddress } = call.body;
        const delivery = id as DeliveryId;
        const owner = call.principal.subject;
        const { store, clock } = parts.deps;
        permitted(call.principal, "update", await store.delivery(delivery), clock.now());
        const change = { notes, recipientPhone, phone, dropoffAddress };
        await parts.partners.changeDetails({ delivery, owner, ...change });
        return viewOf(parts, call.principal, delivery);
      }),
  }),
  cancel: row({
    summary: "Cancel a delivery before the pickup.",
    route: "cancel",
    body: partnerCancelBody,
    answer: canceledAnswer,
    errors: ["not_found", "wrong_status", ...OF_KEYS],
    run: (parts, call) =>
      kept(parts, call, async () => {
        const { delivery_id: id, reason } = call.body;
        mayTry(call.principal, "cancel");
        await parts.commands.cancel(call.principal, id as DeliveryId, reason ?? null);
        return { canceled: true, status: "canceled" };
      }),
  }),
  get: row({
    summary: "One delivery as it stands.",
    route: "get",
    body: partnerGetBody,
    answer: deliveryAnswer,
    errors: ["not_found"],
    run: async (parts, { principal, body }) =>
      fresh(await viewOf(parts, principal, body.delivery_id as DeliveryId)),
  }),
  list: row({
    summary: "Your deliveries, newest first, a page at a time.",
    route: "list",
    body: partnerListBody,
    answer: listAnswer,
    errors: [],
    run: runList,
  }),
};

async function runCreate(
  { deps, create, idempotency, quotes }: PartnerParts,
  call: PartnerCall<PartnerCreateBody>,
): Promise<PartnerAnswer> {
  const { principal, bytes, receivedAtUs } = call;
  const { quote, ...body } = call.body;
  const externalId = body.external_id;
  const { route } = PARTNER_CALLS.create;
  const key =
    call.key === null && externalId !== undefined
      ? keyOfExternalId(externalId, principal, route, bytes)
      : call.key;
  // A repetition is answered as the first was, even when the quote has run out meanwhile.
  const isRepeat = key !== null && (await deps.store.storedAnswer(key)) !== null;
  if (quote !== undefined && !isRepeat) {
    const claims = { partner: principal.subject, what: fingerprintOf(body) };
    quotes.check(quote, claims, deps.clock.now());
  }
  const owner = principal.subject;
  return idempotency.once(key, () => create({ owner, body, key, receivedAtUs }));
}

async function runList(
  { deps, reader }: PartnerParts,
  { principal, body }: PartnerCall<z.infer<typeof partnerListBody>>,
): Promise<PartnerAnswer> {
  const limit = body.limit ?? PAGE_DEFAULT_ROWS;
  const before = body.cursor === undefined ? null : decodeCursor(body.cursor);
  if (body.cursor !== undefined && before === null) {
    throw fieldProblem("/cursor", "invalid_field", "This cursor was not made here.");
  }
  const rows = await deps.store.deliveries({
    owner: principal.subject,
    courier: null,
    status: body.status ?? null,
    before,
    // One row more than asked for says whether there is a next page.
    limit: limit + 1,
  });
  const page = rows.slice(0, limit);
  const last = page.at(-1);
  return fresh({
    deliveries: await Promise.all(page.map((found) => reader.view(found, principal))),
    next_cursor: rows.length > limit && last !== undefined ? encodeCursor(last) : null,
  });
}

async function viewOf({ deps, reader }: PartnerParts, principal: PartnerPrincipal, id: DeliveryId) {
  const found = await deps.store.delivery(id);
  return reader.view(permitted(principal, "read", found, deps.clock.now()), principal);
}

/** For commands that are idempotent by nature. */
async function kept(
  { idempotency }: PartnerParts,
  { key }: PartnerCall,
  work: () => Promise<unknown>,
): Promise<PartnerAnswer> {
  return idempotency.once(key, () =>
    idempotency.kept(key, async () => ({ status: 200, body: await work() })),
  );
}

/** What an estimate depends on: the stops, the time and the vehicle; and the size, which a courier must carry. */
function fingerprintOf(body: CreateBody): string {
  const stop = (name: "origin" | "destination") => body[name] ?? body[`${name}_address`] ?? null;
  const what = [
    stop("origin"),
    stop("destination"),
    body.package_size,
    body.vehicle ?? null,
    body.ready_at ?? null,
  ];
  return createHash("sha256").update(JSON.stringify(what)).digest("base64url");
}
