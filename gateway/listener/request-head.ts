/**
 * What a request line and its header fields mean, after a library has parsed them: the path and
 * query behind each form of the target (RFC 9112, 3.2), one value for each field, and what is
 * refused because two readers could understand it in two ways. Pure; both listeners use it. It
 * parses no bytes.
 */
import type { ErrorCode } from "../../proto/errors.ts";
import { HEADER_FIELDS_MAX } from "../../proto/limits.ts";

/**
 * Header fields by lower-case name. Lists that came in several lines are joined; of others the
 * first line counts.
 */
export type Headers = Readonly<Record<string, string | undefined>>;

export type RawHead = {
  readonly method: string;
  /** As it stood in the request line. */
  readonly target: string;
  readonly version: string;
  /** Names and values in turn. */
  readonly fields: readonly string[];
};
export type Head = { readonly path: string; readonly query: string; readonly headers: Headers };
export type Refusal = { readonly code: ErrorCode; readonly detail?: string };

export const isRefusal = (head: Head | Refusal): head is Refusal => "code" in head;

/**
 * Twice one of these: the request says two things, and a proxy in front may have believed the
 * other.
 */
const SINGLE: ReadonlySet<string> = new Set([
  "host",
  "content-length",
  "content-type",
  "content-encoding",
  "authorization",
  "idempotency-key",
  "origin",
  "expect",
  "sec-websocket-key",
  "sec-websocket-version",
]);
/**
 * A list may come in several lines (RFC 9110, 5.3). A proxy adds a line of its own below the
 * client's.
 */
const LISTS: ReadonlySet<string> = new Set([
  "x-forwarded-for",
  "forwarded",
  "connection",
  "upgrade",
  "transfer-encoding",
  "if-none-match",
  "accept",
  "accept-encoding",
  "sec-websocket-protocol",
  "sec-websocket-extensions",
]);
const HOST = /^([\w.~!$&'()*+,;=%-]*|\[[\da-f:.]+(%[\w.~-]+)?\])(:\d{0,5})?$/i;
const ABSOLUTE = /^https?:\/\/([^/?#]+)([^#]*)$/i;
const VERSIONS: ReadonlySet<string> = new Set(["1.1", "1.0"]);

/** The head, or why it is refused; after a refusal the connection is not to be used again. */
export function readHead(raw: RawHead): Head | Refusal {
  if (!VERSIONS.has(raw.version)) return { code: "version_unsupported" };
  if (raw.fields.length > HEADER_FIELDS_MAX * 2) {
    return { code: "headers_too_large", detail: `At most ${HEADER_FIELDS_MAX} header fields.` };
  }
  const headers = readFields(raw.fields);
  if (typeof headers === "string") return bad(headers);
  const wrong = wrongFraming(raw, headers);
  if (wrong !== null) return bad(wrong);
  return readTarget(raw, headers);
}

const bad = (detail: string): Refusal => ({ code: "bad_request", detail });

/** By name, or what is wrong. */
function readFields(fields: readonly string[]): Record<string, string> | string {
  const headers = Object.create(null) as Record<string, string>;
  for (let i = 0; i + 1 < fields.length; i += 2) {
    const name = (fields[i] as string).toLowerCase();
    const value = fields[i + 1] as string;
    const before = headers[name];
    if (before === undefined) headers[name] = value;
    else if (LISTS.has(name)) headers[name] = `${before}, ${value}`;
    else if (SINGLE.has(name)) return `Two ${name} header fields.`;
  }
  return headers;
}

function wrongFraming({ version }: RawHead, headers: Headers): string | null {
  const coding = headers["transfer-encoding"];
  if (coding !== undefined) {
    // RFC 9112, 6.1: in a message of 1.0, and beside a length, it is what smugglers send.
    if (version === "1.0") return "No Transfer-Encoding in HTTP/1.0.";
    if (headers["content-length"] !== undefined) return "Content-Length and Transfer-Encoding.";
    if (coding.toLowerCase() !== "chunked") return "Of transfer codings, only chunked is taken.";
  }
  const length = headers["content-length"];
  if (length !== undefined && !/^\d{1,15}$/.test(length)) return "Content-Length is no number.";
  const host = headers["host"];
  if (host === undefined) return version === "1.1" ? "A Host header field is missing." : null;
  return HOST.test(host) ? null : "The Host header field is not well-formed.";
}

function readTarget({ method, target }: RawHead, headers: Record<string, string>): Head | Refusal {
  if (target.startsWith("/")) return splitTarget(target, headers);
  if (target === "*" && method === "OPTIONS") return { path: "*", query: "", headers };
  const parts = ABSOLUTE.exec(target);
  if (parts === null) return bad("The request target is not well-formed.");
  const [, authority = "", rest = ""] = parts;
  if (!HOST.test(authority)) return bad("The authority of the request target is not well-formed.");
  // RFC 9112, 3.2.2: what the target names counts, whatever Host says.
  headers["host"] = authority;
  if (rest === "" && method === "OPTIONS") return { path: "*", query: "", headers };
  return splitTarget(rest.startsWith("/") ? rest : `/${rest}`, headers);
}

function splitTarget(target: string, headers: Headers): Head | Refusal {
  if (target.includes("#")) return bad("A request target has no fragment.");
  const mark = target.indexOf("?");
  if (mark < 0) return { path: target, query: "", headers };
  return { path: target.slice(0, mark), query: target.slice(mark + 1), headers };
}
