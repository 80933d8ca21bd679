/**
 * Quotes: what a delivery would look like, good until a time. A quote is not stored; it is a signed
 * text that says for whom, what and until when, so that any gateway can check it and none can be
 * made up.
 */
import { createHmac, timingSafeEqual } from "node:crypto";
import { DispatchError } from "../../proto/errors.ts";
import type { Millis } from "../../proto/ids.ts";
import { QUOTE_TTL_MS } from "../../proto/limits.ts";

/** `what`: the fingerprint of all that the estimate depends on. */
export type QuoteClaims = { readonly owner: string; readonly what: string };

export type Quotes = {
  readonly issue: (
    claims: QuoteClaims,
    now: Millis,
  ) => { readonly quote: string; readonly expiresAt: Millis };
  /** Throws `quote_expired` when it is not ours, not this owner's, not for this, or over. */
  readonly check: (quote: string, claims: QuoteClaims, now: Millis) => void;
};

/**
 * `key`: the signing key of tokens; the purpose is mixed in, so a quote can never stand for a
 * token.
 */
export function createQuotes(key: string): Quotes {
  const signatureOf = ({ owner, what }: QuoteClaims, expiresAt: Millis): string =>
    createHmac("sha256", key)
      .update(`hexdispatch quote\n${owner}\n${what}\n${expiresAt}`)
      .digest("base64url");
  return {
    issue(claims, now) {
      const expiresAt = now + QUOTE_TTL_MS;
      return { quote: `q1.${expiresAt}.${signatureOf(claims, expiresAt)}`, expiresAt };
    },
    check(quote, claims, now) {
      const [version, until, signature = ""] = quote.split(".");
      const expiresAt = Number(until);
      const wanted = Buffer.from(signatureOf(claims, expiresAt));
      const given = Buffer.from(signature);
      const isOurs = given.length === wanted.length && timingSafeEqual(given, wanted);
      if (version !== "q1" || !isOurs || !(now < expiresAt))
        throw new DispatchError("quote_expired");
    },
  };
}
