/**
 * Every NATS subject and stream, written once. The prefix (default `hd`) keeps clusters and test
 * runs apart on one server. Ids are checked to be one plain token before they become part of a
 * subject.
 */
import { NAME_PATTERN } from "./ids.ts";

/** A pattern with {names}; `doc` says who publishes and who listens. */
export type SubjectRow = { readonly pattern: string; readonly doc: string };

export const SUBJECTS = {
  shard: {
    pattern: "{prefix}.shard.{shard}",
    doc: "Gateways and nodes to the owner of a shard: batches of actor messages (`encodePosts`). With a reply subject: one message that is answered.",
  },
  watch: {
    pattern: "{prefix}.watch.{shard}",
    doc: "Gateways to the owner of a courier shard: whose positions they need.",
  },
  where: {
    pattern: "{prefix}.where.{shard}",
    doc: "Request to the owner of a courier shard: where one courier is.",
  },
  fleet: { pattern: "{prefix}.fleet", doc: "Request to all nodes: the couriers that each owns." },
  nodeUp: {
    pattern: "{prefix}.node.up",
    doc: "A node has taken shards; gateways announce their sessions and watches to it again.",
  },
  beat: {
    pattern: "{prefix}.node.beat",
    doc: "Heartbeats between nodes, ten a second each, with the shards that each owns.",
  },
  digest: {
    pattern: "{prefix}.node.digest",
    doc: "Owners to followers of the cells: digests of what they must have folded.",
  },
  snapshot: {
    pattern: "{prefix}.snapshot.{shard}",
    doc: "Request to the owner of a courier shard: all its records, for a follower that missed some.",
  },
  gateway: {
    pattern: "{prefix}.gateway.{gateway}",
    doc: "Nodes to one gateway: frames for its sessions.",
  },
  positions: {
    pattern: "{prefix}.positions.{gateway}",
    doc: "Nodes to one gateway, once a second: watched couriers that moved.",
  },
  outbox: {
    pattern: "{prefix}.outbox",
    doc: "Whoever committed an event nudges the relay. May be lost: the relay also looks by itself.",
  },
  revoked: {
    pattern: "{prefix}.revoked",
    doc: "A gateway that made a revocation, to the others: read the table. May be lost: they also look every two seconds.",
  },
  cells: {
    pattern: "{prefix}.cells.{shard}",
    doc: "CELLS stream: courier records of one courier shard, in batches.",
  },
  ledger: {
    pattern: "{prefix}.ledger.{delivery}",
    doc: "LEDGER stream: decisions of the offer protocol with their reasons (JSON array of entries).",
  },
  events: {
    pattern: "{prefix}.events.{owner}.{delivery}",
    doc: "EVENTS stream: what customers and partners may see, numbered per delivery (JSON).",
  },
  intake: {
    pattern: "{prefix}.intake.{owner}.{delivery}",
    doc: "INTAKE stream: creates that Postgres cannot take now (`intakeMessages`). A worker commits them in order.",
  },
  intakeDead: {
    pattern: "{prefix}.intake.dead",
    doc: "INTAKE stream: what the worker could not commit and never will, kept for people to look at.",
  },
  partnerRequest: {
    pattern: "{prefix}.v1.req.{partner}.delivery.{action}",
    doc: "Request of a partner to any gateway (queue group `q`): `quote`, `create`, `update`, `cancel`, `get`, `list`. The third token of the path is who asks; the accounts of the server see to it.",
  },
  partnerService: {
    pattern: "{prefix}.v1.srv.{partner}.>",
    doc: "Discovery by a partner: `$SRV.PING` and `$SRV.INFO` of its account arrive here, so that who asks is known.",
  },
  partnerInbox: {
    pattern: "{prefix}.v1.inbox.{partner}.>",
    doc: "Answers to a partner, and the messages of its consumer: the only subjects that it may listen on.",
  },
  partnerStream: {
    pattern: "{prefix}.v1.js.{partner}.CONSUMER.{call}.{stream}.{consumer}",
    doc: "The two JetStream calls of a partner, on the one consumer made for it: `INFO` and `MSG.NEXT`. `{prefix}.v1.js.{partner}` is the client's `apiPrefix`.",
  },
} as const satisfies Record<string, SubjectRow>;

/** What partners ask for over NATS; each is an endpoint of the service. */
export const PARTNER_ACTIONS = ["quote", "create", "update", "cancel", "get", "list"] as const;
export type PartnerAction = (typeof PARTNER_ACTIONS)[number];

/** The consumer on EVENTS that is made for a partner. */
export const partnerConsumer = (partner: string): string =>
  `${PARTNER_CONSUMER_PREFIX}${token(partner)}`;
export const PARTNER_CONSUMER_PREFIX = "p_";
/** The server's account of a partner. */
export const partnerAccount = (partner: string): string => `P_${token(partner)}`;

const token = (text: string): string => {
  if (!NAME_PATTERN.test(text)) throw new Error(`"${text}" cannot be part of a subject`);
  return text;
};
const number = (value: number): string => {
  if (!Number.isInteger(value) || value < 0)
    throw new Error(`${value} cannot be part of a subject`);
  return String(value);
};

export type Subjects = ReturnType<typeof subjectsFor>;

/**
 * The subjects of one cluster. Throws on a prefix or id that is not one plain token: an id must be
 * checked before.
 */
export function subjectsFor(prefix: string) {
  const p = token(prefix);
  return {
    shard: (shard: number) => `${p}.shard.${number(shard)}`,
    watch: (shard: number) => `${p}.watch.${number(shard)}`,
    where: (shard: number) => `${p}.where.${number(shard)}`,
    fleet: `${p}.fleet`,
    nodeUp: `${p}.node.up`,
    beat: `${p}.node.beat`,
    digest: `${p}.node.digest`,
    snapshot: (shard: number) => `${p}.snapshot.${number(shard)}`,
    gateway: (gateway: string) => `${p}.gateway.${token(gateway)}`,
    positions: (gateway: string) => `${p}.positions.${token(gateway)}`,
    outbox: `${p}.outbox`,
    revoked: `${p}.revoked`,
    cells: (shard: number) => `${p}.cells.${number(shard)}`,
    cellsAll: `${p}.cells.*`,
    ledger: (delivery: string) => `${p}.ledger.${token(delivery)}`,
    ledgerAll: `${p}.ledger.*`,
    events: (owner: string, delivery: string) => `${p}.events.${token(owner)}.${token(delivery)}`,
    eventsOfDelivery: (delivery: string) => `${p}.events.*.${token(delivery)}`,
    eventsAll: `${p}.events.>`,
    intake: (owner: string, delivery: string) => `${p}.intake.${token(owner)}.${token(delivery)}`,
    intakeOfDelivery: (delivery: string) => `${p}.intake.*.${token(delivery)}`,
    intakeWork: `${p}.intake.*.*`,
    intakeDead: `${p}.intake.dead`,
    intakeAll: `${p}.intake.>`,
    /**
     * Where JetStream is asked for one message of a stream; its leader answers, so the answer is
     * never stale.
     */
    streamMessage: (key: StreamKey) => `$JS.API.STREAM.MSG.GET.${streamName(prefix, key)}`,
    /** Where a durable pull consumer of a stream is asked for its next messages. */
    streamNext: (key: StreamKey, consumer: string) =>
      `$JS.API.CONSUMER.MSG.NEXT.${streamName(prefix, key)}.${token(consumer)}`,
    eventsOfOwner: (owner: string) => `${p}.events.${token(owner)}.>`,
    /** Not a subject: the `source` of our CloudEvents. */
    eventSource: `urn:hexdispatch:${p}`,
    /** `partner` may be "*", for the one who listens to all. */
    partnerRequest: (partner: string, action: PartnerAction) =>
      `${p}.v1.req.${partner === "*" ? partner : token(partner)}.delivery.${action}`,
    partnerRequests: (partner: string) => `${p}.v1.req.${token(partner)}.delivery.*`,
    partnerRequestsAll: `${p}.v1.req.*.delivery.*`,
    /** `verb` is what follows `$SRV.` in the partner's account. */
    partnerService: (partner: string, verb: string) => `${p}.v1.srv.${token(partner)}.${verb}`,
    partnerServiceAll: `${p}.v1.srv.*.>`,
    partnerInbox: (partner: string) => `${p}.v1.inbox.${token(partner)}`,
    partnerStream: (partner: string) => `${p}.v1.js.${token(partner)}`,
  } as const;
}

/**
 * A JetStream stream: `seconds`, `bytes` are limits on age and size; the server must echo all of it
 * at start.
 */
export type StreamRow = {
  readonly subject: "cellsAll" | "ledgerAll" | "eventsAll" | "intakeAll";
  readonly storage: "memory" | "file";
  readonly ageMaxS: number;
  readonly bytesMax: number;
  readonly dedupeS: number;
  /** Full: the oldest messages go, or new ones are refused. */
  readonly whenFull: "old goes" | "new refused";
  /** Whether any replica answers reads, also one that is behind; else only the leader. */
  readonly readAnywhere: boolean;
  readonly doc: string;
};
export const STREAMS = {
  CELLS: {
    subject: "cellsAll",
    storage: "memory",
    ageMaxS: 300,
    bytesMax: 268_435_456,
    dedupeS: 1,
    whenFull: "old goes",
    readAnywhere: true,
    doc: "The replica that survives: minutes of courier records. Publishing never waits for its ack.",
  },
  LEDGER: {
    subject: "ledgerAll",
    storage: "file",
    ageMaxS: 604_800,
    bytesMax: 2_147_483_648,
    dedupeS: 1,
    whenFull: "old goes",
    readAnywhere: true,
    doc: "Explanations, for a week. Losing its tail loses explanations, not truth.",
  },
  EVENTS: {
    subject: "eventsAll",
    storage: "file",
    ageMaxS: 604_800,
    bytesMax: 4_294_967_296,
    dedupeS: 600,
    whenFull: "old goes",
    readAnywhere: true,
    doc: "Committed events, fed from the outbox with the outbox id as message id.",
  },
  INTAKE: {
    subject: "intakeAll",
    storage: "file",
    ageMaxS: 604_800,
    bytesMax: 536_870_912,
    dedupeS: 3_600,
    whenFull: "new refused",
    readAnywhere: false,
    doc: "Creates that were answered 202 while Postgres was away. Published with the ack awaited; a full one refuses, since nothing acknowledged may go.",
  },
} as const satisfies Record<string, StreamRow>;
export type StreamKey = keyof typeof STREAMS;

/** Stream names carry the prefix, in capitals: `HD_CELLS`. */
export const streamName = (prefix: string, key: StreamKey): string =>
  `${token(prefix).toUpperCase()}_${key}`;
