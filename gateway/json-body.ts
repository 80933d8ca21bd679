/**
 * From the bytes of a request body to a plain JSON value, or the refusal. It owns the order of the checks: encoding, media
 * type, UTF-8, JSON. Whether the value fits a route is the schema's business.
 *
 * A key that stands twice in one object: the last one wins, as everywhere in JavaScript (documented in the OpenAPI page).
 */
import { isUtf8 } from "node:buffer";
import { DispatchError } from "../proto/errors.ts";
import type { Headers } from "./listener.ts";

const JSON_TYPE = /^application\/json\s*(;\s*charset\s*=\s*"?utf-8"?\s*)?$/i;

/** The value of the body; `{}` when there is none. Throws DispatchError 400 or 415. */
export function parseJsonBody(headers: Headers, bytes: Uint8Array): unknown {
  const encoding = headers["content-encoding"];
  if (encoding !== undefined && encoding !== "" && encoding.toLowerCase() !== "identity") {
    throw new DispatchError("unsupported_media_type", "Content-Encoding is not taken here.");
  }
  if (bytes.length === 0) return {};
  if (!JSON_TYPE.test(headers["content-type"] ?? "")) {
    throw new DispatchError("unsupported_media_type");
  }
  if (!isUtf8(bytes)) throw new DispatchError("bad_request", "The body is not UTF-8.");
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("utf8");
  try {
    return JSON.parse(text) as unknown;
  } catch (cause) {
    throw new DispatchError("bad_request", "The body is not JSON.", { cause });
  }
}

/** The parameters of a query. One that stands twice, or is not well-formed, is refused. */
export function parseQuery(query: string): Record<string, string> {
  const values: Record<string, string> = Object.create(null) as Record<string, string>;
  if (query === "") return values;
  for (const [name, value] of new URLSearchParams(query)) {
    if (values[name] !== undefined) {
      const detail = "A query parameter may stand only once.";
      const pointer = `/${name.slice(0, 64).replaceAll("~", "~0").replaceAll("/", "~1")}`;
      throw new DispatchError("invalid_field", detail, {
        errors: [{ pointer, code: "invalid_field", detail }],
      });
    }
    values[name] = value;
  }
  return values;
}
