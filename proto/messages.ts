/**
 * What actors, nodes and gateways say to each other over NATS: one table per receiver. Any of it
 * may be lost, repeated, late or out of order; each receiver has a cell for that in its transition
 * table. What must not be lost is in Postgres before it is said here.
 */
import { INTERNAL_BOUNDS, packValue, tableCodec, unpackValue } from "./codec.ts";
import type { Table, UnionOf } from "./codec.ts";
import {
  INVALID,
  courierId,
  deliveryId,
  lat,
  list,
  lng,
  maybe,
  metres,
  millis,
  nodeId,
} from "./field.ts";
import {
  bool,
  oneOf,
  principalId,
  seconds,
  sessionId,
  str,
  struct,
  u16,
  u32,
  u53,
  u8,
} from "./field.ts";
import type { ValueOf } from "./field.ts";
import { serverFrames } from "./frames.ts";
import type { ServerFrame } from "./frames.ts";
import { PACKAGE_SIZES, VEHICLES } from "./geo.ts";
import type { Epoch, ShardId } from "./ids.ts";
import { REASON_MAX_CHARS } from "./limits.ts";
import { STATUSES } from "./status.ts";

/** What the delivery actor must know of a delivery to find a courier for it. */
export const job = struct("job", {
  id: deliveryId,
  owner: principalId,
  pickupLng: lng,
  pickupLat: lat,
  /** Shortened addresses: what a courier may see before it is the courier's. */
  pickupArea: maybe(str(200)),
  dropoffLng: lng,
  dropoffLat: lat,
  dropoffArea: maybe(str(200)),
  size: oneOf(PACKAGE_SIZES),
  /** Required kind of vehicle, nil for any. */
  vehicle: maybe(oneOf(VEHICLES)),
  createdAt: millis,
  searchUntil: millis,
  /**
   * When the gateway received the request, microseconds since 1970; 0 when unknown. For measurement
   * only.
   */
  receivedAtUs: u53,
});
export type Job = ValueOf<typeof job>;

/** What a courier actor reports of the courier who carries a delivery. */
export const SIGNALS = [
  "dark",
  "back",
  "still",
  "moving",
  "retreating",
  "approaching",
  "arrived_pickup",
  "left_pickup",
  "arrived_dropoff",
] as const;
export type Signal = (typeof SIGNALS)[number];

/** Why a courier actor refused a hold. */
export const REFUSALS = ["off_shift", "no_slots", "unknown", "carries_it"] as const;
export type Refusal = (typeof REFUSALS)[number];

/** Why a hold or offer ended without that courier (D7). */
export const RELEASE_REASONS = [
  "taken",
  "canceled",
  "lapsed",
  "unused",
  "declined",
  "over",
] as const;
export type ReleaseReason = (typeof RELEASE_REASONS)[number];

export const toDeliveryTable = {
  created: { code: 1, doc: "A create was committed; find a courier.", fields: { job } },
  changed: {
    code: 2,
    doc: "Something was committed elsewhere (accept, status, cancel). Applied only if `version` is newer.",
    fields: {
      version: u32,
      status: oneOf(STATUSES),
      courier: maybe(courierId),
      at: millis,
      reason: maybe(str(REASON_MAX_CHARS)),
    },
  },
  held: {
    code: 3,
    doc: "The courier is held for us until `until`.",
    fields: { courier: courierId, until: millis },
  },
  refused: {
    code: 4,
    doc: "The courier cannot be held.",
    fields: { courier: courierId, reason: oneOf(REFUSALS) },
  },
  declined: {
    code: 5,
    doc: "The courier refuses the offer (a request: answered).",
    fields: { courier: courierId, reason: maybe(str(REASON_MAX_CHARS)) },
  },
  progress: {
    code: 6,
    doc: "What became of the courier who carries the delivery.",
    fields: { courier: courierId, signal: oneOf(SIGNALS), distanceM: metres },
  },
  wake: {
    code: 7,
    doc: "A courier became free within reach: leave the backlog and search.",
    fields: { courier: courierId },
  },
} as const satisfies Table;

export const toCourierTable = {
  opened: {
    code: 1,
    doc: "The courier's app is connected.",
    fields: { gateway: nodeId, session: sessionId },
  },
  closed: { code: 2, doc: "That connection ended.", fields: { session: sessionId } },
  shift: {
    code: 3,
    doc: "Go on or off shift (a request: answered once durable).",
    fields: { online: bool },
  },
  ping: {
    code: 4,
    doc: "A position report, checked for form and rate by the gateway. `session` is nil over REST.",
    fields: {
      gateway: nodeId,
      session: maybe(sessionId),
      seq: u32,
      at: millis,
      lng,
      lat,
      accuracyM: maybe(metres),
      receivedAt: millis,
      /** False for all but the newest of an offline batch: history, not "now". */
      newest: bool,
    },
  },
  hold: {
    code: 5,
    doc: "May we offer this delivery? Answered by `held` or `refused` to the delivery.",
    fields: { delivery: deliveryId, until: millis },
  },
  offer: {
    code: 6,
    doc: "The round is recorded: show the offer until `until`. `ordinal` counts the offers of this delivery from 1.",
    fields: { job, until: millis, ordinal: u16, distanceM: metres, etaS: seconds },
  },
  release: {
    code: 7,
    doc: "The hold or offer is over.",
    fields: { delivery: deliveryId, reason: oneOf(RELEASE_REASONS) },
  },
  confirm: {
    code: 8,
    doc: "The delivery is this courier's.",
    fields: {
      delivery: deliveryId,
      pickupLng: lng,
      pickupLat: lat,
      dropoffLng: lng,
      dropoffLat: lat,
      pickedUp: bool,
    },
  },
  picked: {
    code: 9,
    doc: "The courier has the parcel; its next stop is the dropoff.",
    fields: { delivery: deliveryId },
  },
  ended: {
    code: 10,
    doc: "The delivery is no longer this courier's. `tell` when the app does not know it yet.",
    fields: { delivery: deliveryId, reason: str(40), tell: bool },
  },
  profile: {
    code: 11,
    doc: "The operator made or changed the courier.",
    fields: { vehicle: oneOf(VEHICLES), capacity: u8 },
  },
} as const satisfies Table;

export const toCellTable = {
  wait: {
    code: 1,
    doc: "Nobody is free for this delivery: keep it, oldest first, until a courier becomes free or enters.",
    fields: {
      delivery: deliveryId,
      since: millis,
      size: oneOf(PACKAGE_SIZES),
      vehicle: maybe(oneOf(VEHICLES)),
      asked: list(courierId, 1_000),
    },
  },
  leave: { code: 2, doc: "The delivery waits no more.", fields: { delivery: deliveryId } },
  free: {
    code: 3,
    doc: "A courier with a free slot is within reach.",
    fields: { courier: courierId, vehicle: oneOf(VEHICLES) },
  },
} as const satisfies Table;

export const toDelivery = tableCodec(toDeliveryTable, INTERNAL_BOUNDS);
export const toCourier = tableCodec(toCourierTable, INTERNAL_BOUNDS);
export const toCell = tableCodec(toCellTable, INTERNAL_BOUNDS);
export type ToDelivery = UnionOf<typeof toDeliveryTable>;
export type ToCourier = UnionOf<typeof toCourierTable>;
export type ToCell = UnionOf<typeof toCellTable>;

/**
 * A frame for one session, and under which ownership its courier's actor said it: gateways drop
 * what is older than the newest epoch they know of (D8). `receivedAtUs`, `ordinal`: set on offers,
 * for the measurement of create -> offer (0: none).
 */
export type SessionPost = {
  readonly shard: ShardId;
  readonly epoch: Epoch;
  readonly session: string;
  readonly frame: ServerFrame;
  readonly receivedAtUs: number;
  readonly ordinal: number;
};

/** Packs frames for sessions of one gateway. */
export const encodeSessionPosts = (posts: readonly SessionPost[]): Uint8Array =>
  packValue(
    posts.map(({ session, frame, receivedAtUs, ordinal, shard, epoch }) => [
      ...[session, serverFrames.toArray(frame), receivedAtUs, ordinal, shard, epoch],
    ]),
  );

/** Unpacks `encodeSessionPosts`; null when malformed. */
export function decodeSessionPosts(bytes: Uint8Array): SessionPost[] | null {
  const raw = unpackValue(bytes, INTERNAL_BOUNDS);
  if (raw === INVALID || !Array.isArray(raw)) return null;
  const posts: SessionPost[] = [];
  for (const item of raw) {
    if (!Array.isArray(item)) return null;
    const frame = serverFrames.fromArray(item[1]);
    const shard = u16.unpack(item[4]);
    const epoch = u53.unpack(item[5]);
    if (frame === INVALID || shard === INVALID || epoch === INVALID) return null;
    posts.push({
      shard: shard as ShardId,
      epoch: epoch as Epoch,
      session: String(item[0]),
      frame,
      receivedAtUs: Number(item[2]),
      ordinal: Number(item[3]),
    });
  }
  return posts;
}

/**
 * A courier's record, as every follower of the cells folds it. `no` rises with each record of that
 * courier under one epoch.
 */
export const courierRecord = struct("courier record", {
  courier: courierId,
  no: u53,
  /** The position's own time; 0 when none is known yet. */
  at: millis,
  lng,
  lat,
  vehicle: oneOf(VEHICLES),
  /** Offers it may still take; 0: not a candidate (off shift, full, held to the limit). */
  slots: u8,
  /** On shift. */
  online: bool,
  active: u8,
  /** Tens of points of suspicion that its pings are made up; 0: plausible. */
  doubt: u8,
});
export type CourierRecord = ValueOf<typeof courierRecord>;

/** Where a watched courier is, for a gateway. */
const courierPosition = struct("courier position", {
  courier: courierId,
  no: u53,
  at: millis,
  lng,
  lat,
});

/** Batches on the CELLS subjects, and the small messages between nodes and gateways. */
export const streamTable = {
  records: {
    code: 1,
    doc: "Courier records of one courier shard. `number` rises by one with each batch under one epoch; a gap is fetched from the stream.",
    fields: {
      shard: u16,
      epoch: u53,
      number: u53,
      node: nodeId,
      records: list(courierRecord, 5_000),
    },
  },
  watch: {
    code: 2,
    doc: "Gateway to a courier shard: send me these couriers' positions for the next `ttlMs`. Replaces the list before.",
    fields: { gateway: nodeId, couriers: list(courierId, 50_000), ttlMs: u32 },
  },
  positions: {
    code: 3,
    doc: "Retired: one message for each shard, once a second. `moved` took its place.",
    fields: {
      positions: list(courierPosition, 50_000),
      shard: u16,
      epoch: u53,
    },
  },
  node_up: {
    code: 4,
    doc: "A node took shards: tell it your sessions and watches again.",
    fields: { node: nodeId, shards: list(u16, 4_096) },
  },
  answer: {
    code: 5,
    doc: "Answer to a request to an actor: `ok`, or a name of the error table.",
    fields: { code: str(40), online: maybe(bool) },
  },
  where: {
    code: 6,
    doc: "Request to a courier shard: where is this courier?",
    fields: { courier: courierId },
  },
  fleet: { code: 7, doc: "Request to all nodes: your couriers.", fields: { limit: u32 } },
  fleet_part: {
    code: 8,
    doc: "Answer to `where` and `fleet`: the couriers that this node owns.",
    fields: { records: list(courierRecord, 50_000) },
  },
  beat: {
    code: 9,
    doc: "A node to all nodes, ten times a second: it lives, and these shards it owns. `number` rises with each beat; `lagMs`: how late its own loop is. `blocked`: it cannot commit.",
    fields: {
      node: nodeId,
      number: u53,
      phase: oneOf(["starting", "ready", "leaving", "gone"]),
      lagMs: u32,
      owned: list(struct("owned shard", { shard: u16, epoch: u53 }), 4_096),
      blocked: maybe(bool),
    },
  },
  digest: {
    code: 10,
    doc: "A node to all nodes: what its shards' followers must have folded at this epoch and batch number. `digest`: exclusive or of the hashes of the couriers on shift and their record numbers.",
    fields: {
      node: nodeId,
      shards: list(
        struct("shard digest", { shard: u16, epoch: u53, number: u53, couriers: u32, digest: u32 }),
        4_096,
      ),
    },
  },
  snapshot: {
    code: 11,
    doc: "Request to the owner of a courier shard: all its records, answered with `records` under the number of the last batch.",
    fields: { shard: u16 },
  },
  moved: {
    code: 12,
    doc: "A node to a gateway, a moment after they moved: where the watched couriers are, those of each shard under the epoch that it is owned by.",
    fields: {
      parts: list(
        struct("moved couriers of a shard", {
          shard: u16,
          epoch: u53,
          positions: list(courierPosition, 50_000),
        }),
        4_096,
      ),
    },
  },
} as const satisfies Table;
export const streamMessages = tableCodec(streamTable, { ...INTERNAL_BOUNDS, bytesMax: 8_388_608 });
export type StreamMessage = UnionOf<typeof streamTable>;
export type StreamMessageOf<K extends StreamMessage["type"]> = Extract<StreamMessage, { type: K }>;
