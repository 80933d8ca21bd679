/** Signatures against the published vector, addresses against the ranges, waits against the day. */
import { describe, expect, it, test } from "vitest";
import { RETRY_DELAYS_S, retryInMs } from "./sender.ts";
import { isGenuine, newSecret, signedHeaders } from "./signature.ts";
import { TargetError, isPublicAddress, post, targetOf } from "./target.ts";

describe("signatures", () => {
  const secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
  const [id, at, body] = [
    "msg_p5jXN8AQM9LWM0D4loKWxJek",
    1_614_265_330,
    '{"test": 2432232314}',
  ] as const;

  it("are those of the Standard Webhooks libraries' own vector", () => {
    expect(signedHeaders([secret], id, at, body)["webhook-signature"]).toBe(
      "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    );
  });

  it("hold for either secret during a rotation, and for no other body, id, time or secret", () => {
    const next = newSecret();
    const headers = signedHeaders([next, secret], id, at, body);
    expect(isGenuine(secret, headers, body, at)).toBe(true);
    expect(isGenuine(next, headers, body, at + 299)).toBe(true);
    expect(isGenuine(newSecret(), headers, body, at)).toBe(false);
    expect(isGenuine(secret, headers, `${body} `, at)).toBe(false);
    expect(isGenuine(secret, { ...headers, "webhook-id": "msg_2" }, body, at)).toBe(false);
    // Attack 34: an old message, and one that claims to be new.
    expect(isGenuine(secret, headers, body, at + 301)).toBe(false);
    expect(isGenuine(secret, { ...headers, "webhook-timestamp": String(at + 9) }, body, at)).toBe(
      false,
    );
    expect(isGenuine(secret, {}, body, at)).toBe(false);
  });
});

describe("attack 33: addresses", () => {
  it.each([
    ["127.0.0.1", false],
    ["10.1.2.3", false],
    ["169.254.169.254", false],
    ["172.31.255.255", false],
    ["192.168.1.1", false],
    ["100.64.0.1", false],
    ["0.0.0.0", false],
    ["224.0.0.1", false],
    ["::1", false],
    ["::", false],
    ["::ffff:127.0.0.1", false],
    ["::ffff:8.8.8.8", false],
    ["64:ff9b::7f00:1", false],
    ["2002:7f00:1::", false],
    ["2001:0:7f00:1::", false],
    ["fe80::1", false],
    ["fd00::1", false],
    ["not an address", false],
    ["8.8.8.8", true],
    ["172.32.0.1", true],
    ["2606:4700::1111", true],
  ])("%s is public: %s", (address, isPublic) => {
    expect(isPublicAddress(address)).toBe(isPublic);
  });

  it.each([
    "http://example.com/",
    "https://127.0.0.1/",
    "https://2130706433/",
    "https://0x7f.1/",
    "https://[::1]/",
    "https://[::ffff:169.254.169.254]/",
    "https://user:pass@example.com/",
    "https://example.com/#x",
    "file:///etc/passwd",
    "javascript:alert(1)",
    "example.com",
  ])("%s is no target", (url) => {
    expect(() => targetOf(url, "public")).toThrow(TargetError);
  });

  it("a name that leads to a private address, or to one among public ones, is not connected to", async () => {
    for (const found of [["127.0.0.1"], ["8.8.8.8", "10.0.0.1"], ["::1"], []]) {
      const resolve = () =>
        Promise.resolve(
          found.map((address) => ({ address, family: address.includes(":") ? 6 : 4 })),
        );
      const asked = post("https://rebind.test/", {}, "{}", { targets: "public", resolve });
      await expect(asked, found.join()).rejects.toThrow(TargetError);
    }
  });
});

test("retries go over a day, each at its time give or take a fifth", () => {
  const total = RETRY_DELAYS_S.reduce((a, b) => a + b, 0);
  expect(total).toBeGreaterThan(23 * 3_600);
  expect(total).toBeLessThan(25 * 3_600);
  expect(retryInMs(1, 0)).toBeCloseTo(4_000);
  expect(retryInMs(1, 1)).toBeCloseTo(6_000);
  expect(retryInMs(RETRY_DELAYS_S.length, 0.5)).not.toBeNull();
  expect(retryInMs(RETRY_DELAYS_S.length + 1, 0.5)).toBeNull();
});
