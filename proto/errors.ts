/**
 * Every error a client can meet, at every door. The name is the wire code and never changes its
 * meaning; people read the text, programs switch on the name. `retryable` says that the same
 * request may succeed later.
 */

type ErrorRow = { readonly status: number; readonly retryable: boolean; readonly text: string };

const table = {
  bad_request: { status: 400, retryable: false, text: "The request is not well-formed." },
  invalid_field: { status: 422, retryable: false, text: "A field does not hold what it must." },
  unknown_field: {
    status: 422,
    retryable: false,
    text: "The body has a field that is not known here.",
  },
  unauthorized: { status: 401, retryable: false, text: "A valid token is needed." },
  token_expired: { status: 401, retryable: false, text: "The token has expired; get a new one." },
  forbidden: { status: 403, retryable: false, text: "Your role may not do this." },
  identity_mismatch: {
    status: 403,
    retryable: false,
    text: "An id in the request differs from the token's subject.",
  },
  not_found: { status: 404, retryable: false, text: "There is no such thing, or not for you." },
  method_not_allowed: {
    status: 405,
    retryable: false,
    text: "This resource does not take that method.",
  },
  request_timeout: {
    status: 408,
    retryable: true,
    text: "The request did not come in time.",
  },
  payload_too_large: {
    status: 413,
    retryable: false,
    text: "The body is larger than this door takes.",
  },
  unsupported_media_type: { status: 415, retryable: false, text: "Send application/json." },
  expectation_failed: {
    status: 417,
    retryable: false,
    text: "Of Expect, only 100-continue is understood.",
  },
  headers_too_large: {
    status: 431,
    retryable: false,
    text: "The header fields are too many or too large.",
  },
  version_unsupported: {
    status: 505,
    retryable: false,
    text: "Speak HTTP/1.1 or HTTP/1.0 here.",
  },
  idempotency_in_progress: {
    status: 409,
    retryable: true,
    text: "The first request with this key still runs.",
  },
  idempotency_mismatch: {
    status: 422,
    retryable: false,
    text: "This Idempotency-Key was used with another body.",
  },
  address_not_found: {
    status: 422,
    retryable: false,
    text: "The address was not found in the loaded city.",
  },
  city_not_loaded: {
    status: 422,
    retryable: false,
    text: "No city is loaded, so addresses cannot be found: send coordinates, or start with HEXDISPATCH_CITY_DIR set to a folder with addresses.csv.",
  },
  outside_service_area: {
    status: 422,
    retryable: false,
    text: "The point lies outside the served area.",
  },
  quote_expired: {
    status: 422,
    retryable: false,
    text: "The quote has expired, or is for another delivery; ask for a new one.",
  },
  delivery_taken: { status: 409, retryable: false, text: "Another courier has this delivery." },
  delivery_over: { status: 409, retryable: false, text: "This delivery has ended." },
  courier_busy: { status: 409, retryable: false, text: "You carry as many deliveries as you can." },
  courier_off_shift: { status: 409, retryable: false, text: "Go on shift first." },
  vehicle_unfit: {
    status: 409,
    retryable: false,
    text: "This delivery needs another kind of vehicle.",
  },
  not_offered: { status: 409, retryable: false, text: "This delivery was not offered to you." },
  wrong_status: {
    status: 409,
    retryable: false,
    text: "The delivery's status does not allow this.",
  },
  limit_reached: { status: 409, retryable: false, text: "There are as many of these as may be." },
  rate_limited: { status: 429, retryable: true, text: "Too many requests; slow down." },
  overloaded: {
    status: 503,
    retryable: true,
    text: "Too much to do at the moment; try again shortly.",
  },
  unavailable: {
    status: 503,
    retryable: true,
    text: "A part that this needs is away; try again shortly.",
  },
  internal: { status: 500, retryable: true, text: "Something broke here; it was recorded." },
} as const satisfies Record<string, ErrorRow>;

export type ErrorCode = keyof typeof table;
export const ERRORS: Readonly<Record<ErrorCode, ErrorRow>> = table;

/**
 * One bad field: a JSON pointer (RFC 6901) into the request, a code of the table and a text for
 * people.
 */
export type FieldError = {
  readonly pointer: string;
  readonly code: ErrorCode;
  readonly detail: string;
};

/** An operating error with a code of the table. `cause` is for the log, never for the client. */
export class DispatchError extends Error {
  override readonly name = "DispatchError";
  readonly code: ErrorCode;
  readonly errors: readonly FieldError[];
  /** Seconds after which a retry makes sense; null where retrying is pointless. */
  readonly retryAfterS: number | null;

  constructor(
    code: ErrorCode,
    detail?: string,
    more: { errors?: readonly FieldError[]; retryAfterS?: number; cause?: unknown } = {},
  ) {
    super(detail ?? ERRORS[code].text, more.cause === undefined ? {} : { cause: more.cause });
    this.code = code;
    this.errors = more.errors ?? [];
    this.retryAfterS = more.retryAfterS ?? (ERRORS[code].retryable ? 1 : null);
  }
}

type CloseRow = {
  readonly code: number;
  readonly retry: boolean;
  /** Wait at least so long before coming back; the client adds its jitter. */
  readonly retryAfterMs: number;
  readonly text: string;
};

/**
 * Why the server closes a socket; below 4500 the client comes back, from 4500 on it must not by
 * itself. Codes are never used again for something else.
 */
const closeTable = {
  going_away: {
    code: 4001,
    retry: true,
    retryAfterMs: 0,
    text: "This gateway is stopping; connect again.",
  },
  slow_reader: {
    code: 4002,
    retry: true,
    retryAfterMs: 0,
    text: "You read too slowly; connect again.",
  },
  token_expired: {
    code: 4003,
    retry: true,
    retryAfterMs: 0,
    text: "Your token has expired; connect with a new one.",
  },
  hello_timeout: { code: 4004, retry: true, retryAfterMs: 0, text: "No hello came in time." },
  too_many_frames: {
    code: 4005,
    retry: true,
    retryAfterMs: 5_000,
    text: "Too many frames; slow down.",
  },
  overloaded: {
    code: 4006,
    retry: true,
    retryAfterMs: 2_000,
    text: "Too much to do here at the moment; connect again later.",
  },
  internal: {
    code: 4007,
    retry: true,
    retryAfterMs: 1_000,
    text: "Something broke here; connect again.",
  },
  unauthorized: { code: 4500, retry: false, retryAfterMs: 0, text: "The token was refused." },
  bad_frame: {
    code: 4501,
    retry: false,
    retryAfterMs: 0,
    text: "A frame could not be understood.",
  },
  replaced: {
    code: 4502,
    retry: false,
    retryAfterMs: 0,
    text: "The same courier connected elsewhere.",
  },
  wrong_version: {
    code: 4503,
    retry: false,
    retryAfterMs: 0,
    text: "This version of the protocol is not spoken here; update the app.",
  },
  revoked: {
    code: 4504,
    retry: false,
    retryAfterMs: 0,
    text: "Your token was revoked; sign in again.",
  },
} as const satisfies Record<string, CloseRow>;
export type CloseReason = keyof typeof closeTable;
export const CLOSE_CODES: Readonly<Record<CloseReason, CloseRow>> = closeTable;
