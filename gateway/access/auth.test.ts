/**
 * Which tokens are let in: every claim with every type of JSON, and the signatures, issuers and
 * times around them.
 */
import { SignJWT } from "jose";
import { describe, expect, it } from "vitest";
import { VirtualClock } from "../../engine/io/virtual-clock.ts";
import { DispatchError } from "../../proto/errors.ts";
import type { ErrorCode } from "../../proto/errors.ts";
import { TOKEN_CLOCK_SKEW_MS, TOKEN_LIFE_MAX_MS } from "../../proto/limits.ts";
import { createAuth } from "./auth.ts";
import { Revocations } from "./revocations.ts";
import { TOKEN_ISSUER, TOKEN_TYPE, audienceOf, keyBytes, keyId } from "../token.ts";

const KEY = "a signing key for these tests, long enough";
const NOW_S = 1_800_000_000;
const clock = new VirtualClock(NOW_S * 1_000);
const revocations = { revokes: () => false };
const store = { deliveryByTracking: () => Promise.resolve(null) };
const auth = createAuth({ keys: [KEY], store, clock, revocations });

type Json = Readonly<Record<string, unknown>>;

const GOOD = {
  ...{ iss: TOKEN_ISSUER, aud: audienceOf("courier"), sub: "cur_1", jti: "j-1" },
  ...{ iat: NOW_S - 10, exp: NOW_S + 600 },
};
const HEADER = { alg: "HS256", typ: TOKEN_TYPE, kid: keyId(KEY) };

const sign = (claims: Json, header: Json = {}, key = KEY): Promise<string> =>
  new SignJWT({ ...GOOD, ...claims })
    .setProtectedHeader({ ...HEADER, ...header } as typeof HEADER)
    .sign(keyBytes(key));

/** `ok`, or the code of the refusal. */
const verdict = async (token: string): Promise<"ok" | ErrorCode> => {
  try {
    const principal = await auth.verify(token);
    expect(principal).toMatchObject({ role: "courier", subject: "cur_1" });
    return "ok";
  } catch (error) {
    expect(error).toBeInstanceOf(DispatchError);
    return (error as DispatchError).code;
  }
};

/** One of each type, and values that a loose comparison would take for the right one. */
const VALUES = (good: unknown): readonly unknown[] => [
  ...[null, true, false, 0, 1, -1, 1.5, 1e300, 2 ** 53, "", " ", "x", "0", "null", "__proto__"],
  ...[[], [good], [[good]], {}, { toString: "x" }, { 0: good }, String(good), `${String(good)} `],
];

/**
 * Values of a claim, besides the good one, with which a token is let in. All others are refused.
 */
const LET_IN: Readonly<Record<string, (value: unknown) => boolean>> = {
  iss: (v) => v === TOKEN_ISSUER,
  aud: (v) => v === audienceOf("courier"),
  sub: (v) => v === "cur_1",
  jti: (v) => typeof v === "string" && /^[\w-]{1,64}$/.test(v),
  // From the far past is too old to be believed; from the future, not yet made.
  iat: () => false,
  exp: (v) => typeof v === "number" && v > NOW_S,
  nbf: (v) => typeof v === "number" && v <= NOW_S,
};

describe("a token", () => {
  it("as it should be is let in", async () => expect(await verdict(await sign({}))).toBe("ok"));

  for (const [claim, isLetIn] of Object.entries(LET_IN)) {
    it(`is let in with no other type or value of ${claim} than it may have`, async () => {
      const good = GOOD[claim as keyof typeof GOOD] ?? NOW_S;
      for (const value of VALUES(good)) {
        const token = await sign({ [claim]: value });
        const found = await verdict(token);
        const expected = isLetIn(value) ? "ok" : "refused";
        const isRefused = found === "unauthorized" || found === "token_expired";
        expect(isRefused ? "refused" : found, `${claim}: ${JSON.stringify(value)}`).toBe(expected);
      }
    });
  }

  it("says nothing by claims that are not looked at, whatever their type", async () => {
    for (const value of VALUES("operator")) {
      const more = { role: value, scope: value, admin: value, cnf: value };
      expect(await verdict(await sign(more))).toBe("ok");
    }
  });

  it("needs its end, its subject and its audience; the rest may be absent", async () => {
    for (const claim of Object.keys(GOOD)) {
      const found = await verdict(await sign({ [claim]: undefined }));
      expect(found, claim).toBe(claim === "iat" || claim === "jti" ? "ok" : "unauthorized");
    }
  });

  it("has one header: algorithm, type and key as they are made here", async () => {
    for (const kid of VALUES(HEADER.kid)) {
      const expected = kid === HEADER.kid ? "ok" : "unauthorized";
      expect(await verdict(await sign({}, { kid })), JSON.stringify(kid)).toBe(expected);
    }
    for (const typ of [null, 5, "JWT", ["at+jwt"], {}, ""]) {
      expect(await verdict(await sign({}, { typ })), JSON.stringify(typ)).toBe("unauthorized");
    }
    for (const alg of ["HS384", "HS512"]) {
      const long = `${KEY}${KEY}`;
      const both = createAuth({ keys: [long], store, clock, revocations });
      const token = await sign({}, { alg, kid: keyId(long) }, long);
      await expect(both.verify(token)).rejects.toMatchObject({ code: "unauthorized" });
    }
  });

  it("without a signature, or with somebody else's, is refused", async () => {
    const [head = "", body = "", signature = ""] = (await sign({})).split(".");
    const none = Buffer.from(JSON.stringify({ ...HEADER, alg: "none" })).toString("base64url");
    const lower = Buffer.from(JSON.stringify({ ...HEADER, alg: "hs256" })).toString("base64url");
    const foreign = await sign({}, {}, `${KEY}, but another`);
    for (const token of [
      ...[
        `${none}.${body}.`,
        `${none}.${body}.${signature}`,
        `${head}.${body}.`,
        `${head}.${body}`,
      ],
      ...[`${lower}.${body}.${signature}`, `${head}.${body}.${signature.slice(1)}`, foreign, ".."],
      ...["", "a.b.c", `${head}.${body}.${signature}.${signature}`],
    ]) {
      expect(await verdict(token), token).toBe("unauthorized");
    }
  });

  it("of another issuer is refused although it is signed with our key", async () => {
    for (const iss of ["hexdispatch2", "HEXDISPATCH", "https://hexdispatch", "other"]) {
      expect(await verdict(await sign({ iss }))).toBe("unauthorized");
    }
  });
});

describe("the times of a token", () => {
  const skewS = TOKEN_CLOCK_SKEW_MS / 1_000;

  it("may be ahead by as much as clocks differ, and no further", async () => {
    expect(await verdict(await sign({ iat: NOW_S + skewS }))).toBe("ok");
    expect(await verdict(await sign({ iat: NOW_S + skewS + 1 }))).toBe("unauthorized");
    expect(await verdict(await sign({ exp: NOW_S - skewS + 1 }))).toBe("ok");
    expect(await verdict(await sign({ exp: NOW_S - skewS - 1 }))).toBe("token_expired");
    expect(await verdict(await sign({ exp: NOW_S + 0.5 }))).toBe("ok");
  });

  it("end after a year at the latest: a revocation is not kept for longer", async () => {
    const old = NOW_S - TOKEN_LIFE_MAX_MS / 1_000 - skewS;
    expect(await verdict(await sign({ iat: old, exp: 1e300 }))).toBe("token_expired");
    const principal = await auth.verify(await sign({ iat: NOW_S, exp: 1e300 }));
    expect(principal.expiresAt).toBe(NOW_S * 1_000 + TOKEN_LIFE_MAX_MS);
  });

  it("do not carry a token over a revocation: what was seen before it was made is not younger", async () => {
    const all: { subject: string; notBefore: number }[] = [];
    const access = {
      revoke: () => Promise.reject(new Error("unused")),
      revocations: () =>
        Promise.resolve({ rows: all, cursor: { server: "1", snapshot: "1:1:" }, next: null }),
    };
    const bus = { publish: () => undefined, subscribe: () => () => undefined };
    const subjects = { revoked: "r" };
    const log = { warn: () => undefined };
    const real = new Revocations({ bus, subjects, log, clock, access } as never);
    const guarded = createAuth({ keys: [KEY], store, clock, revocations: real });
    const ahead = await sign({ iat: NOW_S + skewS });
    expect((await guarded.verify(ahead)).subject).toBe("cur_1");
    all.push({ subject: "courier:cur_1", notBefore: NOW_S * 1_000 + 10 });
    await real.read();
    await expect(guarded.verify(ahead)).rejects.toMatchObject({ code: "unauthorized" });
    real.stop();
  });
});
