/**
 * What operators do over REST: make and change couriers, look at the live fleet, read why a delivery went where it went.
 */
import { shardOfCourier } from "../../engine/shards.ts";
import type { CourierRow, Position } from "../../engine/store/port.ts";
import { DispatchError } from "../../proto/errors.ts";
import { isCourierId } from "../../proto/ids.ts";
import type { Deps } from "../deps.ts";
import type { IntakeDoor } from "../intake.ts";
import type { Mail } from "../mail.ts";
import { ROLES_OF, permitted } from "../policy.ts";
import type { Principal } from "../principal.ts";
import { fieldProblem } from "../problem.ts";
import { deliveryIdOf, route } from "../route.ts";
import type { Route } from "../route.ts";
import { courierAnswer, fleetAnswer, ledgerAnswer, successAnswer } from "../schemas-answers.ts";
import { courierBody, revocationBody } from "../schemas.ts";
import type { Revocations } from "../revocations.ts";
import { courierView } from "../views.ts";
import type { Whereabouts } from "../whereabouts.ts";

export type OperatorParts = {
  readonly deps: Pick<Deps, "store" | "clock" | "ledger" | "config">;
  readonly mail: Mail;
  readonly intake: Pick<IntakeDoor, "refuseIfTaken">;
  readonly whereabouts: Whereabouts;
  readonly revocations: Pick<Revocations, "revoke">;
};

export const operatorRoutes = (parts: OperatorParts): readonly Route[] => [
  putCourierRoute(parts),
  fleetRoute(parts),
  ledgerRoute(parts),
  revokeRoute(parts),
];

const putCourierRoute = ({ deps, mail, whereabouts }: OperatorParts): Route =>
  route({
    method: "PUT",
    path: "/couriers/{id}",
    name: "putCourier",
    roles: ["operator"],
    body: courierBody,
    query: null,
    idempotency: "none",
    doc: {
      summary: "Make a courier, or change one.",
      answers: { 200: courierAnswer },
      errors: ["invalid_field"],
    },
    async handle({ id, body }) {
      if (!isCourierId(id)) {
        throw fieldProblem("/id", "invalid_field", "A courier's id is cur_ and up to 40 letters.");
      }
      const shard = shardOfCourier(id, deps.config.shards);
      const row = await deps.store.putCourier({ id, shard, ...body });
      const { vehicle, capacity } = row;
      mail.tellCourier(id, { type: "profile", vehicle, capacity });
      const position = await whereabouts.of(id);
      return { status: 200, json: courierView(row, position, deps.clock.now()) };
    },
  });

const fleetRoute = ({ deps, mail }: OperatorParts): Route =>
  route({
    method: "GET",
    path: "/couriers",
    name: "listCouriers",
    roles: ["operator"],
    body: null,
    query: null,
    idempotency: "none",
    doc: {
      summary: "All couriers, with the position of those that a node knows.",
      answers: { 200: fleetAnswer },
      errors: [],
    },
    async handle() {
      const [rows, records] = await Promise.all([deps.store.couriers(), mail.fleet()]);
      const positions = new Map<string, Position>();
      const doubts = new Map<string, number>();
      for (const { courier, at, lng, lat, doubt } of records) {
        const isNewer = at > (positions.get(courier)?.at ?? 0);
        if (!isNewer) continue;
        positions.set(courier, { courier, at, lng, lat });
        doubts.set(courier, Math.min(100, doubt));
      }
      const now = deps.clock.now();
      const view = (row: CourierRow) =>
        courierView(row, positions.get(row.id) ?? null, now, doubts.get(row.id));
      return { status: 200, json: { couriers: rows.map(view) } };
    },
  });

const ledgerRoute = ({ deps, intake }: OperatorParts): Route =>
  route({
    method: "GET",
    path: "/deliveries/{id}/ledger",
    name: "getLedger",
    roles: ROLES_OF.ledger,
    body: null,
    query: null,
    idempotency: "none",
    doc: {
      summary: "Why the delivery went where it went: every decision with its reason, oldest first.",
      answers: { 200: ledgerAnswer },
      errors: ["not_found", "unavailable"],
    },
    async handle(call) {
      const id = deliveryIdOf(call);
      const found = await deps.store.delivery(id);
      if (found === null) await intake.refuseIfTaken(call.principal, id);
      permitted(call.principal, "ledger", found, deps.clock.now());
      const entries = await readLedger(deps, id);
      return { status: 200, json: { delivery_id: id, entries } };
    },
  });

const revokeRoute = ({ revocations }: OperatorParts): Route =>
  route({
    method: "POST",
    path: "/revocations",
    name: "revoke",
    roles: ["operator"],
    body: revocationBody,
    query: null,
    idempotency: "kept",
    doc: {
      summary:
        "Throw out a principal (its tokens and links made so far) or one token. Open sockets of theirs end within seconds, at every gateway.",
      answers: { 200: successAnswer },
      errors: ["invalid_field", "unavailable"],
    },
    async handle({ body }) {
      const { role, subject, jti } = body;
      if (jti !== undefined) await revocations.revoke({ jti });
      if (role !== undefined && subject !== undefined) {
        await revocations.revoke({ principal: { role, subject } as Principal });
      }
      return { status: 200, json: { success: true } };
    },
  });

async function readLedger(deps: OperatorParts["deps"], id: Parameters<Deps["ledger"]>[0]) {
  try {
    return await deps.ledger(id);
  } catch (cause) {
    if (cause instanceof DispatchError) throw cause;
    throw new DispatchError("unavailable", undefined, { cause });
  }
}
