/**
 * How partners' requests and answers look on the wire: JSON unless the request says MessagePack,
 * the answer in the language of the question. Errors stand in the headers of the NATS service
 * framework (ADR-32) and as problem details in the body, with the codes of every other door.
 */
import { FRAME_BOUNDS, packValue, unpackValue } from "../../proto/codec.ts";
import type { CodecBounds } from "../../proto/codec.ts";
import { DispatchError, ERRORS } from "../../proto/errors.ts";
import { INVALID } from "../../proto/field.ts";
import { BODY_MAX_BYTES } from "../../proto/limits.ts";
import type { HeaderValues, ServiceRequest } from "../../engine/io/nats/service.ts";
import { parseJsonBody } from "../rest/json-body.ts";
import { PROBLEM_TYPE, problemOf } from "../base/problem.ts";

export const CODECS = ["json", "msgpack"] as const;
export type Codec = (typeof CODECS)[number];

const MSGPACK_TYPE = /^application\/(?:x-|vnd\.)?msgpack$/i;
const CONTENT_TYPES = { json: "application/json", msgpack: "application/msgpack" } as const;
const BODY_BOUNDS: CodecBounds = { ...FRAME_BOUNDS, bytesMax: BODY_MAX_BYTES };

/** `bytes`: what the fingerprint of an idempotency key is made of, the same for both languages. */
export type PartnerBody = { readonly value: unknown; readonly bytes: Uint8Array };

export const codecOf = (request: Pick<ServiceRequest, "header">): Codec =>
  MSGPACK_TYPE.test(request.header("content-type") ?? "") ? "msgpack" : "json";

/**
 * The body; `{}` when there is none. Throws `payload_too_large`, `unsupported_media_type` or
 * `bad_request`.
 */
export function readBody(request: ServiceRequest, codec: Codec): PartnerBody {
  const { data } = request;
  if (data.length > BODY_MAX_BYTES) throw new DispatchError("payload_too_large");
  if (codec === "json" || data.length === 0) {
    const type = request.header("content-type") ?? CONTENT_TYPES.json;
    return { value: parseJsonBody({ "content-type": type }, data), bytes: data };
  }
  const value = unpackValue(data, BODY_BOUNDS);
  if (value === INVALID) throw new DispatchError("bad_request", "The body is not MessagePack.");
  return { value, bytes: Buffer.from(jsonText(value)) };
}

/** MessagePack has values that JSON has not (numbers of 64 bits): such a body is none of ours. */
function jsonText(value: unknown): string {
  try {
    return JSON.stringify(value) ?? "";
  } catch (cause) {
    throw new DispatchError("bad_request", "The body holds what JSON cannot say.", { cause });
  }
}

export type Reply = { readonly data: Uint8Array; readonly headers: HeaderValues };

export function answerOf(codec: Codec, status: number, body: unknown, isReplay: boolean): Reply {
  // A kept refusal of an earlier request with this key is a refusal again.
  const refused = status >= 400 ? errorHeaders(body as { code?: unknown; title?: unknown }) : {};
  return {
    data: encode(codec, body),
    headers: {
      "content-type": status >= 400 && codec === "json" ? PROBLEM_TYPE : CONTENT_TYPES[codec],
      "hexdispatch-status": String(status),
      ...(isReplay ? { "idempotent-replayed": "true" } : {}),
      ...refused,
    },
  };
}

/** `instance`: the subject that was asked. */
export function problemReply(codec: Codec, error: DispatchError, instance: string): Reply {
  const problem = problemOf(error, instance);
  const reply = answerOf(codec, problem.status, problem, false);
  if (error.retryAfterS === null) return reply;
  const after = String(Math.ceil(error.retryAfterS));
  return { ...reply, headers: { ...reply.headers, "retry-after": after } };
}

function errorHeaders({ code, title }: { code?: unknown; title?: unknown }): HeaderValues {
  const known = typeof code === "string" && Object.hasOwn(ERRORS, code) ? code : "internal";
  const { status } = ERRORS[known as keyof typeof ERRORS];
  return {
    "Nats-Service-Error-Code": String(status),
    "Nats-Service-Error": `${known}: ${String(title)}`,
  };
}

const encode = (codec: Codec, body: unknown): Uint8Array =>
  codec === "json" ? Buffer.from(JSON.stringify(body)) : packValue(body);
