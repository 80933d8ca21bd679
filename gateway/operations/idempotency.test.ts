/** One key in two hands: it belongs to whoever brings it, and to one call. */
import { describe, expect, it } from "vitest";
import { createLog } from "../../engine/io/log.ts";
import type { IdempotencyKey, StoredAnswer } from "../../engine/store/port.ts";
import type { DispatchError } from "../../proto/errors.ts";
import type { PrincipalId } from "../../proto/ids.ts";
import { createSecretBox } from "../base/secret-box.ts";
import { Idempotency, keyOf, keyOfExternalId } from "./idempotency.ts";
import type { Principal } from "../base/principal.ts";

const ROUTE = "POST /deliveries";
const BODY = new TextEncoder().encode("{}");
const who = (role: "customer" | "partner", subject: string): Principal => ({
  ...{ role, subject: subject as PrincipalId },
  expiresAt: Number.MAX_SAFE_INTEGER,
  issuedAt: 0,
});
const [alice, bob] = [who("customer", "cus_a"), who("customer", "cus_b")];
const keyFor = (principal: Principal): IdempotencyKey =>
  keyOf("order-1", principal, ROUTE, BODY) as IdempotencyKey;

const box = createSecretBox(["a key for these tests"]);

/** Answers by principal and key, as the table of keys has them. */
function drive() {
  const kept = new Map<string, StoredAnswer>();
  const nameOf = ({ principal, key }: IdempotencyKey): string => JSON.stringify([principal, key]);
  const store = {
    storedAnswer: (key: IdempotencyKey) => Promise.resolve(kept.get(nameOf(key)) ?? null),
    keepAnswer: (key: IdempotencyKey, status: number, body: unknown) => {
      kept.set(nameOf(key), { fingerprint: key.fingerprint, status, body });
      return Promise.resolve();
    },
  };
  return { kept, idempotency: new Idempotency(store, createLog("silent", {}), box) };
}

/** Work that has begun and ends when it is told to. */
function slowWork() {
  let end = (): void => undefined;
  const ended = new Promise<void>((resolve) => (end = resolve));
  return { end, work: () => ended };
}
const codeOf = (work: Promise<unknown>): Promise<string> =>
  work.then(
    () => "none",
    (error: unknown) => (error as DispatchError).code,
  );

describe("a key under way", () => {
  it("holds up nobody but whoever brought it: another customer's same key runs", async () => {
    const { idempotency } = drive();
    const slow = slowWork();
    const first = idempotency.once(keyFor(alice), slow.work);
    const partner = who("partner", alice.subject);
    for (const other of [bob, partner]) {
      expect(await idempotency.once(keyFor(other), () => Promise.resolve("ran"))).toBe("ran");
    }
    const again = idempotency.once(keyFor(alice), () => Promise.resolve());
    expect(await codeOf(again)).toBe("idempotency_in_progress");
    slow.end();
    await first;
  });

  it("is not the id that a client chose for its order, though the text is the same", async () => {
    const { idempotency } = drive();
    const slow = slowWork();
    const first = idempotency.once(keyFor(alice), slow.work);
    const byId = keyOfExternalId("order-1", alice, ROUTE, BODY);
    expect(await idempotency.once(byId, () => Promise.resolve("ran"))).toBe("ran");
    slow.end();
    await first;
  });

  it("is free again when its work failed", async () => {
    const { idempotency } = drive();
    const failing = idempotency.once(keyFor(alice), () => Promise.reject(new Error("away")));
    await expect(failing).rejects.toThrow("away");
    expect(await idempotency.once(keyFor(alice), () => Promise.resolve("ran"))).toBe("ran");
  });
});

describe("a kept answer", () => {
  it("is given to whoever got it first, and to no other customer with the same key", async () => {
    const { idempotency } = drive();
    const answer = (name: string) => () => Promise.resolve({ status: 201, body: { name } });
    await idempotency.kept(keyFor(alice), answer("a"));
    expect(await idempotency.kept(keyFor(bob), answer("b"))).toMatchObject({
      ...{ body: { name: "b" }, isReplay: false },
    });
    expect(await idempotency.kept(keyFor(alice), answer("c"))).toMatchObject({
      ...{ body: { name: "a" }, isReplay: true },
    });
  });

  it.each([
    [200, true],
    [201, true],
    [202, true],
    [204, true],
    [409, true],
    [403, false],
    [422, false],
    [429, false],
    [503, false],
  ])("of status %i is kept: %s", async (status, isKept) => {
    const { idempotency, kept } = drive();
    await idempotency.kept(keyFor(alice), () => Promise.resolve({ status, body: null }));
    expect(kept.size).toBe(isKept ? 1 : 0);
  });
});
