/**
 * Deliveries as customers, partners, operators and tracking links meet them: quote, create, read,
 * list, change, cancel.
 */
import { createHash } from "node:crypto";
import type { DeliveryRow, ListQuery as StoreQuery } from "../../engine/store/port.ts";
import { PAGE_DEFAULT_ROWS } from "../../proto/limits.ts";
import { DispatchError } from "../../proto/errors.ts";
import type { DeliveryId } from "../../proto/ids.ts";
import { estimatesFor } from "./create.ts";
import { decodeCursor, encodeCursor } from "./cursor.ts";
import { keyOfExternalId } from "./idempotency.ts";
import { ROLES_OF, permitted } from "../access/policy.ts";
import type { Principal } from "../base/principal.ts";
import { fieldProblem } from "../base/problem.ts";
import { etagOf } from "../views/view-assembler.ts";
import { canceledAnswer, createdAnswer, deliveryAnswer, listAnswer } from "./answers.ts";
import { quoteAnswer } from "./answers.ts";
import { cancelBody, createBody, detailsBody, listQuery, quotedCreateBody } from "./schemas.ts";
import type { CreateBody, ListQuery } from "./schemas.ts";
import { timeText } from "../views/delivery-view.ts";
import { deliveryIdOf, operation, outwardOf, ownerOf } from "./operation.ts";
import type { OperationParts } from "./operation.ts";

const OF_STOPS = ["address_not_found", "city_not_loaded", "outside_service_area"] as const;

export const quoteDelivery = operation({
  summary: "When a delivery would be picked up and arrive; good until `expires_at`.",
  roles: ["customer", "partner"],
  kind: "read",
  body: createBody,
  query: null,
  keyed: { how: "kept", scope: "POST /quotes" },
  answers: { 201: quoteAnswer },
  errors: OF_STOPS,
  async run({ deps, forecast, quotes }, call) {
    const { body } = call;
    const now = deps.clock.now();
    const { pickupAt, arrivalAt } = estimatesFor({ deps, forecast }, body, now);
    const claims = { owner: ownerOf(call), what: whatIsQuoted(body) };
    const { quote, expiresAt } = quotes.issue(claims, now);
    return {
      status: 201,
      body: {
        quote,
        expires_at: timeText(expiresAt),
        estimated_pickup_time: timeText(pickupAt),
        estimated_arrival: timeText(arrivalAt),
      },
    };
  },
});

export const createDelivery = operation({
  summary:
    "Ask for a delivery, with or without a quote. Addresses are geocoded; coordinates win over addresses. 202: taken for certain, searched for as soon as the database is back.",
  roles: ["customer", "partner"],
  kind: "create",
  body: quotedCreateBody,
  query: null,
  keyed: { how: "own", scope: "POST /deliveries" },
  answers: { 201: createdAnswer, 202: createdAnswer },
  errors: [...OF_STOPS, "quote_expired", "idempotency_mismatch", "idempotency_in_progress"],
  async run({ deps, create, idempotency, quotes }, call) {
    const { principal, bytes, receivedAtUs } = call;
    const { quote, ...body } = call.body;
    const owner = ownerOf(call);
    const externalId = body.external_id;
    const key =
      call.key === null && externalId !== undefined
        ? keyOfExternalId(externalId, principal, "POST /deliveries", bytes)
        : call.key;
    // A repetition is answered as the first was, even when the quote has run out meanwhile.
    if (quote !== undefined && (key === null || (await deps.store.storedAnswer(key)) === null)) {
      quotes.check(quote, { owner, what: whatIsQuoted(body) }, deps.clock.now());
    }
    return idempotency.once(key, () => create({ owner, body, key, receivedAtUs }));
  },
});

export const getDelivery = operation({
  summary: "One delivery as it stands. Poll it with If-None-Match; 304 while nothing changed.",
  roles: ROLES_OF.read,
  kind: "read",
  body: null,
  query: null,
  keyed: null,
  answers: { 200: deliveryAnswer, 304: null },
  errors: ["not_found"],
  async run(parts, call) {
    const view = await viewOf(parts, call.principal, deliveryIdOf(call));
    return { status: 200, body: view, etag: etagOf(view) };
  },
});

export const listDeliveries = operation({
  summary: "Your deliveries, newest first, a page at a time.",
  roles: ROLES_OF.read,
  kind: "read",
  body: null,
  query: listQuery,
  keyed: null,
  answers: { 200: listAnswer },
  errors: ["invalid_field"],
  async run({ deps, reader }, { principal, query }) {
    const limit = Number(query.limit ?? PAGE_DEFAULT_ROWS);
    const before = query.cursor === undefined ? null : decodeCursor(query.cursor);
    if (query.cursor !== undefined && before === null) {
      throw fieldProblem("/cursor", "invalid_field", "This cursor was not made here.");
    }
    // One row more than asked for says whether there is a next page.
    const rows = await pageOf(deps, principal, query, before, limit + 1);
    const page = rows.slice(0, limit);
    const last = page.at(-1);
    const hasMore = rows.length > limit && last !== undefined;
    return {
      status: 200,
      body: {
        deliveries: await Promise.all(page.map((row) => reader.view(row, principal))),
        next_cursor: hasMore ? encodeCursor(last) : null,
      },
    };
  },
});

export const changeDelivery = operation({
  summary:
    "Change notes, numbers or the words of the destination before the pickup. Null takes notes or the recipient's number away.",
  roles: ROLES_OF.update,
  kind: "command",
  body: detailsBody,
  query: null,
  keyed: { how: "kept", scope: "PATCH /deliveries/{id}" },
  answers: { 200: deliveryAnswer },
  errors: ["not_found", "wrong_status"],
  async run(parts, call) {
    const { principal } = call;
    const { store, clock } = parts.deps;
    const delivery = deliveryIdOf(call);
    const { notes, recipient_phone: recipientPhone, phone } = call.body;
    const { destination_address: dropoffAddress } = call.body;
    const row = permitted(principal, "update", await store.delivery(delivery), clock.now());
    const change = { notes, recipientPhone, phone, dropoffAddress };
    await outwardOf(parts).store.changeDetails({ delivery, owner: row.owner, ...change });
    return { status: 200, body: await viewOf(parts, principal, delivery) };
  },
});

export const cancelDelivery = operation({
  summary: "Cancel a delivery: its owner before the pickup, an operator until it has ended.",
  roles: ROLES_OF.cancel,
  kind: "command",
  body: cancelBody,
  query: null,
  keyed: { how: "kept", scope: "POST /deliveries/{id}/cancel" },
  answers: { 200: canceledAnswer },
  errors: ["not_found", "wrong_status"],
  async run({ commands }, call) {
    const { principal, body } = call;
    if (principal.role === "courier" || principal.role === "tracking") {
      throw new DispatchError("forbidden");
    }
    await commands.cancel(principal, deliveryIdOf(call), body.reason ?? null);
    return { status: 200, body: { canceled: true, status: "canceled" } };
  },
});

async function viewOf(
  { deps, reader, spool }: Pick<OperationParts, "deps" | "reader" | "spool">,
  principal: Principal,
  id: DeliveryId,
) {
  const found = await deps.store.delivery(id);
  if (found === null) await spool.refuseIfTaken(principal, id);
  return reader.view(permitted(principal, "read", found, deps.clock.now()), principal);
}

async function pageOf(
  { store, clock }: OperationParts["deps"],
  principal: Principal,
  query: ListQuery,
  before: StoreQuery["before"],
  limit: number,
): Promise<readonly DeliveryRow[]> {
  const status = query.status ?? null;
  if (principal.role === "tracking") {
    if (before !== null) return [];
    const found = await store.delivery(principal.subject);
    const row = permitted(principal, "read", found, clock.now());
    return status === null || row.status === status ? [row] : [];
  }
  const { role, subject } = principal;
  return store.deliveries({
    owner: role === "customer" || role === "partner" ? subject : null,
    courier: role === "courier" ? subject : null,
    status,
    before,
    limit,
  });
}

/** What an estimate depends on: the stops, the time, the vehicle, and the size to be carried. */
function whatIsQuoted(body: CreateBody): string {
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
