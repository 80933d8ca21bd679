/**
 * The accounts of the NATS server, as a file for its configuration: one account for us, with the
 * streams, and one for each partner. An account is a world of its own; what passes between two is
 * listed here and is nothing else: a partner's requests, the two calls and the acknowledgements of
 * its own consumer, discovery. Because answers travel back through the server's own mapping, a
 * hostile reply subject ends inside the partner's own account.
 *
 * Only public keys stand in the file. `npm start` includes it by itself; whoever runs a cluster
 * includes it in the configuration of each server and reloads them twice (`nats-server --signal
 * reload`): what a new account imports is there only after the second time (seen on 2.15.1).
 */
import {
  PARTNER_CONNECTIONS_MAX,
  PARTNER_MESSAGE_MAX_BYTES,
  PARTNER_SUBSCRIPTIONS_PER_CONNECTION_MAX,
} from "../../proto/limits.ts";
import { streamName, partnerAccount, partnerConsumer, subjectsFor } from "../../proto/subjects.ts";

export type AccountsOptions = {
  readonly prefix: string;
  /** Public keys of our own processes. */
  readonly ownKeys: readonly string[];
  /**
   * A user of our own processes; its password is in the server's environment, as `NATS_PASSWORD`.
   */
  readonly ownUser?: string | null;
  readonly partners: readonly { readonly name: string; readonly keys: readonly string[] }[];
};

/** The service answers to these, for partners as for everybody; STATS is left to us. */
export const SERVICE_NAME = "hexdispatch";
const DISCOVERY = ["PING", "INFO"].flatMap((verb) => [verb, `${verb}.${SERVICE_NAME}`]);
const KEY_PATTERN = /^U[A-Z2-7]{55}$/;

/** One partner's flood must not take the server's connections from the others. */
const LIMITS = [
  ["max_connections", PARTNER_CONNECTIONS_MAX],
  ["max_subscriptions", PARTNER_SUBSCRIPTIONS_PER_CONNECTION_MAX],
  ["max_payload", PARTNER_MESSAGE_MAX_BYTES],
] as const;

/** Our account is named after the prefix, so that two clusters may share a server. */
export const ownAccount = (prefix: string): string => prefix.toUpperCase();

const quoted = (text: string): string => JSON.stringify(text);
const list = (items: readonly string[]): string => `[${items.map(quoted).join(", ")}]`;

/**
 * What a partner reaches: the subject in our account, and the subject in its own when that differs.
 */
export function reachOf(prefix: string, partner: string) {
  const subjects = subjectsFor(prefix);
  const stream = streamName(prefix, "EVENTS");
  const consumer = partnerConsumer(partner);
  const api = (call: string) => ({
    ours: `$JS.API.CONSUMER.${call}.${stream}.${consumer}`,
    theirs: `${subjects.partnerStream(partner)}.CONSUMER.${call}.${stream}.${consumer}`,
  });
  return {
    requests: subjects.partnerRequests(partner),
    info: api("INFO"),
    next: api("MSG.NEXT"),
    acks: `$JS.ACK.${stream}.${consumer}.>`,
    inbox: subjects.partnerInbox(partner),
    discovery: DISCOVERY.map((verb) => ({
      ours: subjects.partnerService(partner, verb),
      theirs: `$SRV.${verb}`,
    })),
  };
}

/** The text of the file. Throws when a key is no public user key, or a name no plain token. */
export function renderAccounts(options: AccountsOptions): string {
  const { prefix, ownKeys, ownUser = null, partners } = options;
  const own = ownAccount(prefix);
  const users = ownKeys.map((key) => `{ nkey: ${checked(key)} }`);
  if (ownUser !== null) users.push(`{ user: ${quoted(ownUser)}, password: $NATS_PASSWORD }`);
  return [
    "# Written by `npm run partner`; changes are lost. Public keys only.",
    "accounts {",
    `  ${quoted(own)}: {`,
    "    jetstream: enabled",
    `    users: [${users.join(", ")}]`,
    "    exports: [",
    ...exportsOf(prefix),
    "    ]",
    "  }",
    ...partners.flatMap((partner) => accountOf(prefix, own, partner)),
    "}",
    "",
  ].join("\n");
}

/**
 * For all partners at once, so that our account stays the same when partners come and go. What a
 * partner can use of it is what its own account imports, and accounts are written here alone.
 */
function exportsOf(prefix: string): string[] {
  const stream = streamName(prefix, "EVENTS");
  const { partnerRequestsAll, partnerServiceAll } = subjectsFor(prefix);
  return [
    `      { service: ${quoted(partnerServiceAll)}, response: stream }`,
    `      { service: ${quoted(partnerRequestsAll)} }`,
    `      { service: ${quoted(`$JS.API.CONSUMER.INFO.${stream}.*`)} }`,
    `      { service: ${quoted(`$JS.API.CONSUMER.MSG.NEXT.${stream}.*`)}, response: stream }`,
    `      { service: ${quoted(`$JS.ACK.${stream}.>`)} }`,
  ];
}

function accountOf(
  prefix: string,
  own: string,
  { name, keys }: AccountsOptions["partners"][number],
): string[] {
  const { requests, info, next, acks, inbox, discovery } = reachOf(prefix, name);
  const from = (subject: string, to?: string): string => {
    const as = to === undefined ? "" : `, to: ${quoted(to)}`;
    return `      { service: { account: ${quoted(own)}, subject: ${quoted(subject)} }${as} }`;
  };
  const asked = discovery.map(({ theirs }) => theirs);
  const publish = list([requests, info.theirs, next.theirs, acks, ...asked]);
  const subscribe = list([`${inbox}.>`]);
  const may = `permissions: { publish: { allow: ${publish} }, subscribe: { allow: ${subscribe} } }`;
  return [
    `  ${quoted(partnerAccount(name))}: {`,
    `    limits: { ${LIMITS.map(([limit, value]) => `${limit}: ${value}`).join(", ")} }`,
    "    users: [",
    ...keys.map((key) => `      { nkey: ${checked(key)}, ${may} }`),
    "    ]",
    "    imports: [",
    from(requests),
    from(info.ours, info.theirs),
    from(next.ours, next.theirs),
    from(acks),
    ...discovery.map(({ ours, theirs }) => from(ours, theirs)),
    "    ]",
    "  }",
  ];
}

function checked(key: string): string {
  if (!KEY_PATTERN.test(key)) throw new Error("this is no public key of a user");
  return key;
}
