/**
 * What operators do: make and change couriers, look at the live fleet, read why a delivery went
 * where it went, throw out a principal or a token.
 */
import { shardOfCourier } from "../../engine/cluster/shards.ts";
import type { CourierRow, Position } from "../../engine/store/port.ts";
import { DispatchError } from "../../proto/errors.ts";
import { isCourierId } from "../../proto/ids.ts";
import type { DeliveryId } from "../../proto/ids.ts";
import type { Deps } from "../base/deps.ts";
import { ROLES_OF, permitted } from "../access/policy.ts";
import type { Principal } from "../base/principal.ts";
import { fieldProblem } from "../base/problem.ts";
import { courierAnswer, fleetAnswer, ledgerAnswer, successAnswer } from "./answers.ts";
import { courierBody, revocationBody } from "./schemas.ts";
import { courierView } from "../views/delivery-view.ts";
import { deliveryIdOf, operation } from "./operation.ts";

export const putCourier = operation({
  summary: "Make a courier, or change one.",
  answers: { 200: courierAnswer },
  errors: ["invalid_field"],
  roles: ["operator"],
  kind: "command",
  body: courierBody,
  query: null,
  keyed: null,
  async run({ deps, actorClient, positionCache }, { id, body }) {
    if (!isCourierId(id)) {
      throw fieldProblem("/id", "invalid_field", "A courier's id is cur_ and up to 40 letters.");
    }
    const shard = shardOfCourier(id, deps.config.shards);
    const row = await deps.store.putCourier({ id, shard, ...body });
    const { vehicle, capacity } = row;
    actorClient.tellCourier(id, { type: "profile", vehicle, capacity });
    const position = await positionCache.of(id);
    return { status: 200, body: courierView(row, position, deps.clock.now()) };
  },
});

export const listCouriers = operation({
  summary: "All couriers, with the position of those that a node knows.",
  answers: { 200: fleetAnswer },
  errors: [],
  roles: ["operator"],
  kind: "read",
  body: null,
  query: null,
  keyed: null,
  async run({ deps, actorClient }) {
    const [rows, records] = await Promise.all([deps.store.couriers(), actorClient.fleet()]);
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
    return { status: 200, body: { couriers: rows.map(view) } };
  },
});

export const getLedger = operation({
  summary: "Why the delivery went where it went: every decision with its reason, oldest first.",
  answers: { 200: ledgerAnswer },
  errors: ["not_found", "unavailable"],
  roles: ROLES_OF.ledger,
  kind: "read",
  body: null,
  query: null,
  keyed: null,
  async run({ deps, spool }, call) {
    const id = deliveryIdOf(call);
    const found = await deps.store.delivery(id);
    if (found === null) await spool.refuseIfTaken(call.principal, id);
    permitted(call.principal, "ledger", found, deps.clock.now());
    const entries = await readLedger(deps, id);
    return { status: 200, body: { delivery_id: id, entries } };
  },
});

export const revoke = operation({
  summary:
    "Throw out a principal (its tokens and links made so far) or one token. Open sockets of theirs end within seconds, at every gateway.",
  answers: { 200: successAnswer },
  errors: ["invalid_field", "unavailable"],
  roles: ["operator"],
  kind: "command",
  body: revocationBody,
  query: null,
  keyed: { how: "kept", scope: "POST /revocations" },
  async run({ revocations }, { body }) {
    const { role, subject, jti } = body;
    if (jti !== undefined) await revocations.revoke({ jti });
    if (role !== undefined && subject !== undefined) {
      await revocations.revoke({ principal: { role, subject } as Principal });
    }
    return { status: 200, body: { success: true } };
  },
});

async function readLedger(deps: Pick<Deps, "ledger">, id: DeliveryId) {
  try {
    return await deps.ledger(id);
  } catch (cause) {
    if (cause instanceof DispatchError) throw cause;
    throw new DispatchError("unavailable", undefined, { cause });
  }
}
