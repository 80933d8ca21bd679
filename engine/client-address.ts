/**
 * Whose address counts: the peer's own, or, where the peer is a proxy that the operator trusts, the
 * last address in X-Forwarded-For that no trusted proxy has. What stands left of it was written by
 * the client and is worth nothing. Pure. IPv6 clients count by their /64, which is what one of them
 * is given.
 *
 * X-Forwarded-For is the only header that is read, because every balancer and cloud appends to it.
 * A second one that says the same (Forwarded of RFC 7239, X-Real-IP, CF-Connecting-IP) would be a
 * second truth, and one that most proxies let a client write. An element is an address with or
 * without a port, as Azure and AWS write it; empty ones do not count (RFC 9110, 5.6.1.2). One that
 * is no address (`unknown`, `_hidden`) ends the walk: the nearest proxy counts.
 */
import { BlockList, isIP } from "node:net";
import { FORWARDED_MAX_HOPS } from "../proto/limits.ts";

/** An IPv4 address within IPv6 has so many bits before it. */
const MAPPED_BITS = 96;

/**
 * From the peer's address and the X-Forwarded-For header to the client's address, in one spelling.
 */
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
    const most = version === 6 ? 128 : 32;
    const prefix = bits === undefined ? most : Number(bits);
    if (prefix > most) return null;
    const bare = plain(address);
    const isMapped = version === 6 && isIP(bare) === 4;
    // A network of IPv4 addresses that is written as IPv6 holds all of IPv4 where it is wider than
    // that.
    if (isMapped) networks.addSubnet(bare, Math.max(0, prefix - MAPPED_BITS), "ipv4");
    else networks.addSubnet(bare, prefix, version === 6 ? "ipv6" : "ipv4");
  }
  return networks;
}

export function addressReader(trusted: BlockList): AddressOf {
  const isTrusted = (address: string): boolean =>
    isIP(address) !== 0 && trusted.check(address, isIP(address) === 6 ? "ipv6" : "ipv4");
  return (peer, forwarded) => {
    const own = plain(peer);
    if (forwarded === undefined || !isTrusted(own)) return grouped(own);
    let nearest = own;
    for (const element of fromTheRight(forwarded)) {
      const address = plain(withoutPort(element));
      // A hop that is no address says nothing: the nearest that can be believed is the proxy before
      // it.
      if (isIP(address) === 0) break;
      nearest = address;
      if (!isTrusted(address)) break;
    }
    return grouped(nearest);
  };
}

/**
 * The elements that are not empty, the last one first, and no more of them than a chain of proxies
 * is long.
 */
function* fromTheRight(list: string): Generator<string> {
  let end = list.length;
  for (let hops = 0; hops < FORWARDED_MAX_HOPS && end >= 0;) {
    const comma = end === 0 ? -1 : list.lastIndexOf(",", end - 1);
    const element = list.slice(comma + 1, end).trim();
    end = comma;
    if (element === "") continue;
    hops += 1;
    yield element;
  }
}

/**
 * `203.0.113.7:50321`, `[2001:db8::1]:443`, `[2001:db8::1]`, and all eight groups with a port
 * behind them.
 */
const WITH_PORT = [
  /^(\d{1,3}(?:\.\d{1,3}){3}):\d{1,5}$/,
  /^\[([0-9a-f:.]{2,45}(?:%[\w.-]{1,32})?)\](?::\d{1,5})?$/i,
  /^((?:[0-9a-f]{1,4}:){7}[0-9a-f]{1,4}):\d{1,5}$/i,
];

function withoutPort(element: string): string {
  for (const pattern of WITH_PORT) {
    const [, address] = pattern.exec(element) ?? [];
    if (address !== undefined) return address;
  }
  return element;
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

/** A link cannot point at "every address of this machine". */
export const linkHost = (host: string): string => {
  if (host === "0.0.0.0" || host === "::") return "localhost";
  return isIP(host) === 6 ? `[${host}]` : host;
};
