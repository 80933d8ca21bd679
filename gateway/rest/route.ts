/**
 * What the REST door serves: operations of the table under a method and a path, and pages, which
 * are open to all and exist on this door alone (a description, the tracking page, the map).
 */
import type { z } from "zod";
import type { ErrorCode } from "../../proto/errors.ts";
import type { Role } from "../../proto/ids.ts";
import type { Operation } from "../operations/operation.ts";
import { OPERATIONS, OPERATION_NAMES } from "../operations/table.ts";
import type { OperationName } from "../operations/table.ts";
import { REST } from "./binding.ts";
import type { Method } from "./binding.ts";
import type { Body, Headers } from "../listener/listener.ts";

/** An answer before it is written. `json` is serialized; `raw` goes out as it is. */
export type Answer = {
  readonly status: number;
  readonly json?: unknown;
  readonly raw?: { readonly type: string; readonly content: Body };
  readonly headers?: Readonly<Record<string, string>>;
};

/** A page: anyone may ask for it, with GET. `id` is the variable segment of its path. */
export type Page = {
  readonly path: string;
  /** Operation id, and the label in metrics. */
  readonly name: string;
  readonly summary: string;
  readonly answers: Readonly<Record<number, z.ZodType | null>>;
  readonly errors: readonly ErrorCode[];
  readonly handle: (id: string, headers: Headers) => Promise<Answer>;
};

export type Route =
  | { readonly kind: "page"; readonly method: "GET"; readonly path: string; readonly page: Page }
  | {
      readonly kind: "operation";
      readonly method: Method;
      readonly path: string;
      readonly name: OperationName;
    };

export const pageRoute = (page: Page): Route => ({
  kind: "page",
  method: "GET",
  path: page.path,
  page,
});

/** The operations that this gateway offers over REST. */
export const operationRoutes = (hasOutward: boolean): readonly Route[] =>
  OPERATION_NAMES.filter((name) => hasOutward || REST[name].isOutward !== true).map((name) => ({
    kind: "operation",
    method: REST[name].method,
    path: REST[name].path,
    name,
  }));

/** A route as the description sees it. */
export type Described = Pick<Operation, "summary" | "body" | "query" | "answers" | "errors"> & {
  readonly method: Method;
  readonly path: string;
  readonly name: string;
  readonly roles: readonly Role[] | "anyone";
  readonly isKeyed: boolean;
};

export function describedOf(route: Route): Described {
  const { method, path } = route;
  if (route.kind === "page") {
    const { name, summary, answers, errors } = route.page;
    const nothing = { roles: "anyone", body: null, query: null, isKeyed: false } as const;
    return { method, path, name, summary, answers, errors, ...nothing };
  }
  const row = OPERATIONS[route.name];
  return { ...row, method, path, name: route.name, isKeyed: row.keyed !== null };
}
