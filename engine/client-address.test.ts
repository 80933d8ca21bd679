/** Whose address counts behind which proxies. */
import { describe, expect, it } from "vitest";
import { addressReader, isLoopback, parseNetworks, plain } from "./client-address.ts";

const read = (trusted: string) => addressReader(parseNetworks(trusted)!);

describe("the client's address", () => {
  const cases: readonly (readonly [
    trusted: string,
    peer: string,
    header: string | undefined,
    expected: string,
  ])[] = [
    ["", "203.0.113.7", undefined, "203.0.113.7"],
    // Nobody is trusted: what the header says is the client's own invention.
    ["", "203.0.113.7", "1.2.3.4", "203.0.113.7"],
    ["10.0.0.0/8", "203.0.113.7", "1.2.3.4", "203.0.113.7"],
    ["10.0.0.0/8", "10.1.2.3", "1.2.3.4", "1.2.3.4"],
    ["10.0.0.0/8", "::ffff:10.1.2.3", "1.2.3.4", "1.2.3.4"],
    ["10.0.0.0/8", "10.1.2.3", "9.9.9.9, 1.2.3.4", "1.2.3.4"],
    ["10.0.0.0/8", "10.1.2.3", "9.9.9.9, 1.2.3.4, 10.9.9.9", "1.2.3.4"],
    ["10.0.0.0/8", "10.1.2.3", "10.9.9.9", "10.9.9.9"],
    ["10.0.0.0/8", "10.1.2.3", "1.2.3.4, nonsense", "10.1.2.3"],
    ["10.0.0.0/8", "10.1.2.3", "", "10.1.2.3"],
    ["fd00::/8", "fd00::1", "2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"],
    ["", "2001:0db8:0001:0002:0000:0000:0000:0009", undefined, "2001:db8:1:2::/64"],
    ["", "2001:db8::1", undefined, "2001:db8:0:0::/64"],
    ["", "::1", undefined, "::1"],
  ];
  for (const [trusted, peer, header, expected] of cases) {
    it(`${peer} saying ${header ?? "nothing"}, trusting ${trusted || "nobody"}: ${expected}`, () => {
      expect(read(trusted)(peer, header)).toBe(expected);
    });
  }

  it("has one spelling", () => {
    expect(plain("0000:0000:0000:0000:0000:ffff:7f00:0001")).toBe("127.0.0.1");
    expect(plain("fe80::1%eth0")).toBe("fe80::1");
    expect([isLoopback("127.9.9.9"), isLoopback("::1"), isLoopback("128.0.0.1")]).toEqual([
      true,
      true,
      false,
    ]);
  });

  it("is not guessed from a setting that cannot be read", () => {
    for (const text of ["10.0.0.0/33", "ten", "10.0.0.0/x", "::/129", "10.0.0.0/8/8x"]) {
      expect(parseNetworks(text), text).toBeNull();
    }
  });
});
