/**
 * What a principal can make happen to a delivery or a courier: accept, decline, status, cancel,
 * shift. REST and the WebSocket call the very same functions, so both doors have the same rules and
 * codes. The store decides and commits; afterwards the actors are told, which may be lost and is
 * repeated by the relay (decision 0003). A courier is who its token says: the caller passes the
 * subject, never an id from a body.
 */
import type { ChangeOutcome, DeliveryRow } from "../../engine/store/port.ts";
import { shardOfCourier } from "../../engine/cluster/shards.ts";
import { DispatchError } from "../../proto/errors.ts";
import type { ReportedStatus } from "../../proto/frames.ts";
import { shardOfDelivery } from "../../proto/ids.ts";
import type { CourierId, DeliveryId, Millis, PrincipalId } from "../../proto/ids.ts";
import { REASON_MAX_CHARS } from "../../proto/limits.ts";
import type { Deps } from "../base/deps.ts";
import type { Spool } from "./spool.ts";
import type { ActorClient } from "../backend/actor-client.ts";

export type StatusReport = {
  readonly status: ReportedStatus;
  /** The phone's own time: kept as a claim, used for nothing. */
  readonly claimedAt: Millis | null;
  readonly reason: string | null;
};
export type Canceler =
  | { readonly role: "customer" | "partner"; readonly subject: PrincipalId }
  | { readonly role: "operator" };

export type Commands = {
  /**
   * The delivery, now the courier's. Rejects with the store's refusal (`delivery_taken`,
   * `courier_busy`, ...).
   */
  readonly accept: (courier: CourierId, delivery: DeliveryId) => Promise<DeliveryRow>;
  /** Rejects with `not_offered`, `not_found` or `unavailable`. */
  readonly decline: (
    courier: CourierId,
    delivery: DeliveryId,
    reason: string | null,
  ) => Promise<void>;
  readonly status: (
    courier: CourierId,
    delivery: DeliveryId,
    report: StatusReport,
  ) => Promise<DeliveryRow>;
  readonly cancel: (
    by: Canceler,
    delivery: DeliveryId,
    words: string | null,
  ) => Promise<DeliveryRow>;
  /** Gives whether the courier is on shift afterwards. */
  readonly shift: (courier: CourierId, online: boolean) => Promise<boolean>;
};

export function createCommands(
  deps: Pick<Deps, "store" | "config">,
  actorClient: ActorClient,
  spool: Pick<Spool, "refuseIfTaken">,
): Commands {
  const { store, config } = deps;
  const spread = (row: DeliveryRow): void => {
    actorClient.tellDelivery(row.id, {
      type: "changed",
      version: row.version,
      status: row.status,
      courier: row.courierId,
      at: row.endedAt ?? row.pickedUpAt ?? row.assignedAt ?? row.createdAt,
      reason: row.statusReason === null ? null : row.statusReason.slice(0, REASON_MAX_CHARS),
    });
    actorClient.nudgeOutbox();
  };
  const spreadChange = (outcome: ChangeOutcome): DeliveryRow => {
    if (outcome.outcome === "refused") throw new DispatchError(outcome.code);
    spread(outcome.row);
    return outcome.row;
  };

  return {
    async accept(courier, delivery) {
      const outcome = await store.accept({ delivery, courier });
      if (outcome.outcome === "refused") throw new DispatchError(outcome.code);
      spread(outcome.row);
      return outcome.row;
    },
    async decline(courier, id, reason) {
      const msg = { type: "declined", courier, reason } as const;
      await actorClient.ask({ kind: "delivery", id, msg }, shardOfDelivery(id));
    },
    async status(courier, delivery, { status, claimedAt, reason }) {
      const why = reason ?? (status === "returned" ? "returned_by_courier" : null);
      return spreadChange(
        await store.status({ delivery, courier, status, claimedAt, reason: why }),
      );
    },
    async cancel(by, delivery, words) {
      const isOperator = by.role === "operator";
      const code = isOperator ? "canceled_by_operator" : "canceled_by_customer";
      const reason = words === null ? code : `${code}: ${words}`;
      const who = isOperator
        ? ({ role: "operator" } as const)
        : ({ role: "owner", owner: by.subject } as const);
      const outcome = await store.cancel({ delivery, by: who, reason });
      const isAbsent = outcome.outcome === "refused" && outcome.code === "not_found";
      if (isAbsent) await spool.refuseIfTaken(by, delivery);
      return spreadChange(outcome);
    },
    async shift(id, online) {
      const msg = { type: "shift", online } as const;
      const answer = await actorClient.ask(
        { kind: "courier", id, msg },
        shardOfCourier(id, config.shards),
      );
      return answer.online ?? online;
    },
  };
}
