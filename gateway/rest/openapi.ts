/**
 * The OpenAPI 3.1 description, generated from the table of routes and from the schemas that check
 * the requests. What is described here is therefore what is enforced. Made once at the start.
 */
import { OpenAPIRegistry, OpenApiGeneratorV31 } from "@asteasolutions/zod-to-openapi";
import type { RouteConfig } from "@asteasolutions/zod-to-openapi";
import { z } from "zod";
import { ERRORS } from "../../proto/errors.ts";
import type { ErrorCode } from "../../proto/errors.ts";
import { IDEMPOTENCY_KEPT_H } from "../../proto/limits.ts";
import { answerHeaders, problemHeadersOf, requestHeaders } from "./openapi-headers.ts";
import { PROBLEM_TYPE } from "../base/problem.ts";
import { describedOf } from "./route.ts";
import type { Described, Route } from "./route.ts";
import { problemAnswer } from "../operations/answers.ts";

const DESCRIPTION = `
Ask for a delivery, follow it, carry it. The same routes answer without the \`/v1\` prefix.

Errors are RFC 9457 problem details with a stable \`code\`; \`errors[].pointer\` is a JSON pointer into the body, or into
the query seen as an object. Unknown fields are refused. Where a key stands twice in a JSON object, the last one counts; a query
parameter may stand only once.

\`Idempotency-Key\` on a POST: the same key and body give the same answer for ${IDEMPOTENCY_KEPT_H} h, marked with
\`Idempotent-Replayed: true\`; another body is 422; while the first still runs it is 409. A delivery with an \`external_id\` and
no key is kept under that id.

Tokens are JWTs (HS256, type \`at+jwt\`); the role is in the audience (\`hexdispatch:courier\`). What a role may not see
does not exist for it: 404.
`.trim();

/** Errors that every route can give. */
const ALWAYS: readonly ErrorCode[] = ["rate_limited", "overloaded", "internal"];
/** And every route with a credential. */
const OF_TOKENS: readonly ErrorCode[] = [
  "unauthorized",
  "token_expired",
  "forbidden",
  "unavailable",
];
const OF_BODIES: readonly ErrorCode[] = [
  "bad_request",
  "payload_too_large",
  "unsupported_media_type",
  "invalid_field",
  "unknown_field",
];
const OF_KEYS: readonly ErrorCode[] = ["idempotency_in_progress", "idempotency_mismatch"];

/** The description as a JSON text. `publicUrl`: without a slash at the end. */
export function describe(routes: readonly Route[], publicUrl: string, version: string): string {
  const registry = new OpenAPIRegistry();
  const bearer = registry.registerComponent("securitySchemes", "bearer", {
    type: "http",
    scheme: "bearer",
    bearerFormat: "JWT, or the secret of a tracking link",
  });
  for (const row of routes) registry.registerPath(pathOf(describedOf(row), bearer.name));
  const generator = new OpenApiGeneratorV31(registry.definitions);
  const document = generator.generateDocument({
    openapi: "3.1.0",
    info: { title: "hexdispatch", version, description: DESCRIPTION },
    servers: [{ url: `${publicUrl}/v1` }],
  });
  return JSON.stringify(document);
}

function pathOf(row: Described, scheme: string): RouteConfig {
  const isOpen = row.roles === "anyone";
  const headers = requestHeaders(row);
  const params = /\{([a-z]+)\}/.exec(row.path)?.[1];
  return {
    method: row.method.toLowerCase() as "get" | "post" | "put" | "patch" | "delete",
    path: row.path,
    operationId: row.name,
    summary: row.summary,
    description: isOpen ? "For anyone." : `For: ${(row.roles as readonly string[]).join(", ")}.`,
    security: isOpen ? [] : [{ [scheme]: [] }],
    request: {
      ...(params === undefined ? {} : { params: z.object({ [params]: z.string() }) }),
      ...(row.query === null ? {} : { query: row.query as z.ZodObject }),
      ...(headers === null ? {} : { headers }),
      ...(row.body === null ? {} : { body: bodyOf(row.body) }),
    },
    responses: { ...answersOf(row), ...problemsOf(row, isOpen) },
  };
}

/** No body at all is read as `{}` (`gateway/rest/json-body.ts`). */
const bodyOf = (schema: z.ZodType) => ({
  required: !schema.safeParse({}).success,
  content: { "application/json": { schema } },
});

function answersOf(row: Described): RouteConfig["responses"] {
  const responses: RouteConfig["responses"] = {};
  const headers = answerHeaders(row);
  for (const [status, schema] of Object.entries(row.answers)) {
    const description = status === "304" ? "Not changed." : row.summary;
    responses[status] =
      schema === null
        ? { description, headers }
        : { description, headers, content: { "application/json": { schema } } };
  }
  return responses;
}

function problemsOf(row: Described, isOpen: boolean): RouteConfig["responses"] {
  const codes = new Set<ErrorCode>([...row.errors, ...ALWAYS]);
  if (!isOpen) for (const code of OF_TOKENS) codes.add(code);
  if (row.body !== null) for (const code of OF_BODIES) codes.add(code);
  if (row.query !== null)
    for (const code of ["invalid_field", "unknown_field"] as const) codes.add(code);
  if (row.isKeyed) for (const code of OF_KEYS) codes.add(code);
  const byStatus = new Map<number, ErrorCode[]>();
  for (const code of codes) {
    const { status } = ERRORS[code];
    byStatus.set(status, [...(byStatus.get(status) ?? []), code]);
  }
  const responses: RouteConfig["responses"] = {};
  for (const [status, named] of byStatus) {
    const examples = Object.fromEntries(
      named.map((code) => [code, { value: exampleOf(code, row) }]),
    );
    responses[String(status)] = {
      description: named.map((code) => `\`${code}\`: ${ERRORS[code].text}`).join(" "),
      headers: problemHeadersOf(row, status, named),
      content: { [PROBLEM_TYPE]: { schema: problemAnswer, examples } },
    };
  }
  return responses;
}

const exampleOf = (code: ErrorCode, row: Described) => ({
  type: `urn:hexdispatch:problem:${code}`,
  title: ERRORS[code].text,
  status: ERRORS[code].status,
  code,
  detail: ERRORS[code].text,
  instance: `/v1${row.path}`,
});
