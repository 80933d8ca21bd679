/**
 * What a route of the REST door is: one row of a table with its method, path, roles, schemas and handler. The dispatcher
 * (`gateway/http.ts`) runs the rows, the OpenAPI page (`gateway/openapi.ts`) describes them.
 */
import type { z } from "zod";
import type { IdempotencyKey } from "../engine/store/port.ts";
import type { ErrorCode } from "../proto/errors.ts";
import { DispatchError } from "../proto/errors.ts";
import { isDeliveryId } from "../proto/ids.ts";
import type { CourierId, DeliveryId, Role } from "../proto/ids.ts";
import type { Principal } from "./principal.ts";
import { fieldProblem } from "./problem.ts";
import type { Body, Headers } from "./listener.ts";

/** A request that passed everything which does not depend on the route's own logic. */
export type Call<B = unknown, Q = unknown> = {
  readonly principal: Principal;
  /** The variable segment of the path, unchecked; empty when it has none. */
  readonly id: string;
  readonly body: B;
  /** The bytes behind `body`, for fingerprints. */
  readonly bodyBytes: Uint8Array;
  readonly query: Q;
  readonly headers: Headers;
  readonly receivedAtUs: number;
  /** Method and path without the version prefix. */
  readonly route: string;
  readonly key: IdempotencyKey | null;
};

/** An answer before it is written. `json` is serialized; `raw` goes out as it is. */
export type Answer = {
  readonly status: number;
  readonly json?: unknown;
  readonly raw?: { readonly type: string; readonly content: Body };
  readonly headers?: Readonly<Record<string, string>>;
};

export type RouteDoc = {
  readonly summary: string;
  readonly answers: Readonly<Record<number, z.ZodType | null>>;
  readonly errors: readonly ErrorCode[];
};

export type Route = {
  readonly method: "GET" | "POST" | "PUT" | "DELETE";
  /** One variable segment at most, the second: `/deliveries/{id}/accept`. */
  readonly path: string;
  /** Operation id, and the label in metrics. */
  readonly name: string;
  readonly roles: readonly Role[] | "anyone";
  readonly body: z.ZodType | null;
  readonly query: z.ZodType | null;
  /**
   * What the dispatcher does with an Idempotency-Key. `kept`: the answer is looked up before and kept after. `own`: the
   * handler passes the key on. `none`: no POST.
   */
  readonly idempotency: "kept" | "own" | "none";
  readonly doc: RouteDoc;
  readonly handle: (call: Call) => Promise<Answer>;
};

/** A row with its types tied together: the handler gets what its schemas make. */
export function route<B extends z.ZodType | null, Q extends z.ZodType | null>(
  row: Omit<Route, "body" | "query" | "handle"> & {
    readonly body: B;
    readonly query: Q;
    readonly handle: (
      call: Call<B extends z.ZodType ? z.infer<B> : null, Q extends z.ZodType ? z.infer<Q> : null>,
    ) => Promise<Answer>;
  },
): Route {
  return row as Route;
}

/** The delivery of the path. What is no id cannot exist: `not_found`. */
export function deliveryIdOf(call: Call): DeliveryId {
  if (!isDeliveryId(call.id)) throw new DispatchError("not_found");
  return call.id;
}

/** The calling courier. An id in body or query may repeat it, never replace it (403). */
export function courierOf(call: Call, repeated: string | undefined): CourierId {
  if (call.principal.role !== "courier") throw new DispatchError("forbidden");
  const { subject } = call.principal;
  if (repeated !== undefined && repeated !== subject) {
    throw fieldProblem("/courier_id", "identity_mismatch");
  }
  return subject;
}
