/**
 * The headers of the REST door in its description: which of them an answer may have follows from
 * the row of the route and from the errors of the status, as it does in the door itself
 * (`gateway/rest/door.ts`, `gateway/base/problem.ts`). Those that every answer of any server has,
 * and those of browsers' security, are not described.
 */
import { z } from "zod";
import { ERRORS } from "../../proto/errors.ts";
import type { ErrorCode } from "../../proto/errors.ts";
import { IDEMPOTENCY_KEY_MAX_CHARS } from "../../proto/limits.ts";
import type { Described } from "./route.ts";

type Schema = { readonly type: "string" | "integer"; readonly minimum?: number; enum?: string[] };
type Header = { readonly description: string; readonly required: boolean; readonly schema: Schema };
export type HeadersOf = Record<string, Header>;

const header = (required: boolean, description: string, schema: Schema): Header => ({
  description,
  required,
  schema,
});
const text: Schema = { type: "string" };

/** On any answer, where a limit is set for who asks. */
const RATE: HeadersOf = {
  RateLimit: header(
    false,
    'What is left of the nearest limit: `"principal";r=99;t=1`, whole again in `t` seconds.',
    text,
  ),
  "RateLimit-Policy": header(
    false,
    'That limit: `"principal";q=100;w=2`, `q` requests in `w` seconds.',
    text,
  ),
};
const ETAG = header(true, "Names this state of the content; send it back in If-None-Match.", text);
const REPLAYED = header(false, "The answer of an earlier request with the same key.", {
  type: "string",
  enum: ["true"],
});
const CHALLENGE = header(true, "How to authenticate.", text);
const retryAfter = (required: boolean): Header =>
  header(required, "Seconds, after which asking again makes sense.", {
    type: "integer",
    minimum: 1,
  });

/** A route that can say "not changed" names its content, and takes the name back. */
const isConditional = (row: Described): boolean => Object.hasOwn(row.answers, "304");

/** The headers that a request of the route may have; null when it takes none. */
export function requestHeaders(row: Described): z.ZodObject | null {
  const shape: Record<string, z.ZodType> = {};
  if (row.isKeyed) {
    shape["Idempotency-Key"] = z.string().min(1).max(IDEMPOTENCY_KEY_MAX_CHARS).optional();
  }
  if (isConditional(row)) {
    const description = "Tags of earlier answers, or `*`: 304 while the content is still that.";
    shape["If-None-Match"] = z.string().optional().meta({ description });
  }
  return Object.keys(shape).length === 0 ? null : z.object(shape);
}

/** The headers of an answer that is no problem. */
export function answerHeaders(row: Described): HeadersOf {
  return {
    ...RATE,
    ...(isConditional(row) ? { ETag: ETAG } : {}),
    ...(row.isKeyed ? { "Idempotent-Replayed": REPLAYED } : {}),
  };
}

/** The headers of a problem with this status, which stands for these codes. */
export function problemHeadersOf(
  row: Described,
  status: number,
  codes: readonly ErrorCode[],
): HeadersOf {
  const headers: HeadersOf = { ...RATE };
  const retryable = codes.filter((code) => ERRORS[code].retryable).length;
  if (retryable > 0) headers["Retry-After"] = retryAfter(retryable === codes.length);
  if (status === 401) headers["WWW-Authenticate"] = CHALLENGE;
  // A refusal that the command itself decided is kept under its key.
  if (status === 409 && row.isKeyed) headers["Idempotent-Replayed"] = REPLAYED;
  return headers;
}
