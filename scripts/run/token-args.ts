// The command line of `npm run token`, read by hand: three flags, each with a value. Refuses what
// it does not know; signing is gateway/token.ts.

export const USAGE =
  "npm run -s token -- --role courier --sub cur_1 [--ttl 8h], or revoke --role courier --sub cur_1, or revoke --jti ID";

/**
 * `tracking` is missing on purpose: such a token belongs to one delivery and the server makes it.
 */
const ROLES = ["customer", "courier", "partner", "operator"] as const;
const SUB = /^[A-Za-z0-9_-]{1,64}$/;
const TTL_DEFAULT = "8h";
const TTL_MAX_S = 365 * 86_400;
const UNIT_S: Readonly<Record<string, number>> = { s: 1, m: 60, h: 3_600, d: 86_400 };

export interface TokenRequest {
  readonly role: (typeof ROLES)[number];
  readonly sub: string;
  /** 1 s to 365 days. */
  readonly ttlS: number;
}

/** The request in `args`, or one sentence on what is wrong with them. */
export function parseTokenArgs(args: readonly string[]): TokenRequest | string {
  const flags = parseFlags(args);
  if (typeof flags === "string") return flags;
  if (flags.has("jti")) return "--jti is for revoke";
  const role = ROLES.find((known) => known === flags.get("role"));
  if (flags.get("role") === "tracking") return "tracking tokens are made by the server alone";
  if (role === undefined) return `--role must be one of ${ROLES.join(", ")}`;
  const sub = flags.get("sub") ?? "";
  if (!SUB.test(sub)) return "--sub must be 1 to 64 letters, digits, _ or -";
  const ttlS = parseTtl(flags.get("ttl") ?? TTL_DEFAULT);
  if (ttlS === null) return "--ttl must be a number with s, m, h or d, at most 365d";
  return { role, sub, ttlS };
}

export type RevokeRequest =
  | { readonly role: string; readonly subject: string }
  | { readonly jti: string };

/**
 * Whom `npm run token -- revoke` throws out, or one sentence on what is wrong. A link's subject is
 * its delivery.
 */
export function parseRevokeArgs(args: readonly string[]): RevokeRequest | string {
  const flags = parseFlags(args);
  if (typeof flags === "string") return flags;
  const [role, subject, jti] = [flags.get("role"), flags.get("sub"), flags.get("jti")];
  if (flags.has("ttl")) return "--ttl has no meaning here";
  if (jti !== undefined && role === undefined && subject === undefined) {
    return SUB.test(jti) ? { jti } : "--jti must be the jti of a token";
  }
  if (jti !== undefined || role === undefined || subject === undefined) {
    return "name --role and --sub, or --jti alone";
  }
  if (![...ROLES, "tracking"].includes(role)) return "--role is not known";
  return SUB.test(subject) ? { role, subject } : "--sub must be 1 to 64 letters, digits, _ or -";
}

/** `90s`, `15m`, `8h`, `7d` in seconds; null for anything else, nought and more than a year. */
export function parseTtl(text: string): number | null {
  const match = /^(\d{1,9})([smhd])$/.exec(text);
  if (match === null) return null;
  const seconds = Number(match[1]) * (UNIT_S[match[2]!] ?? 0);
  return seconds >= 1 && seconds <= TTL_MAX_S ? seconds : null;
}

function parseFlags(args: readonly string[]): Map<string, string> | string {
  const flags = new Map<string, string>();
  const words = args.flatMap((arg) => (/^--\w+=/.test(arg) ? splitOnce(arg) : [arg]));
  for (let i = 0; i < words.length; i += 2) {
    const name = /^--(role|sub|ttl|jti)$/.exec(words[i]!)?.[1];
    const value = words[i + 1];
    if (name === undefined) return `${words[i]} is not known`;
    if (value === undefined) return `--${name} needs a value`;
    if (flags.has(name)) return `--${name} is given twice`;
    flags.set(name, value);
  }
  return flags;
}

function splitOnce(arg: string): [string, string] {
  const at = arg.indexOf("=");
  return [arg.slice(0, at), arg.slice(at + 1)];
}
