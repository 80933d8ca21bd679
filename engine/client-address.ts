/**
 * Whose address counts: the peer's own, or, where the peer is a proxy that the operator trusts, the last address in
 * X-Forwarded-For that no trusted proxy has. What stands left of it was written by the client and is worth nothing.
 * Pure. IPv6 clients count by their /64, which is what one of them is given.
 */
import { BlockList, isIP } from "node:net";

/** From the peer's address and the X-Forwarded-For header to the client's address, in one spelling. */
export type AddressOf = (peer: string, forwarded: string | undefined) => string;

/** Addresses and networks (`10.0.0.0/8`), separated by commas. Null when one cannot be read. */
export function parseNetworks(text: string): BlockList | null {
  const networks = new BlockList();
  for (const part of text.split(",").map((one) => one.trim())) {
    if (part === "") continue;
    const [address = "", bits, more] = part.split("/");
    const version = isIP(address);
    if (version === 0 || more !== undefined || (bits !== undefined && !/^\d{1,3}$/.test(bits)))
      return null;
    const family = version === 6 ? "ipv6" : "ipv4";
    const most = version === 6 ? 128 : 32;
    const prefix = bits === undefined ? most : Number(bits);
    if (prefix > most) return null;
    networks.addSubnet(address, prefix, family);
  }
  return networks;
}

export function addressReader(trusted: BlockList): AddressOf {
  const isTrusted = (address: string): boolean =>
    isIP(address) !== 0 && trusted.check(address, isIP(address) === 6 ? "ipv6" : "ipv4");
  return (peer, forwarded) => {
    const own = plain(peer);
    if (forwarded === undefined || !isTrusted(own)) return grouped(own);
    const chain = forwarded.split(",").map((one) => plain(one.trim()));
    // A hop that is no address says nothing: the nearest that can be believed is the proxy before it.
    let nearest = own;
    for (const address of chain.reverse()) {
      if (isIP(address) === 0) break;
      nearest = address;
      if (!isTrusted(address)) break;
    }
    return grouped(nearest);
  };
}

/** IPv4 in IPv6 clothes is IPv4; IPv6 in its shortest spelling, without a zone. */
export function plain(address: string): string {
  if (isIP(address) !== 6) return address;
  const bare = address.replace(/%.*$/, "");
  const short = new URL(`http://[${bare}]`).hostname.slice(1, -1);
  const mapped = /^::ffff:([0-9a-f]{1,4}):([0-9a-f]{1,4})$/.exec(short);
  if (mapped === null) return short;
  const [high, low] = [mapped[1], mapped[2]].map((part) => Number.parseInt(part ?? "0", 16));
  const bytes = [(high ?? 0) >> 8, (high ?? 0) & 255, (low ?? 0) >> 8, (low ?? 0) & 255];
  return bytes.join(".");
}

function grouped(address: string): string {
  if (isIP(address) !== 6 || isLoopback(address)) return address;
  const [left = "", right] = address.split("::");
  const head = left === "" ? [] : left.split(":");
  const tail = right === undefined || right === "" ? [] : right.split(":");
  const zeros = right === undefined ? [] : Array<string>(8 - head.length - tail.length).fill("0");
  return `${[...head, ...zeros, ...tail].slice(0, 4).join(":")}::/64`;
}

export const isLoopback = (address: string): boolean =>
  address === "::1" || /^127\.\d+\.\d+\.\d+$/.test(address);
