/**
 * What a listener answers by itself, before or beside any route: refusals of what it could not
 * understand and of what broke. They look like every other problem of ours.
 */
import { STATUS_CODES } from "node:http";
import { DispatchError, ERRORS } from "../../proto/errors.ts";
import { SECURITY_HEADERS, problemHeaders, problemOf } from "../base/problem.ts";
import type { Refusal } from "./request-head.ts";

export type PlainAnswer = {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
};

/** Answers without a body and without its length (RFC 9110, 8.6). */
export const BODYLESS: ReadonlySet<number> = new Set([204, 304]);
/** A header value that would end its line. */
export const LINE_BREAK = /[\r\n\0]/;
const PATH_MAX_CHARS = 200;

export function refusalAnswer(
  { code, detail }: Refusal,
  path = "",
  security: Readonly<Record<string, string>> = SECURITY_HEADERS,
): PlainAnswer {
  const error = new DispatchError(code, detail);
  const problem = problemOf(error, path.slice(0, PATH_MAX_CHARS));
  const headers = { ...security, ...problemHeaders(error) };
  return { status: ERRORS[code].status, headers, body: JSON.stringify(problem) };
}

/**
 * The bytes of an answer that ends its connection, for a socket on which no library answers any
 * more.
 */
export function lastAnswer({ status, headers, body }: PlainAnswer): string {
  const lines = [`HTTP/1.1 ${status} ${STATUS_CODES[status] ?? "Status"}`];
  for (const name in headers) lines.push(`${name}: ${headers[name] ?? ""}`);
  const length = Buffer.byteLength(body);
  lines.push(`Date: ${new Date().toUTCString()}`, `Content-Length: ${length}`);
  return `${lines.join("\r\n")}\r\nConnection: close\r\n\r\n${body}`;
}
