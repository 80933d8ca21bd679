/**
 * Errors as RFC 9457 problem details. Every refusal of the REST door is made here, so that all have
 * the same shape: a stable `code` of the error table, a text for people, a JSON pointer for each
 * bad field, Retry-After where a retry makes sense. What went wrong inside never leaves: an unknown
 * error becomes `internal` and goes to the log.
 */
import type { z } from "zod";
import { DispatchError, ERRORS } from "../../proto/errors.ts";
import type { ErrorCode, FieldError } from "../../proto/errors.ts";

/** The body of a problem. `type` is a URI that names the code and need not resolve. */
export type Problem = {
  readonly type: string;
  readonly title: string;
  readonly status: number;
  readonly code: ErrorCode;
  readonly detail: string;
  readonly instance: string;
  readonly errors?: readonly FieldError[];
};
export const PROBLEM_TYPE = "application/problem+json";
/**
 * On every answer: nothing of it may be kept, framed, guessed at, or lead on to where it came from.
 */
export const SECURITY_HEADERS: Readonly<Record<string, string>> = {
  "x-content-type-options": "nosniff",
  "cache-control": "no-store",
  "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
  "referrer-policy": "no-referrer",
  "cross-origin-resource-policy": "same-origin",
  // What `frame-ancestors` says, for browsers that do not know it.
  "x-frame-options": "DENY",
};
/** Two years, as preload lists ask for. */
const HSTS = { "strict-transport-security": "max-age=63072000" };

/**
 * The same, and where our public address is https: never come by http again. Plain http may not say
 * so (RFC 6797, 7.2).
 */
export const securityHeadersFor = (publicUrl: string): Readonly<Record<string, string>> =>
  publicUrl.startsWith("https:") ? { ...SECURITY_HEADERS, ...HSTS } : SECURITY_HEADERS;
const FIELD_ERRORS_MAX = 32;

/** The error table's `type` URI of a code. */
export const problemType = (code: ErrorCode): string => `urn:hexdispatch:problem:${code}`;

/** The body for an operating error. `instance`: the path that was asked. */
export function problemOf(error: DispatchError, instance: string): Problem {
  const row = ERRORS[error.code];
  return {
    type: problemType(error.code),
    title: row.text,
    status: row.status,
    code: error.code,
    detail: error.message,
    instance,
    ...(error.errors.length > 0 ? { errors: error.errors } : {}),
  };
}

/** Headers that belong to an error: Retry-After, and the challenge of a 401 (RFC 9110, 11.6.1). */
export function problemHeaders(error: DispatchError): Record<string, string> {
  const headers: Record<string, string> = { "content-type": PROBLEM_TYPE };
  if (error.retryAfterS !== null) headers["retry-after"] = String(Math.ceil(error.retryAfterS));
  if (ERRORS[error.code].status === 401) headers["www-authenticate"] = 'Bearer realm="hexdispatch"';
  return headers;
}

const CAUSES_MAX = 8;

/**
 * Operating errors as they are, also where they are the cause; everything else is a bug, hidden
 * behind `internal`.
 */
export function asDispatchError(error: unknown): DispatchError {
  let one = error;
  for (let depth = 0; depth < CAUSES_MAX && one instanceof Error; depth++) {
    if (one instanceof DispatchError) return one;
    one = one.cause;
  }
  return new DispatchError("internal", undefined, { cause: error });
}

/** A refusal of one field. */
export const fieldProblem = (
  pointer: string,
  code: ErrorCode,
  detail: string = ERRORS[code].text,
): DispatchError => new DispatchError(code, detail, { errors: [{ pointer, code, detail }] });

/** What a schema found wrong, as one error whose code is that of the first field. */
export function validationError(issues: readonly z.core.$ZodIssue[]): DispatchError {
  const errors: FieldError[] = [];
  for (const issue of issues) collect(issue, [], errors);
  const first = errors[0];
  const code = first?.code ?? "invalid_field";
  return new DispatchError(code, undefined, { errors: errors.slice(0, FIELD_ERRORS_MAX) });
}

function collect(
  issue: z.core.$ZodIssue,
  above: readonly PropertyKey[],
  errors: FieldError[],
): void {
  const path = [...above, ...issue.path];
  if (issue.code === "unrecognized_keys") {
    for (const key of issue.keys) {
      errors.push({
        pointer: pointerOf([...path, key.slice(0, 64)]),
        code: "unknown_field",
        detail: "This field is not known here.",
      });
    }
    return;
  }
  errors.push({ pointer: pointerOf(path), code: "invalid_field", detail: issue.message });
}

/** RFC 6901: "~" and "/" inside a key are escaped. */
const pointerOf = (path: readonly PropertyKey[]): string =>
  path.map((key) => `/${String(key).replaceAll("~", "~0").replaceAll("/", "~1")}`).join("");
