/** Whose address counts behind which proxies. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { FORWARDED_MAX_HOPS } from "../proto/limits.ts";
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
    // Azure's Application Gateway and, when asked to, AWS append the port.
    ["10.0.0.0/8", "10.1.2.3", "203.0.113.7:50321", "203.0.113.7"],
    ["10.0.0.0/8", "10.1.2.3", "9.9.9.9:80, 203.0.113.7:50321, 10.0.0.4:443", "203.0.113.7"],
    ["10.0.0.0/8", "10.1.2.3", "[2001:db8::1]:443", "2001:db8:0:0::/64"],
    ["10.0.0.0/8", "10.1.2.3", "[2001:db8::1]", "2001:db8:0:0::/64"],
    ["10.0.0.0/8", "10.1.2.3", "2001:db8::1", "2001:db8:0:0::/64"],
    ["10.0.0.0/8", "10.1.2.3", "2001:db8:1:2:3:4:5:6:50321", "2001:db8:1:2::/64"],
    ["10.0.0.0/8", "10.1.2.3", "::ffff:203.0.113.7", "203.0.113.7"],
    ["10.0.0.0/8", "10.1.2.3", "[::ffff:203.0.113.7]:9", "203.0.113.7"],
    // Google's balancer writes the client and then itself.
    ["10.0.0.0/8,198.51.100.1", "10.1.2.3", "6.6.6.6,203.0.113.7,198.51.100.1", "203.0.113.7"],
    ["10.0.0.0/8", "10.1.2.3", " , 203.0.113.7 ,, ", "203.0.113.7"],
    ["10.0.0.0/8", "10.1.2.3", ",,,", "10.1.2.3"],
    ["10.0.0.0/8", "10.1.2.3", "203.0.113.7, unknown", "10.1.2.3"],
    ["10.0.0.0/8", "10.1.2.3", "203.0.113.7, _hidden, 10.2.2.2", "10.2.2.2"],
    ["10.0.0.0/8", "10.1.2.3", "203.0.113.7:port", "10.1.2.3"],
    ["10.0.0.0/8", "10.1.2.3", "999.0.113.7:80", "10.1.2.3"],
    ["10.0.0.0/8", "10.1.2.3", "[nonsense]:80", "10.1.2.3"],
    // A list of IPv4 proxies that is written as IPv6, and peers of a listener that takes both.
    ["::ffff:10.0.0.0/104", "10.1.2.3", "203.0.113.7", "203.0.113.7"],
    ["::ffff:10.1.2.3", "::ffff:10.1.2.3", "203.0.113.7", "203.0.113.7"],
    ["::ffff:10.0.0.0/104", "11.1.2.3", "203.0.113.7", "11.1.2.3"],
    ["2001:db8:ffff::/48", "2001:db8:ffff::1", "203.0.113.7, 2001:db8:ffff::9", "203.0.113.7"],
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

  const ipv4 = fc.ipV4();
  const written = fc.oneof(
    ipv4,
    fc.tuple(ipv4, fc.nat(65_535)).map(([address, port]) => `${address}:${port}`),
    fc.ipV6(),
    fc.tuple(fc.ipV6(), fc.nat(65_535)).map(([address, port]) => `[${address}]:${port}`),
  );
  const anything = fc.oneof(
    fc.string({ maxLength: 60 }),
    fc
      .array(fc.oneof(written, fc.constantFrom("", "unknown", "127.0.0.1", "10.0.0.1")))
      .map(String),
  );

  it("is never another than a client's own behind proxies that are trusted, whatever it sends", () => {
    const behind = read("10.0.0.0/8, fd00::/8");
    const hop = fc.constantFrom("10.0.0.1", "10.9.9.9:4711", "fd00::7", "[fd00::8]:443");
    const client = written.filter((text) => !/^(10\.|\[?fd)/i.test(text));
    fc.assert(
      fc.property(anything, client, fc.array(hop, { maxLength: 5 }), (sent, own, hops) => {
        const alone = behind("10.0.0.1", own);
        expect(alone).not.toBe("10.0.0.1");
        expect(behind("10.0.0.1", [sent, own, ...hops].join(","))).toBe(alone);
      }),
    );
  });

  it("is the peer's own where the peer is nobody's proxy, whatever it sends", () => {
    const far = read("10.0.0.0/8");
    fc.assert(
      fc.property(anything, (sent) => {
        expect(far("203.0.113.7", sent)).toBe("203.0.113.7");
      }),
    );
  });

  it("is looked for through so many proxies and no more, however long the chain", () => {
    const trusted = read("10.0.0.0/8");
    const chain = (hops: number): string =>
      ["203.0.113.7", ...Array<string>(hops).fill("10.2.2.2")].join(",");
    expect(trusted("10.0.0.1", chain(FORWARDED_MAX_HOPS - 1))).toBe("203.0.113.7");
    expect(trusted("10.0.0.1", chain(FORWARDED_MAX_HOPS))).toBe("10.2.2.2");
  });
});
