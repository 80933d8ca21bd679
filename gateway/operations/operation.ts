/**
 * What an operation is: one row with its roles, what it takes and answers, what it is worth under
 * overload, how an idempotency key works for it, and the function that runs it. A row knows no
 * door: REST, the WebSocket and NATS bind to it by name (`operations/table.ts` has all rows,
 * `operations/run.ts` runs them).
 */
import type { z } from "zod";
import type { IdempotencyKey, DeliveryRow } from "../../engine/store/port.ts";
import type { ErrorCode } from "../../proto/errors.ts";
import { DispatchError } from "../../proto/errors.ts";
import { isDeliveryId } from "../../proto/ids.ts";
import type { CourierId, DeliveryId, PrincipalId, Role } from "../../proto/ids.ts";
import type { RequestKind } from "../access/admission.ts";
import type { Commands } from "./commands.ts";
import type { Create } from "./create.ts";
import type { Deps, Outward } from "../base/deps.ts";
import type { Idempotency } from "./idempotency.ts";
import type { Ingest } from "../backend/ping-ingest.ts";
import type { Spool } from "./spool.ts";
import type { ActorClient } from "../backend/actor-client.ts";
import type { EtaForecast } from "../views/eta-forecast.ts";
import type { Quotes } from "../partners/quote.ts";
import type { Principal } from "../base/principal.ts";
import { fieldProblem } from "../base/problem.ts";
import type { Reader } from "../views/view-assembler.ts";
import type { Revocations } from "../access/revocations.ts";
import type { PositionCache } from "../views/position-cache.ts";

/** What the functions behind the rows work with; made once per gateway. */
export type OperationParts = {
  readonly deps: Deps;
  readonly create: Create;
  readonly commands: Commands;
  readonly idempotency: Idempotency;
  readonly ingest: Ingest;
  readonly spool: Pick<Spool, "refuseIfTaken">;
  readonly actorClient: ActorClient;
  readonly forecast: EtaForecast;
  readonly quotes: Quotes;
  readonly reader: Reader;
  readonly revocations: Pick<Revocations, "revoke" | "revokes">;
  readonly positionCache: PositionCache;
};

/** A request that passed everything which does not depend on the operation's own logic. */
export type Call<B = unknown, Q = unknown> = {
  readonly principal: Principal;
  /** The thing that the operation is about, unchecked; empty when there is none. */
  readonly id: string;
  readonly body: B;
  readonly query: Q;
  /** The bytes behind `body`, for the fingerprint of a key. */
  readonly bytes: Uint8Array;
  readonly key: IdempotencyKey | null;
  /** When the request arrived, microseconds since 1970. */
  readonly receivedAtUs: number;
};

/** What an operation answers, before a door writes it in its own way. */
export type Outcome = {
  /** The HTTP status; other doors say it in their own way. */
  readonly status: number;
  /** A JSON value; null or absent for none. */
  readonly body?: unknown;
  /** The answer of an earlier request with the same key. */
  readonly isReplay?: boolean;
  /** Names this state of the content (RFC 9110, 8.8.3). */
  readonly etag?: string;
  /** The delivery after the command, for a door that tells more than the answer. */
  readonly delivery?: DeliveryRow;
};

/** A key works on operations that change something; `scope` is part of its fingerprint. */
export type Keyed = {
  /** `kept`: looked up before, kept after. `own`: the operation's statement keeps it itself. */
  readonly how: "kept" | "own";
  /** Method and path of the REST binding, the same at each door: one key names one call. */
  readonly scope: string;
};

export type Operation = {
  readonly summary: string;
  readonly roles: readonly Role[];
  /** What is refused first when there is too much to do. */
  readonly kind: RequestKind;
  readonly body: z.ZodType | null;
  readonly query: z.ZodType | null;
  readonly keyed: Keyed | null;
  readonly answers: Readonly<Record<number, z.ZodType | null>>;
  readonly errors: readonly ErrorCode[];
  /** Rejects with a DispatchError, which is the refusal at each door. */
  readonly run: (parts: OperationParts, call: Call) => Promise<Outcome>;
};

type Inferred<T extends z.ZodType | null> = T extends z.ZodType ? z.infer<T> : null;

/** A row with its types tied together: the function gets what the row's schemas make. */
export function operation<B extends z.ZodType | null, Q extends z.ZodType | null>(
  row: Omit<Operation, "body" | "query" | "run"> & {
    readonly body: B;
    readonly query: Q;
    readonly run: (parts: OperationParts, call: Call<Inferred<B>, Inferred<Q>>) => Promise<Outcome>;
  },
): Operation {
  return row as Operation;
}

/** The delivery that the call is about. What is no id cannot exist: `not_found`. */
export function deliveryIdOf({ id }: Pick<Call, "id">): DeliveryId {
  if (!isDeliveryId(id)) throw new DispatchError("not_found");
  return id;
}

/** The calling courier. An id in body or query may repeat it, never replace it (403). */
export function courierOf(
  { principal }: Pick<Call, "principal">,
  repeated: string | undefined,
): CourierId {
  if (principal.role !== "courier") throw new DispatchError("forbidden");
  const { subject } = principal;
  if (repeated !== undefined && repeated !== subject) {
    throw fieldProblem("/courier_id", "identity_mismatch");
  }
  return subject;
}

/** Whose deliveries the caller asks for: customers and partners act for themselves. */
export function ownerOf({ principal }: Pick<Call, "principal">): PrincipalId {
  if (principal.role === "customer" || principal.role === "partner") return principal.subject;
  throw new DispatchError("forbidden");
}

/** Partners, webhooks and notices; a gateway without them binds none of their operations. */
export function outwardOf({ deps }: Pick<OperationParts, "deps">): Outward {
  if (deps.outward) return deps.outward;
  throw new DispatchError("not_found");
}
