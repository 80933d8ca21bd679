/**
 * From a credential to a principal: who calls, in which role, until when. Two kinds of credential:
 * a JWT for customers, couriers, partners and operators, and the secret of a tracking link, which
 * stands for one delivery.
 *
 * It refuses every algorithm but one, foreign issuers, audiences and types, tokens without an end,
 * and subjects that are no ids. Key material comes from the configuration alone: one key, and while
 * keys are exchanged the one before; headers like `jku` are never followed. What was verified is
 * remembered until it expires, because a verification costs as much as the rest of a request; what
 * was revoked since is refused all the same.
 */
import { createHash } from "node:crypto";
import { errors as joseErrors, jwtVerify } from "jose";
import type { JWTPayload } from "jose";
import { LRUCache } from "lru-cache";
import type { Clock } from "../../engine/io/clock.ts";
import type { Store } from "../../engine/store/port.ts";
import { DispatchError } from "../../proto/errors.ts";
import { isCourierId, isPrincipalId } from "../../proto/ids.ts";
import type { DeliveryId, Millis } from "../../proto/ids.ts";
import { TOKEN_CLOCK_SKEW_MS, TOKEN_LIFE_MAX_MS, TOKEN_MAX_CHARS } from "../../proto/limits.ts";
import { isTrackable } from "./policy.ts";
import type { Principal } from "../base/principal.ts";
import type { Revocations } from "./revocations.ts";
import {
  TOKEN_ALGORITHM,
  TOKEN_ISSUER,
  TOKEN_TYPE,
  audienceOf,
  keyBytes,
  keyId,
} from "../token.ts";
import type { TokenRole } from "../token.ts";

export type Auth = {
  /**
   * The principal of a credential. Rejects with `unauthorized`, `token_expired`, or `unavailable`
   * (tracking links only).
   */
  readonly verify: (credential: string) => Promise<Principal>;
};

const TOKENS_MAX = 50_000;
const LINKS_MAX = 10_000;
/** How long the row behind a link is believed: an ended delivery stays readable so much longer. */
const LINK_CACHE_MS = 5_000;
const CLOCK_TOLERANCE_S = TOKEN_CLOCK_SKEW_MS / 1_000;
/**
 * What a revocation can name (`revocationBody`). A token that could not be revoked by its id is not
 * let in.
 */
const TOKEN_ID_PATTERN = /^[A-Za-z0-9_-]{1,64}$/;
/** 128 random bits in base64url. */
export const TRACKING_SECRET_PATTERN = /^[A-Za-z0-9_-]{22}$/;

const ROLE_OF_AUDIENCE: ReadonlyMap<unknown, TokenRole> = new Map(
  (["customer", "courier", "partner", "operator"] as const).map((role) => [audienceOf(role), role]),
);

/** What is kept of a tracking link's secret. */
export const trackingHash = (secret: string): Uint8Array =>
  createHash("sha256").update(secret).digest();

/** Whoever has the link of that delivery. A link has no time of issue: revoked, it stays so. */
export const linkPrincipal = (subject: DeliveryId, expiresAt: Millis): Principal => ({
  ...({ role: "tracking", subject, expiresAt } as const),
  issuedAt: 0,
});

export type AuthParts = {
  /** The key that signs now, and where keys are being exchanged the one before it. */
  readonly keys: readonly [current: string, previous?: string];
  readonly store: Pick<Store, "deliveryByTracking">;
  readonly clock: Clock;
  readonly revocations: Pick<Revocations, "revokes">;
};

/** Throws a RangeError when a key is too short. */
export function createAuth({ keys, store, clock, revocations }: AuthParts): Auth {
  const secrets = secretsOf(keys);
  const tokens = new LRUCache<string, Principal>({ max: TOKENS_MAX });
  const links = new LRUCache<string, Principal>({ max: LINKS_MAX, ttl: LINK_CACHE_MS });

  const verifyToken = async (token: string): Promise<Principal> => {
    const known = tokens.get(token);
    if (known !== undefined) {
      if (known.expiresAt > clock.now()) return known;
      tokens.delete(token);
      throw new DispatchError("token_expired");
    }
    const principal = await verifyJwt(token, secrets, clock.now());
    tokens.set(token, principal);
    return principal;
  };
  const verifyLink = async (text: string): Promise<Principal> => {
    const known = links.get(text);
    if (known !== undefined) return known;
    const row = await store.deliveryByTracking(trackingHash(text));
    if (row === null || !isTrackable(row, clock.now())) throw new DispatchError("unauthorized");
    const principal = linkPrincipal(row.id, clock.now() + LINK_SESSION_MS);
    links.set(text, principal);
    return principal;
  };
  return {
    async verify(credential) {
      const isLink = TRACKING_SECRET_PATTERN.test(credential);
      const principal = await (isLink ? verifyLink(credential) : verifyToken(credential));
      if (revocations.revokes(principal)) throw new DispatchError("unauthorized");
      return principal;
    },
  };
}

type Secrets = { readonly current: Uint8Array; readonly byId: ReadonlyMap<string, Uint8Array> };

function secretsOf([current, previous]: AuthParts["keys"]): Secrets {
  const byId = new Map([[keyId(current), keyBytes(current)]]);
  if (previous !== undefined) byId.set(keyId(previous), keyBytes(previous));
  return { current: keyBytes(current), byId };
}

/**
 * The key that the header names; the current one where it names none. Throws for a name that is not
 * known.
 */
function secretOf({ current, byId }: Secrets, kid: unknown): Uint8Array {
  if (kid === undefined) return current;
  const secret = typeof kid === "string" ? byId.get(kid) : undefined;
  if (secret === undefined) throw new DispatchError("unauthorized");
  return secret;
}

/** A socket opened with a link lives so long, and then asks again. */
const LINK_SESSION_MS = 3_600_000;

async function verifyJwt(token: string, secrets: Secrets, now: Millis): Promise<Principal> {
  if (token.length === 0 || token.length > TOKEN_MAX_CHARS) throw new DispatchError("unauthorized");
  try {
    const { payload } = await jwtVerify(token, ({ kid }) => secretOf(secrets, kid), {
      algorithms: [TOKEN_ALGORITHM],
      issuer: TOKEN_ISSUER,
      typ: TOKEN_TYPE,
      requiredClaims: ["exp", "sub", "aud"],
      clockTolerance: CLOCK_TOLERANCE_S,
      currentDate: new Date(now),
    });
    return principalOf(payload, now);
  } catch (cause) {
    if (cause instanceof DispatchError) throw cause;
    const isLate = cause instanceof joseErrors.JWTExpired;
    throw new DispatchError(isLate ? "token_expired" : "unauthorized", undefined, { cause });
  }
}

/**
 * The claims that count, each of its own type (RFC 7519, 4.1): the library looks at their values
 * and lets a number pass as a subject, an object as an id. Throws `unauthorized`.
 */
function principalOf(payload: JWTPayload, now: Millis): Principal {
  const { aud, sub, exp, iat, jti } = payload as Readonly<Record<string, unknown>>;
  // One audience, as one text: a token that fits several roles fits none.
  const role = ROLE_OF_AUDIENCE.get(aud);
  const isNamed = jti === undefined || (typeof jti === "string" && TOKEN_ID_PATTERN.test(jti));
  const isDated = iat === undefined || isSeconds(iat);
  if (role === undefined || typeof sub !== "string" || !isSeconds(exp) || !isNamed || !isDated) {
    throw new DispatchError("unauthorized");
  }
  const saidAt = (iat ?? 0) * 1_000;
  // From further ahead than clocks differ: a revocation made now would not hit it.
  if (saidAt > now + TOKEN_CLOCK_SKEW_MS) throw new DispatchError("unauthorized");
  // Seen before it was made: the clock of its maker is ahead, and it is no younger than this sight
  // of it.
  const issuedAt = Math.min(saidAt, now);
  const expiresAt = endOf(exp, iat === undefined ? null : issuedAt);
  if (expiresAt <= now - TOKEN_CLOCK_SKEW_MS) throw new DispatchError("token_expired");
  const times = { expiresAt, issuedAt, ...(jti === undefined ? {} : { jti }) };
  if (role === "courier") {
    if (!isCourierId(sub)) throw new DispatchError("unauthorized");
    return { role, subject: sub, ...times };
  }
  if (!isPrincipalId(sub)) throw new DispatchError("unauthorized");
  return { role, subject: sub, ...times };
}

/**
 * Seconds since 1970; a fraction is allowed (RFC 7519, NumericDate), and however far ahead an end
 * may be.
 */
const isSeconds = (value: unknown): value is number =>
  typeof value === "number" && Number.isFinite(value) && value >= 0;

/**
 * The token's own end, or the greatest age: a token must not outlive the revocation that ended it.
 */
function endOf(expS: number, issuedAt: Millis | null): Millis {
  const oldestAt = issuedAt === null ? Infinity : issuedAt + TOKEN_LIFE_MAX_MS;
  return Math.min(expS * 1_000, oldestAt, Number.MAX_SAFE_INTEGER);
}

/** The credential of an Authorization header; throws `unauthorized` when there is none. */
export function bearerOf(header: string | undefined): string {
  const match = /^Bearer +([^ ]+)$/i.exec(header ?? "");
  if (match === null) throw new DispatchError("unauthorized");
  return match[1] as string;
}
