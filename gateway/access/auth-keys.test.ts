/**
 * Tokens of two issuers, for two roles, under two keys: which of them is believed, and for how
 * long.
 */
import { SignJWT } from "jose";
import { beforeEach, describe, expect, it } from "vitest";
import { VirtualClock } from "../../engine/io/virtual-clock.ts";
import type { DeliveryRow } from "../../engine/store/port.ts";
import type { DispatchError } from "../../proto/errors.ts";
import type { DeliveryId } from "../../proto/ids.ts";
import { LINK_AFTER_END_MS } from "../../proto/limits.ts";
import { createAuth } from "./auth.ts";
import type { Auth } from "./auth.ts";
import { TOKEN_ISSUER, TOKEN_TYPE, audienceOf, keyBytes, keyId } from "../token.ts";

const NOW = Date.parse("2026-05-03T14:00:00Z");
const NOW_S = NOW / 1_000;
const [KEY, OLD_KEY, FOREIGN_KEY] = ["present", "previous", "somebody else\u0027s"].map(
  (name) => `the ${name} key, of thirty-two characters`,
) as [string, string, string];
const SECRET = "abcdefghijklmnopqrstuv";

let clock: VirtualClock;
let auth: Auth;
let ended: DeliveryRow;

beforeEach(() => {
  clock = new VirtualClock(NOW);
  ended = { id: "del_1" as DeliveryId, status: "delivered", endedAt: NOW } as DeliveryRow;
  auth = createAuth({
    keys: [KEY, OLD_KEY],
    store: { deliveryByTracking: () => Promise.resolve(ended) },
    clock,
    revocations: { revokes: () => false },
  });
});

type Claims = { issuer?: string | null; audience?: string; typ?: string; ttlS?: number };
function token(claims: Claims = {}, key = KEY, kid: string | null = keyId(key)): Promise<string> {
  const { issuer = TOKEN_ISSUER, audience = audienceOf("customer"), ttlS = 600 } = claims;
  const { typ = TOKEN_TYPE } = claims;
  const jwt = new SignJWT({})
    .setProtectedHeader({ alg: "HS256", typ, ...(kid === null ? {} : { kid }) })
    .setAudience(audience)
    .setSubject("cus_1")
    .setIssuedAt(NOW_S)
    .setExpirationTime(NOW_S + ttlS);
  if (issuer !== null) jwt.setIssuer(issuer);
  return jwt.sign(keyBytes(key));
}
const verdict = async (credential: string): Promise<string> =>
  auth.verify(credential).then(
    ({ role, subject }) => `${role} ${subject}`,
    (error: unknown) => (error as DispatchError).code,
  );

describe("a token", () => {
  it("of our issuer is believed; of another, or of none, it is not, though the key is ours", async () => {
    expect(await verdict(await token())).toBe("customer cus_1");
    for (const issuer of ["else", "", "Hexdispatch", "hexdispatch.example", null]) {
      expect(await verdict(await token({ issuer })), String(issuer)).toBe("unauthorized");
    }
  });

  it("is for the role of its audience, and for none where the audience is not one of ours", async () => {
    const audience = audienceOf("operator");
    expect(await verdict(await token({ audience }))).toBe("operator cus_1");
    for (const other of ["hexdispatch", "hexdispatch:tracking", "else:customer"]) {
      expect(await verdict(await token({ audience: other })), other).toBe("unauthorized");
    }
    expect(await verdict(await token({ typ: "JWT" }))).toBe("unauthorized");
  });

  it("holds under either of our keys, by the name of that key, and under no third", async () => {
    expect(await verdict(await token({}, OLD_KEY))).toBe("customer cus_1");
    expect(await verdict(await token({}, KEY, null))).toBe("customer cus_1");
    expect(await verdict(await token({}, OLD_KEY, null))).toBe("unauthorized");
    expect(await verdict(await token({}, FOREIGN_KEY))).toBe("unauthorized");
    expect(await verdict(await token({}, FOREIGN_KEY, keyId(KEY)))).toBe("unauthorized");
    expect(await verdict(await token({}, KEY, keyId(FOREIGN_KEY)))).toBe("unauthorized");
    expect(await verdict(await token({}, KEY, keyId(FOREIGN_KEY)))).toBe("unauthorized");
  });

  it("ends when it says, give or take five seconds, known or not", async () => {
    const [known, unknown] = [await token({ ttlS: 600 }), await token({ ttlS: 601 })];
    expect(await verdict(known)).toBe("customer cus_1");
    await clock.advance(599_000);
    expect(await verdict(known)).toBe("customer cus_1");
    await clock.advance(7_001);
    expect(await verdict(known)).toBe("token_expired");
    expect(await verdict(unknown)).toBe("token_expired");
    expect(await verdict(await token({ ttlS: 602 }))).toBe("customer cus_1");
  });
});

describe("a tracking link", () => {
  it("opens for an hour after its delivery ended, and for a session of an hour at a time", async () => {
    const { expiresAt } = await auth.verify(SECRET);
    expect(expiresAt - NOW).toBe(3_600_000);
    await clock.advance(LINK_AFTER_END_MS - 60_000);
    expect(await verdict(SECRET.replace("a", "b"))).toBe("tracking del_1");
    await clock.advance(61_000);
    expect(await verdict(SECRET.replace("a", "c"))).toBe("unauthorized");
    expect(LINK_AFTER_END_MS).toBe(60 * 60 * 1_000);
  });
});
