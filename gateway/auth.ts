/**
 * From a credential to a principal: who calls, in which role, until when. Two kinds of credential: a JWT for customers,
 * couriers, partners and operators, and the secret of a tracking link, which stands for one delivery.
 *
 * It refuses every algorithm but one, foreign issuers, audiences and types, tokens without an end, and subjects that are
 * no ids. Key material comes from the configuration alone; headers like `jku` are never followed. What was
 * verified is remembered until it expires, because a verification costs as much as the rest of a request.
 */
import { createHash } from "node:crypto";
import { errors as joseErrors, jwtVerify } from "jose";
import { LRUCache } from "lru-cache";
import type { Clock } from "../engine/io/clock.ts";
import type { Store } from "../engine/store/port.ts";
import { DispatchError } from "../proto/errors.ts";
import { isCourierId, isPrincipalId } from "../proto/ids.ts";
import { TOKEN_MAX_CHARS } from "../proto/limits.ts";
import { isTrackable } from "./policy.ts";
import type { Principal } from "./principal.ts";
import { TOKEN_ALGORITHM, TOKEN_ISSUER, TOKEN_TYPE, audienceOf, keyBytes } from "./token.ts";
import type { TokenRole } from "./token.ts";

export type Auth = {
  /** The principal of a credential. Rejects with `unauthorized`, `token_expired`, or `unavailable` (tracking links only). */
  readonly verify: (credential: string) => Promise<Principal>;
};

const TOKENS_MAX = 50_000;
const LINKS_MAX = 10_000;
/** How long the row behind a link is believed: an ended delivery stays readable so much longer. */
const LINK_CACHE_MS = 5_000;
const CLOCK_TOLERANCE_S = 5;
/** 128 random bits in base64url. */
export const TRACKING_SECRET_PATTERN = /^[A-Za-z0-9_-]{22}$/;

const ROLE_OF_AUDIENCE: ReadonlyMap<unknown, TokenRole> = new Map(
  (["customer", "courier", "partner", "operator"] as const).map((role) => [audienceOf(role), role]),
);

/** What is kept of a tracking link's secret. */
export const trackingHash = (secret: string): Uint8Array =>
  createHash("sha256").update(secret).digest();

/** Throws a RangeError when the key is too short. */
export function createAuth(
  key: string,
  store: Pick<Store, "deliveryByTracking">,
  clock: Clock,
): Auth {
  const secret = keyBytes(key);
  const tokens = new LRUCache<string, Principal>({ max: TOKENS_MAX });
  const links = new LRUCache<string, Principal>({ max: LINKS_MAX, ttl: LINK_CACHE_MS });

  const verifyToken = async (token: string): Promise<Principal> => {
    const known = tokens.get(token);
    if (known !== undefined) {
      if (known.expiresAt > clock.now()) return known;
      tokens.delete(token);
      throw new DispatchError("token_expired");
    }
    const principal = await verifyJwt(token, secret);
    tokens.set(token, principal);
    return principal;
  };
  const verifyLink = async (text: string): Promise<Principal> => {
    const known = links.get(text);
    if (known !== undefined) return known;
    const row = await store.deliveryByTracking(trackingHash(text));
    if (row === null || !isTrackable(row, clock.now())) throw new DispatchError("unauthorized");
    const expiresAt = clock.now() + LINK_SESSION_MS;
    const principal: Principal = { role: "tracking", subject: row.id, expiresAt };
    links.set(text, principal);
    return principal;
  };
  return {
    verify: (credential) =>
      TRACKING_SECRET_PATTERN.test(credential) ? verifyLink(credential) : verifyToken(credential),
  };
}

/** A socket opened with a link lives so long, and then asks again. */
const LINK_SESSION_MS = 3_600_000;

async function verifyJwt(token: string, secret: Uint8Array): Promise<Principal> {
  if (token.length === 0 || token.length > TOKEN_MAX_CHARS) throw new DispatchError("unauthorized");
  try {
    const { payload } = await jwtVerify(token, secret, {
      algorithms: [TOKEN_ALGORITHM],
      issuer: TOKEN_ISSUER,
      typ: TOKEN_TYPE,
      requiredClaims: ["exp", "sub", "aud"],
      clockTolerance: CLOCK_TOLERANCE_S,
    });
    // One audience, as one text: a token that fits several roles fits none.
    return principalOf(ROLE_OF_AUDIENCE.get(payload.aud), payload.sub ?? "", payload.exp ?? 0);
  } catch (cause) {
    if (cause instanceof DispatchError) throw cause;
    const isLate = cause instanceof joseErrors.JWTExpired;
    throw new DispatchError(isLate ? "token_expired" : "unauthorized", undefined, { cause });
  }
}

function principalOf(role: TokenRole | undefined, subject: string, expS: number): Principal {
  const expiresAt = expS * 1000;
  if (role === undefined) throw new DispatchError("unauthorized");
  if (role === "courier") {
    if (!isCourierId(subject)) throw new DispatchError("unauthorized");
    return { role, subject, expiresAt };
  }
  if (!isPrincipalId(subject)) throw new DispatchError("unauthorized");
  return { role, subject, expiresAt };
}

/** The credential of an Authorization header; throws `unauthorized` when there is none. */
export function bearerOf(header: string | undefined): string {
  const match = /^Bearer +([^ ]+)$/i.exec(header ?? "");
  if (match === null) throw new DispatchError("unauthorized");
  return match[1] as string;
}
