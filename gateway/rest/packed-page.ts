/**
 * A page that is the same for everybody, made and packed once: all answers share its bytes, so that
 * a thousand of them under way cost no more memory than one.
 */
import { gzipSync } from "node:zlib";
import type { Headers } from "../listener/request-head.ts";
import type { Answer } from "./route.ts";

export type PackedPage = { readonly plain: Uint8Array; readonly gzipped: Uint8Array };

const TAKES_GZIP = /(^|,)\s*(gzip|\*)\s*(;\s*q=(1(\.0*)?|0\.\d*[1-9]\d*))?\s*(,|$)/i;
const HEADERS = { "cache-control": "public, max-age=300", vary: "accept-encoding" };

export function packed(text: string): PackedPage {
  const plain = Buffer.from(text);
  return { plain, gzipped: gzipSync(plain) };
}

/** In the form that the request takes. */
export function packedAnswer({ plain, gzipped }: PackedPage, request: Headers): Answer {
  const type = "application/json";
  if (!TAKES_GZIP.test(request["accept-encoding"] ?? "")) {
    return { status: 200, headers: HEADERS, raw: { type, content: plain } };
  }
  const headers = { ...HEADERS, "content-encoding": "gzip" };
  return { status: 200, headers, raw: { type, content: gzipped } };
}
