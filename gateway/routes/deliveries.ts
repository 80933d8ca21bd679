/**
 * Deliveries as customers, partners, operators and tracking links meet them: create, read, list, cancel.
 */
import type { DeliveryRow, ListQuery as StoreQuery } from "../../engine/store/port.ts";
import { DispatchError } from "../../proto/errors.ts";
import { PAGE_DEFAULT_ROWS } from "../../proto/limits.ts";
import type { Principal } from "../principal.ts";
import type { Commands } from "../commands.ts";
import type { Create } from "../create.ts";
import { decodeCursor, encodeCursor } from "../cursor.ts";
import type { Deps } from "../deps.ts";
import { replayable } from "../http.ts";
import { keyOfExternalId } from "../idempotency.ts";
import type { IntakeDoor } from "../intake.ts";
import type { Idempotency } from "../idempotency.ts";
import { ROLES_OF, permitted } from "../policy.ts";
import { fieldProblem } from "../problem.ts";
import { etagOf, matchesEtag } from "../reader.ts";
import type { Reader } from "../reader.ts";
import { deliveryIdOf, route } from "../route.ts";
import type { Route } from "../route.ts";
import { canceledAnswer, createdAnswer, deliveryAnswer, listAnswer } from "../schemas-answers.ts";
import { cancelBody, createBody, listQuery } from "../schemas.ts";
import type { ListQuery } from "../schemas.ts";

export type DeliveryParts = {
  readonly deps: Pick<Deps, "store" | "clock">;
  readonly create: Create;
  readonly intake: Pick<IntakeDoor, "refuseIfTaken">;
  readonly commands: Commands;
  readonly reader: Reader;
  readonly idempotency: Idempotency;
};

export const deliveryRoutes = (parts: DeliveryParts): readonly Route[] => [
  createRoute(parts),
  readRoute(parts),
  listRoute(parts),
  cancelRoute(parts),
];

const createRoute = ({ create, idempotency }: DeliveryParts): Route =>
  route({
    method: "POST",
    path: "/deliveries",
    name: "createDelivery",
    roles: ["customer", "partner"],
    body: createBody,
    query: null,
    idempotency: "own",
    doc: {
      summary:
        "Ask for a delivery. Addresses are geocoded; coordinates win over addresses. 202: taken for certain, searched for as soon as the database is back.",
      answers: { 201: createdAnswer, 202: createdAnswer },
      errors: [
        "address_not_found",
        "city_not_loaded",
        "outside_service_area",
        "idempotency_mismatch",
        "idempotency_in_progress",
      ],
    },
    async handle({ principal, body, bodyBytes, receivedAtUs, route: name, key: given }) {
      if (principal.role !== "customer" && principal.role !== "partner") {
        throw new DispatchError("forbidden");
      }
      const { external_id: externalId } = body;
      const key =
        given === null && externalId !== undefined
          ? keyOfExternalId(externalId, principal, name, bodyBytes)
          : given;
      const owner = principal.subject;
      const answer = await idempotency.once(key, () => create({ owner, body, key, receivedAtUs }));
      return replayable(answer.status, answer.body, answer.isReplay);
    },
  });

const readRoute = ({ deps, reader, intake }: DeliveryParts): Route =>
  route({
    method: "GET",
    path: "/deliveries/{id}",
    name: "getDelivery",
    roles: ROLES_OF.read,
    body: null,
    query: null,
    idempotency: "none",
    doc: {
      summary: "One delivery as it stands. Poll it with If-None-Match; 304 while nothing changed.",
      answers: { 200: deliveryAnswer, 304: null },
      errors: ["not_found"],
    },
    async handle(call) {
      const id = deliveryIdOf(call);
      const found = await deps.store.delivery(id);
      if (found === null) await intake.refuseIfTaken(call.principal, id);
      const row = permitted(call.principal, "read", found, deps.clock.now());
      const view = await reader.view(row, call.principal);
      const etag = etagOf(view);
      const isKnown = matchesEtag(call.headers["if-none-match"], etag);
      if (isKnown) return { status: 304, headers: { etag } };
      return { status: 200, json: view, headers: { etag } };
    },
  });

const listRoute = ({ deps, reader }: DeliveryParts): Route =>
  route({
    method: "GET",
    path: "/deliveries",
    name: "listDeliveries",
    roles: ROLES_OF.read,
    body: null,
    query: listQuery,
    idempotency: "none",
    doc: {
      summary: "Your deliveries, newest first, a page at a time.",
      answers: { 200: listAnswer },
      errors: ["invalid_field"],
    },
    async handle({ principal, query }) {
      const limit = Number(query.limit ?? PAGE_DEFAULT_ROWS);
      const before = query.cursor === undefined ? null : decodeCursor(query.cursor);
      if (query.cursor !== undefined && before === null) {
        throw fieldProblem("/cursor", "invalid_field", "This cursor was not made here.");
      }
      const rows = await pageOf(deps, principal, query, before, limit + 1);
      // One row more than asked for says whether there is a next page.
      const page = rows.slice(0, limit);
      const last = page.at(-1);
      const hasMore = rows.length > limit && last !== undefined;
      return {
        status: 200,
        json: {
          deliveries: await Promise.all(page.map((row) => reader.view(row, principal))),
          next_cursor: hasMore ? encodeCursor(last) : null,
        },
      };
    },
  });

async function pageOf(
  { store, clock }: DeliveryParts["deps"],
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

const cancelRoute = ({ commands }: DeliveryParts): Route =>
  route({
    method: "POST",
    path: "/deliveries/{id}/cancel",
    name: "cancelDelivery",
    roles: ROLES_OF.cancel,
    body: cancelBody,
    query: null,
    idempotency: "kept",
    doc: {
      summary: "Cancel a delivery: its owner before the pickup, an operator until it has ended.",
      answers: { 200: canceledAnswer },
      errors: ["not_found", "wrong_status"],
    },
    async handle(call) {
      const { principal, body } = call;
      if (principal.role === "courier" || principal.role === "tracking") {
        throw new DispatchError("forbidden");
      }
      await commands.cancel(principal, deliveryIdOf(call), body.reason ?? null);
      return { status: 200, json: { canceled: true, status: "canceled" } };
    },
  });
