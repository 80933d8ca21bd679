/**
 * Signatures of webhooks after the Standard Webhooks specification: HMAC-SHA-256 over id, timestamp
 * and body with each secret that is good at the moment, so that a receiver can change its secret
 * without missing one. The check is here as well, for receivers in TypeScript and for the tests.
 */
import { createHmac, timingSafeEqual } from "node:crypto";
import { systemRandom } from "../../../engine/io/random.ts";

const SECRET_PREFIX = "whsec_";
const SECRET_BYTES = 32;
/** A message that is older, or from further ahead, is not believed. */
export const TOLERANCE_S = 300;

export const newSecret = (): string =>
  SECRET_PREFIX + Buffer.from(systemRandom(SECRET_BYTES)).toString("base64");

const keyOf = (secret: string): Buffer => Buffer.from(secret.replace(SECRET_PREFIX, ""), "base64");

const one = (secret: string, id: string, timestampS: number, body: string): string =>
  createHmac("sha256", keyOf(secret)).update(`${id}.${timestampS}.${body}`).digest("base64");

/** The three headers of a message. */
export function signedHeaders(
  secrets: readonly string[],
  id: string,
  timestampS: number,
  body: string,
): Readonly<Record<string, string>> {
  return {
    "webhook-id": id,
    "webhook-timestamp": String(timestampS),
    "webhook-signature": secrets.map((s) => `v1,${one(s, id, timestampS, body)}`).join(" "),
  };
}

/** Whether a message is ours and of now. */
export function isGenuine(
  secret: string,
  headers: Readonly<Record<string, string | undefined>>,
  body: string,
  nowS: number,
): boolean {
  const id = headers["webhook-id"] ?? "";
  const timestampS = Number(headers["webhook-timestamp"] ?? Number.NaN);
  if (!(Math.abs(nowS - timestampS) <= TOLERANCE_S)) return false;
  const wanted = Buffer.from(one(secret, id, timestampS, body));
  return (headers["webhook-signature"] ?? "").split(" ").some((part) => {
    const [version, text = ""] = part.split(",", 2);
    const given = Buffer.from(text);
    return version === "v1" && given.length === wanted.length && timingSafeEqual(given, wanted);
  });
}
