/**
 * From the bytes of a request body to a plain JSON value, or the refusal. It owns the order of the
 * checks: encoding, media type, UTF-8, JSON. Whether the value fits a route is the schema's
 * business.
 *
 * A key that stands twice in one object: the last one wins, as everywhere in JavaScript (documented
 * in the OpenAPI page).
 */
import { isUtf8 } from "node:buffer";
import { DispatchError } from "../../proto/errors.ts";
import type { Headers } from "../listener/listener.ts";

/** Others that end in `+json` mean something of their own, which nobody here would do. */
const JSON_TYPE = /^application\/json[ \t]*/i;
/**
 * One parameter, a token or a quoted text, or none between two semicolons (RFC 9110, 5.6.6);
 * matched in turn.
 */
const PARAMETER =
  /;[ \t]*(?:([\w!#$%&'*+.^`|~-]+)=(?:([\w!#$%&'*+.^`|~-]+)|"((?:[^"\\]|\\.)*)"))?[ \t]*/y;
const UTF8_NAMES: ReadonlySet<string> = new Set(["utf-8", "utf8"]);
const TYPE_MAX_CHARS = 256;
/** .NET and PowerShell put one in front of what they send; it says nothing that we do not know. */
const BYTE_ORDER_MARK = "\uFEFF";

/** The value of the body; `{}` when there is none. Throws DispatchError 400 or 415. */
export function parseJsonBody(headers: Headers, bytes: Uint8Array): unknown {
  const encoding = headers["content-encoding"];
  if (encoding !== undefined && encoding !== "" && encoding.toLowerCase() !== "identity") {
    throw new DispatchError("unsupported_media_type", "Content-Encoding is not taken here.");
  }
  if (bytes.length === 0) return {};
  if (!isJson(headers["content-type"] ?? "")) throw new DispatchError("unsupported_media_type");
  if (!isUtf8(bytes)) throw new DispatchError("bad_request", "The body is not UTF-8.");
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("utf8");
  try {
    return JSON.parse(text.startsWith(BYTE_ORDER_MARK) ? text.slice(1) : text) as unknown;
  } catch (cause) {
    throw new DispatchError("bad_request", "The body is not JSON.", { cause });
  }
}

/**
 * Whether the media type is JSON in UTF-8. Of its parameters only the charset says something to us.
 */
function isJson(text: string): boolean {
  const type = text.trim();
  const start = JSON_TYPE.exec(type);
  if (start === null || type.length > TYPE_MAX_CHARS) return false;
  PARAMETER.lastIndex = start[0].length;
  while (PARAMETER.lastIndex < type.length) {
    const parts = PARAMETER.exec(type);
    if (parts === null) return false;
    const value = parts[2] ?? parts[3] ?? "";
    if (parts[1]?.toLowerCase() === "charset" && !UTF8_NAMES.has(value.toLowerCase())) return false;
  }
  return true;
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
