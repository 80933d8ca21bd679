/**
 * Makes tokens. Used by `npm run token`, by a local start and by tests; the gateway itself only
 * verifies (`gateway/access/auth.ts`). A token is a JWT, HS256, of type `at+jwt` (RFC 9068); the
 * role is in its audience, so that a token for one role is refused where another is asked. `kid`
 * says under which key it was signed, `jti` names it.
 */
import { createHash, randomUUID } from "node:crypto";
import { SignJWT } from "jose";
import type { Role } from "../proto/ids.ts";

export const TOKEN_ISSUER = "hexdispatch";
export const TOKEN_TYPE = "at+jwt";
export const TOKEN_ALGORITHM = "HS256";
/** HS256 wants a key as long as its hash (RFC 7518, 3.2). */
export const TOKEN_KEY_MIN_BYTES = 32;

/** Roles that a token can have; `tracking` is a link's secret and never a token. */
export type TokenRole = Exclude<Role, "tracking">;
/** `ttlS`: seconds from now. */
export type TokenRequest = {
  readonly role: TokenRole;
  readonly sub: string;
  readonly ttlS: number;
};

export const audienceOf = (role: TokenRole): string => `hexdispatch:${role}`;

/** The key's bytes. Throws a RangeError when it is too short to be one. */
export function keyBytes(key: string): Uint8Array {
  const bytes = new TextEncoder().encode(key);
  if (bytes.length < TOKEN_KEY_MIN_BYTES) {
    throw new RangeError(`the signing key needs ${TOKEN_KEY_MIN_BYTES} characters or more`);
  }
  return bytes;
}

/** A key's name in the header of its tokens: says which of two keys, and nothing about either. */
export const keyId = (key: string): string =>
  createHash("sha256").update(`hexdispatch key id\n${key}`).digest("base64url").slice(0, 10);

/** A signed token. */
export async function signToken(request: TokenRequest, key: string): Promise<string> {
  const nowS = Math.floor(Date.now() / 1000);
  return new SignJWT({})
    .setProtectedHeader({ alg: TOKEN_ALGORITHM, typ: TOKEN_TYPE, kid: keyId(key) })
    .setIssuer(TOKEN_ISSUER)
    .setAudience(audienceOf(request.role))
    .setSubject(request.sub)
    .setJti(randomUUID())
    .setIssuedAt(nowS)
    .setExpirationTime(nowS + request.ttlS)
    .sign(keyBytes(key));
}
