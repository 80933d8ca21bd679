/** The small parts of the REST door: cursors, problems, bodies and queries, keys, rates. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { createLog } from "../../engine/io/log.ts";
import type { IdempotencyKey, StoredAnswer } from "../../engine/store/port.ts";
import { DispatchError, ERRORS } from "../../proto/errors.ts";
import type { ErrorCode } from "../../proto/errors.ts";
import type { DeliveryId, PrincipalId } from "../../proto/ids.ts";
import type { Principal } from "../base/principal.ts";
import { bearerOf } from "../access/auth.ts";
import { decodeCursor, encodeCursor } from "../operations/cursor.ts";
import { Idempotency, keyOf } from "../operations/idempotency.ts";
import { parseJsonBody, parseQuery } from "./json-body.ts";
import { asDispatchError, problemHeaders, problemOf, validationError } from "../base/problem.ts";
import { RateLimit } from "../access/rate-limit.ts";
import { createSecretBox } from "../base/secret-box.ts";
import { createBody } from "../operations/schemas.ts";

const codeOf = (run: () => unknown): string => {
  try {
    run();
  } catch (error) {
    return (error as DispatchError).code;
  }
  return "none";
};
const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);

describe("a cursor", () => {
  const position = {
    createdAt: 1_777_816_500_123,
    id: "del_00aaaaaaaaaaaaaaaaaaaaa" as DeliveryId,
  };

  it("comes back as it went", () => {
    expect(decodeCursor(encodeCursor(position))).toEqual(position);
    expect(encodeCursor(position)).toMatch(/^[A-Za-z0-9_-]+$/);
  });

  it("is refused when it is none of ours, whatever it is", () => {
    fc.assert(
      fc.property(fc.string({ maxLength: 90 }), (text) => {
        const decoded = decodeCursor(text);
        expect(decoded === null || encodeCursor(decoded) === text).toBe(true);
      }),
    );
    const cursor = encodeCursor(position);
    for (const bad of [`${cursor}=`, `${cursor} `, cursor.slice(1), `${cursor}A`, ""]) {
      expect(decodeCursor(bad), bad).toBeNull();
    }
  });
});

describe("a problem", () => {
  it("has its code's status and text, whatever the code", () => {
    for (const code of Object.keys(ERRORS) as ErrorCode[]) {
      const error = new DispatchError(code);
      const problem = problemOf(error, "/v1/x");
      expect(problem).toMatchObject({ code, status: ERRORS[code].status, instance: "/v1/x" });
      expect("retry-after" in problemHeaders(error)).toBe(ERRORS[code].retryable);
      expect("www-authenticate" in problemHeaders(error)).toBe(problem.status === 401);
    }
  });

  it("says nothing of what broke inside", () => {
    const error = asDispatchError(new Error("password=hunter2"));
    expect(JSON.stringify(problemOf(error, "/"))).not.toContain("hunter2");
    expect(error.code).toBe("internal");
  });

  it("points at each bad field, with RFC 6901 escapes", () => {
    const body = { origin: { lat: "x", lng: 200 }, "a/b~c": 1, package_size: "small", phone: "1" };
    const { error } = createBody.safeParse(body);
    const { code, errors } = validationError(error?.issues ?? []);
    expect(code).toBe("invalid_field");
    expect(errors.map((e) => [e.pointer, e.code])).toEqual(
      expect.arrayContaining([
        ["/origin/lat", "invalid_field"],
        ["/origin/lng", "invalid_field"],
        ["/phone", "invalid_field"],
        ["/a~1b~0c", "unknown_field"],
        ["/destination_address", "invalid_field"],
      ]),
    );
    expect(errors.every((e) => e.detail !== "")).toBe(true);
  });
});

describe("a body and a query", () => {
  const json = { "content-type": "application/json" };

  it("are read, or refused with the code that says why", () => {
    expect(parseJsonBody(json, bytes('{"a":1,"a":2}'))).toEqual({ a: 2 });
    expect(parseJsonBody({}, bytes(""))).toEqual({});
    expect(parseJsonBody({ "content-type": 'Application/JSON; charset="UTF-8"' }, bytes("1"))).toBe(
      1,
    );
    for (const type of [
      "application/json;charset=UTF-8; foo=bar",
      'APPLICATION/JSON; Charset="utf8" ;',
      'application/json; x="a;charset=latin1"',
    ]) {
      expect(parseJsonBody({ "content-type": type }, bytes('\uFEFF{"a":1}')), type).toEqual({
        a: 1,
      });
    }
    for (const type of [
      "application/json; charset=latin1",
      "application/json; charset=utf-8; charset=utf-16",
      "application/json; charset = utf-8",
      "application/problem+json",
      "application/jsonx",
      "text/json",
      `application/json${" ;".repeat(100)}x`,
      `application/json${'; a="'.repeat(41)}`,
      `application/json${" ".repeat(200)}x`,
    ]) {
      const refused = codeOf(() => parseJsonBody({ "content-type": type }, bytes("{}")));
      expect(refused, type).toBe("unsupported_media_type");
    }
    expect(codeOf(() => parseJsonBody({}, bytes("{}")))).toBe("unsupported_media_type");
    expect(codeOf(() => parseJsonBody({ ...json, "content-encoding": "br" }, bytes("{}")))).toBe(
      "unsupported_media_type",
    );
    expect(codeOf(() => parseJsonBody(json, bytes("{")))).toBe("bad_request");
    expect(codeOf(() => parseJsonBody(json, new Uint8Array([0xc0, 0x80])))).toBe("bad_request");
    expect({ ...parseQuery("a=1&b=%20") }).toEqual({ a: "1", b: " " });
    expect(codeOf(() => parseQuery("a=1&a=1"))).toBe("invalid_field");
    expect(codeOf(() => parseQuery("__proto__=1&__proto__=2"))).toBe("invalid_field");
  });

  it("need a credential in the header's one form", () => {
    expect(bearerOf("bearer abc")).toBe("abc");
    for (const bad of [undefined, "", "Bearer", "Basic abc", "Bearer a b"]) {
      expect(codeOf(() => bearerOf(bad))).toBe("unauthorized");
    }
  });
});

describe("a key", () => {
  const alice: Principal = { role: "customer", subject: "alice" as PrincipalId, expiresAt: 0 };
  const partner: Principal = { role: "partner", subject: "alice" as PrincipalId, expiresAt: 0 };
  const route = "POST /deliveries";

  it("belongs to its principal, and its fingerprint to route and body", () => {
    const a = keyOf("k", alice, route, bytes("{}")) as IdempotencyKey;
    expect(keyOf("k", partner, route, bytes("{}"))?.principal).not.toBe(a.principal);
    expect(keyOf("k", alice, "POST /x", bytes("{}"))?.fingerprint).not.toBe(a.fingerprint);
    expect(keyOf("k", alice, route, bytes("{ }"))?.fingerprint).not.toBe(a.fingerprint);
    expect(keyOf(undefined, alice, route, bytes("{}"))).toBeNull();
    for (const bad of ["", " ", "ä", "a\nb", "x".repeat(256)]) {
      expect(codeOf(() => keyOf(bad, alice, route, bytes("")))).toBe("invalid_field");
    }
  });

  it("runs one at a time, keeps what ran, and forgets what failed", async () => {
    const kept = new Map<string, StoredAnswer>();
    const store = {
      storedAnswer: (k: IdempotencyKey) => Promise.resolve(kept.get(k.key) ?? null),
      keepAnswer: (k: IdempotencyKey, status: number, body: unknown) => {
        kept.set(k.key, { fingerprint: k.fingerprint, status, body });
        return Promise.resolve();
      },
    };
    const idempotency = new Idempotency(store, createLog("silent", {}), createSecretBox(["k"]));
    const key = keyOf("k", alice, route, bytes("{}")) as IdempotencyKey;
    let runs = 0;
    const work = () => Promise.resolve({ status: 200, body: { run: ++runs } });
    const failing = idempotency.kept(key, () => Promise.reject(new DispatchError("unavailable")));
    await expect(failing).rejects.toThrow(DispatchError);
    expect(await idempotency.kept(key, work)).toEqual({
      status: 200,
      body: { run: 1 },
      isReplay: false,
    });
    expect(await idempotency.kept(key, work)).toMatchObject({ body: { run: 1 }, isReplay: true });
    const other = { ...key, fingerprint: "other" };
    await expect(idempotency.kept(other, work)).rejects.toMatchObject({
      code: "idempotency_mismatch",
    });
    const slow = idempotency.once(key, () => new Promise<void>((resolve) => setImmediate(resolve)));
    await expect(idempotency.once(key, work)).rejects.toMatchObject({
      code: "idempotency_in_progress",
    });
    await slow;
    await idempotency.once(key, work);
    expect(runs).toBe(2);
  });
});

describe("a rate", () => {
  it("lets a burst through, then one at a time, each name for itself", () => {
    const limit = new RateLimit({ ratePerS: 2, burst: 3 });
    const taken = [0, 0, 0, 0].map(() => limit.take("a", 1_000));
    expect(taken).toEqual([0, 0, 0, 0.5]);
    expect(limit.take("b", 1_000)).toBe(0);
    expect(limit.take("a", 1_500)).toBe(0);
    expect(limit.take("a", 1_400)).toBeGreaterThan(0); // A clock that steps back gives nothing.
    expect(limit.wait("a", 1_500)).toBeGreaterThan(0);
    expect(limit.wait("a", 10_000)).toBe(0);
  });
});
