/**
 * The servers and the login in `HEXDISPATCH_NATS_URL`: one address or several, separated by commas.
 * Whatever a URL can say is taken or refused here, because the client of NATS drops a user and a
 * password without a word and connects without them. No text of an error or of a log repeats a
 * secret: an entry is named by its number.
 */
import { isIPv6 } from "node:net";

/** What a process shows of itself where no file of credentials is used. */
export type NatsLogin =
  | { readonly kind: "user"; readonly user: string; readonly password: string }
  | { readonly kind: "token"; readonly token: string };

export type NatsAddress = {
  /** `host:port` each; an IPv6 address in brackets. */
  readonly servers: readonly string[];
  /** Whether a server without TLS is refused. */
  readonly tls: boolean;
  readonly login: NatsLogin | null;
};

/** The address cannot be used; the message says which entry, why, and what is allowed. */
export class NatsAddressError extends Error {
  override readonly name = "NatsAddressError";
}

const PORT_DEFAULT = 4_222;
const PORT_MAX = 65_535;
const HOST = /^[A-Za-z0-9_](?:[A-Za-z0-9._-]*[A-Za-z0-9_])?\.?$/;
const SCHEME = /^([A-Za-z][A-Za-z0-9+.-]*):\/\//;

type Entry = {
  readonly server: string;
  readonly tls: boolean;
  readonly login: NatsLogin | null;
};

/** Reads the setting. Throws NatsAddressError. */
export function parseNatsAddress(text: string): NatsAddress {
  const entries = text.split(",").map((part, i) => parseEntry(part.trim(), `entry ${i + 1}`));
  const schemes = new Set(entries.map(({ tls }) => tls));
  if (schemes.size > 1) {
    throw new NatsAddressError("begins with tls:// in some entries only; use it in all or in none");
  }
  const logins = new Map(
    entries.flatMap(({ login }) => (login === null ? [] : [[JSON.stringify(login), login]])),
  );
  if (logins.size > 1) {
    throw new NatsAddressError(
      "names different users, passwords or tokens; one login holds for all servers",
    );
  }
  const [login = null] = logins.values();
  const tls = entries.some((entry) => entry.tls);
  return { servers: entries.map(({ server }) => server), tls, login };
}

function parseEntry(text: string, which: string): Entry {
  const refuse = (why: string): never => {
    throw new NatsAddressError(`${which} ${why}`);
  };
  if (text === "") refuse("is empty; servers are separated by one comma");
  const scheme = SCHEME.exec(text);
  const name = scheme?.[1]?.toLowerCase() ?? "nats";
  if (name === "ws" || name === "wss") {
    refuse(`begins with ${name}://; processes connect over TCP: nats:// or tls://`);
  }
  if (name !== "nats" && name !== "tls") refuse("begins with neither nats:// nor tls://");
  const rest = text.slice(scheme?.[0].length ?? 0);
  const end = rest.search(/[/?#]/);
  const authority = end === -1 ? rest : rest.slice(0, end);
  if (end !== -1 && rest.slice(end) !== "/") {
    // An unencoded "/", "?" or "#" of a password looks the same.
    refuse("has a path, a query or a fragment; encode such characters of a password by percent");
  }
  const at = authority.lastIndexOf("@");
  const login = at === -1 ? null : parseLogin(authority.slice(0, at), refuse);
  return { server: parseServer(authority.slice(at + 1), refuse), tls: name === "tls", login };
}

function parseLogin(text: string, refuse: (why: string) => never): NatsLogin {
  if (text.includes("@")) refuse("has an @ in its login; encode it as %40");
  const colon = text.indexOf(":");
  const [first, second] = colon === -1 ? [text] : [text.slice(0, colon), text.slice(colon + 1)];
  const user = decoded(first, refuse);
  if (user === "") refuse("has an @ without a user or token before it");
  if (second === undefined) return { kind: "token", token: user };
  return { kind: "user", user, password: decoded(second, refuse) };
}

function decoded(text: string, refuse: (why: string) => never): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return refuse("has a % in its login that begins no encoded character; encode it as %25");
  }
}

function parseServer(text: string, refuse: (why: string) => never): string {
  const bracketed = /^\[([^\]]*)\](?::(.*))?$/.exec(text);
  if (bracketed !== null) {
    const [, host = "", port] = bracketed;
    if (!isIPv6(host) || host.includes("%")) refuse("has no IPv6 address between its brackets");
    return `[${host}]:${parsePort(port, refuse)}`;
  }
  const [host = "", port, ...more] = text.split(":");
  if (more.length > 0) refuse("has several colons; an IPv6 address stands in brackets: [::1]:4222");
  if (host === "") refuse("has no host");
  if (!HOST.test(host)) refuse("has a host that is no name and no address");
  return `${host}:${parsePort(port, refuse)}`;
}

function parsePort(text: string | undefined, refuse: (why: string) => never): number {
  if (text === undefined) return PORT_DEFAULT;
  const port = /^\d{1,5}$/.test(text) ? Number(text) : 0;
  return port >= 1 && port <= PORT_MAX ? port : refuse("has a port that is not from 1 to 65535");
}

/** The setting for a log: every login is masked, also in a text that cannot be used. */
export function maskedNatsUrl(text: string): string {
  const masked = (address: NatsAddress): string => {
    const scheme = address.tls ? "tls" : "nats";
    const login = address.login === null ? "" : "[masked]@";
    return address.servers.map((server) => `${scheme}://${login}${server}`).join(",");
  };
  try {
    return masked(parseNatsAddress(text));
  } catch {
    return "[masked]"; // What stands where is not known.
  }
}

/**
 * What is wrong with the two settings, by their names; empty when they can be used. Repeats no
 * secret.
 */
export function natsProblems(url: string, file: string | null, prefix: string): readonly string[] {
  try {
    const isTwice = parseNatsAddress(url).login !== null && file !== null;
    const twice = `${prefix}NATS_URL has a login and ${prefix}NATS_CREDENTIALS is set; set one`;
    return isTwice ? [twice] : [];
  } catch (error) {
    if (!(error instanceof NatsAddressError)) throw error;
    return [`${prefix}NATS_URL: ${error.message}`];
  }
}
