/**
 * Posting to an address that somebody else chose, without becoming their tool: https only, every
 * address behind the name must be public, the connection goes to an address that was checked and to
 * no other, redirects are not followed, the answer is cut off, and everything ends in time.
 */
import { lookup } from "node:dns/promises";
import type { LookupAddress } from "node:dns";
import * as http from "node:http";
import * as https from "node:https";
import { BlockList, isIP } from "node:net";
import type { WebhookTargets } from "../../../engine/config.ts";
import {
  WEBHOOK_ANSWER_MAX_BYTES,
  WEBHOOK_TIMEOUT_MS,
  WEBHOOK_URL_MAX_CHARS,
} from "../../../proto/limits.ts";

/** The address may not be used, or did not answer. */
export class TargetError extends Error {
  override readonly name = "TargetError";
}

export type Resolve = (host: string) => Promise<readonly LookupAddress[]>;
export type TargetOptions = {
  readonly targets: WebhookTargets;
  /** Another name service; for tests. */
  readonly resolve?: Resolve;
};

const NOT_PUBLIC_4 = [
  "0.0.0.0/8",
  "10.0.0.0/8",
  "100.64.0.0/10",
  "127.0.0.0/8",
  "169.254.0.0/16",
  "172.16.0.0/12",
  "192.0.0.0/24",
  "192.0.2.0/24",
  "192.88.99.0/24",
  "192.168.0.0/16",
  "198.18.0.0/15",
  "198.51.100.0/24",
  "203.0.113.0/24",
  "224.0.0.0/4",
  "240.0.0.0/4",
];
/** Of what is otherwise global unicast: tunnels, in which an IPv4 address hides, and examples. */
const NOT_PUBLIC_6 = ["2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20"];

const listOf = (ranges: readonly string[], family: "ipv4" | "ipv6"): BlockList => {
  const list = new BlockList();
  for (const range of ranges) {
    const [net = "", bits] = range.split("/");
    list.addSubnet(net, Number(bits), family);
  }
  return list;
};
const refused4 = listOf(NOT_PUBLIC_4, "ipv4");
const refused6 = listOf(NOT_PUBLIC_6, "ipv6");
const global6 = listOf(["2000::/3"], "ipv6");

/** Whether an address is one of the public network. What is not understood is not. */
export function isPublicAddress(address: string): boolean {
  switch (isIP(address)) {
    case 4:
      return !refused4.check(address, "ipv4");
    case 6:
      // Mapped addresses (::ffff:127.0.0.1) lie outside of 2000::/3, like everything local.
      return global6.check(address, "ipv6") && !refused6.check(address, "ipv6");
    default:
      return false;
  }
}

/** The URL, when it may be a target at all. Throws TargetError with a text for people. */
export function targetOf(text: string, targets: WebhookTargets): URL {
  if (text.length > WEBHOOK_URL_MAX_CHARS || !URL.canParse(text)) {
    throw new TargetError("must be a URL");
  }
  const url = new URL(text);
  const isScheme = url.protocol === "https:" || (targets === "any" && url.protocol === "http:");
  if (!isScheme) throw new TargetError("must begin with https://");
  if (url.username !== "" || url.password !== "") throw new TargetError("must not hold a password");
  if (url.hash !== "") throw new TargetError("must not have a fragment");
  const literal = url.hostname.replaceAll(/[[\]]/g, "");
  if (targets === "public" && isIP(literal) !== 0 && !isPublicAddress(literal)) {
    throw new TargetError("must lead to a public address");
  }
  return url;
}

/** Every address behind the name, all of them fit to be connected to. */
async function checkedAddresses(
  host: string,
  { targets, resolve }: TargetOptions,
): Promise<readonly LookupAddress[]> {
  const literal = host.replaceAll(/[[\]]/g, "");
  const family = isIP(literal);
  const find = resolve ?? ((name: string) => lookup(name, { all: true }));
  const found = family === 0 ? await find(host) : [{ address: literal, family }];
  if (found.length === 0) throw new TargetError("the name leads nowhere");
  // One private address among public ones is enough: which is taken is not the sender's to say.
  const isFit = targets === "any" || found.every(({ address }) => isPublicAddress(address));
  if (!isFit) throw new TargetError("the name leads to an address that is not public");
  return found;
}

/** Posts and resolves to the status. Rejects with TargetError, or the error of the connection. */
export async function post(
  text: string,
  headers: Readonly<Record<string, string>>,
  body: string,
  options: TargetOptions,
): Promise<number> {
  const url = targetOf(text, options.targets);
  const signal = AbortSignal.timeout(WEBHOOK_TIMEOUT_MS);
  const addresses = await checkedAddresses(url.hostname, options);
  const [first] = addresses as [LookupAddress];
  const { request } = url.protocol === "https:" ? https : http;
  return new Promise((resolve, reject) => {
    const asked = request(
      url,
      {
        method: "POST",
        agent: false,
        signal,
        headers: { ...headers, "content-length": String(Buffer.byteLength(body)) },
        // The name was looked up above, once: asked a second time it could lead elsewhere.
        lookup: (_host, wanted, callback) => {
          if (wanted.all === true) callback(null, [...addresses]);
          else callback(null, first.address, first.family);
        },
      },
      (answer) => {
        let bytes = 0;
        answer.on("data", (chunk: Buffer) => {
          bytes += chunk.length;
          if (bytes > WEBHOOK_ANSWER_MAX_BYTES) answer.destroy();
        });
        answer.once("error", () => undefined);
        answer.once("close", () => resolve(answer.statusCode ?? 0));
      },
    );
    asked.once("error", reject);
    asked.end(body);
  });
}
