/**
 * The binary WebSocket protocol, version 1: one row per frame. A frame is one plain MessagePack
 * array `[code, field, field, ...]` in one binary message. Subprotocol: `hexdispatch.v1.msgpack`.
 *
 * Growth rules: codes are never reused; fields are only appended; a reader ignores items that it
 * does not know, and reads missing ones as nil where the field may be nil; what cannot keep to that
 * becomes version 2. Requests carry a `ref` that the client chose; the answer (`ok` or `error`)
 * repeats it. A courier is who its token says: no frame carries a courier id.
 */
import { FRAME_BOUNDS, tableCodec } from "./codec.ts";
import type { Table, UnionOf } from "./codec.ts";
import { deliveryId, durationMs, headingDeg, lat, list, lng, maybe, metres } from "./field.ts";
import { metresPerS, millis, oneOf, plainMap, seconds, sessionId, str, struct } from "./field.ts";
import { bool, u16, u32, u53, u8 } from "./field.ts";
import { PACKAGE_SIZES } from "./geo.ts";
import { PINGS_PER_BATCH_MAX, REASON_MAX_CHARS, TOKEN_MAX_CHARS } from "./limits.ts";
import { PASSED_EVENTS_MAX, TRACKS_PER_SESSION_MAX } from "./limits.ts";
import type { DeliveryEvent } from "./events.ts";
import type { AssignmentView, DeliveryView } from "./views.ts";

export const SUBPROTOCOL = "hexdispatch.v1.msgpack";
export const PROTOCOL_VERSION = 1;

/**
 * One position report. `seq` rises by one with each ping of a courier and survives a restart of the
 * app.
 */
const pingFields = {
  seq: u32,
  at: millis,
  lng,
  lat,
  accuracyM: maybe(metres),
  speedMps: maybe(metresPerS),
  headingDeg: maybe(headingDeg),
} as const;
export const ping = struct("ping", pingFields);

/** Statuses that a courier reports. */
export const REPORTED_STATUSES = ["picked_up", "delivered", "returned"] as const;
export type ReportedStatus = (typeof REPORTED_STATUSES)[number];

/** What the interval between two pings goes by. */
export const PING_REASONS = ["idle", "offered", "carrying", "near"] as const;
export type PingReason = (typeof PING_REASONS)[number];

export const clientTable = {
  hello: {
    code: 1,
    doc: "First frame of every connection, within 10 s. `token` is the JWT, or the secret of a tracking link.",
    fields: { version: u8, token: str(TOKEN_MAX_CHARS), client: str(64) },
  },
  ping: {
    code: 2,
    doc: "Courier: one position report. Acknowledged cumulatively by `ping_ack`.",
    fields: pingFields,
  },
  pings: {
    code: 3,
    doc: "Courier: reports kept while offline, oldest first. Only the newest moves the position; the rest is history.",
    fields: { pings: list(ping, PINGS_PER_BATCH_MAX) },
  },
  shift: { code: 4, doc: "Courier: go on or off shift.", fields: { ref: u32, online: bool } },
  accept: {
    code: 5,
    doc: "Courier: take a delivery, offered or pulled.",
    fields: { ref: u32, delivery: deliveryId },
  },
  decline: {
    code: 6,
    doc: "Courier: refuse an offer; this delivery will not be offered to you again.",
    fields: { ref: u32, delivery: deliveryId, reason: maybe(str(REASON_MAX_CHARS)) },
  },
  status: {
    code: 7,
    doc: "Courier: report progress. `at` is the phone's own time, kept as a claim.",
    fields: {
      ref: u32,
      delivery: deliveryId,
      status: oneOf(REPORTED_STATUSES),
      at: maybe(millis),
      reason: maybe(str(REASON_MAX_CHARS)),
    },
  },
  track: {
    code: 8,
    doc: "Customer, partner, operator, tracking link: follow a delivery. Answered by `ok`, then `delivery`, then changes. `after`: the version seen last, before a reconnect; then `ok` says `recovered`, and `passed` brings what came between.",
    fields: { ref: u32, delivery: deliveryId, after: maybe(u32) },
  },
  untrack: {
    code: 9,
    doc: "Stop following a delivery.",
    fields: { ref: u32, delivery: deliveryId },
  },
  seen: {
    code: 10,
    doc: "How many `positions` frames this connection has brought so far. Due with every `seenEvery`th of them (see `welcome`), and with any that comes a minute or more after the last `seen`; without it positions stop until it comes.",
    fields: { frames: u32 },
  },
} as const satisfies Table;

export const serverTable = {
  welcome: {
    code: 65,
    doc: "Answer to `hello`: who you are and how to behave.",
    fields: {
      version: u8,
      session: sessionId,
      role: str(16),
      subject: str(64),
      now: millis,
      pingIntervalMs: durationMs,
      idleMs: durationMs,
      pingSpeedMaxMps: metresPerS,
      online: maybe(bool),
      assignments: list(plainMap<AssignmentView>("assignment"), 64),
      /** Send `seen` with every so many `positions` frames. */
      seenEvery: maybe(u8),
      /** After a loss that nobody explained, come back at a random moment within so long. */
      comeBackWithinMs: maybe(durationMs),
    },
  },
  ok: {
    code: 66,
    doc: "The request `ref` was done.",
    fields: { ref: u32, result: maybe(plainMap<object>("result")) },
  },
  error: {
    code: 67,
    doc: "The request `ref` (nil: the connection itself) was refused. `code` is a name of the error table.",
    fields: {
      ref: maybe(u32),
      code: str(40),
      text: str(500),
      retryAfterS: maybe(seconds),
      pointer: maybe(str(200)),
    },
  },
  ping_ack: { code: 68, doc: "All pings up to `seq` have arrived.", fields: { seq: u32 } },
  offer: {
    code: 69,
    doc: "A delivery is offered until `until` (server time; `ttlMs` from now). Valid until then, withdrawn or taken. `number` rises with each frame of this courier's stream under one `epoch`.",
    fields: {
      epoch: u53,
      number: u53,
      delivery: deliveryId,
      until: millis,
      ttlMs: durationMs,
      pickupLng: lng,
      pickupLat: lat,
      pickupArea: maybe(str(200)),
      dropoffLng: lng,
      dropoffLat: lat,
      dropoffArea: maybe(str(200)),
      size: oneOf(PACKAGE_SIZES),
      distanceM: metres,
      etaS: seconds,
    },
  },
  withdrawn: {
    code: 70,
    doc: "An offer ended without you: taken, canceled, lapsed.",
    fields: { epoch: u53, number: u53, delivery: deliveryId, reason: str(40) },
  },
  assignment: {
    code: 71,
    doc: "A delivery is yours, in full. Sent after an accept and again after each reconnect (in `welcome`).",
    fields: { assignment: plainMap<AssignmentView>("assignment") },
  },
  assignment_over: {
    code: 72,
    doc: "A delivery is no longer yours: canceled or replaced, with the reason.",
    fields: { epoch: u53, number: u53, delivery: deliveryId, reason: str(40) },
  },
  delivery: {
    code: 73,
    doc: "A followed delivery as it stands, the REST body. Never older than one sent before. `version` is the number of its latest status event.",
    fields: { delivery: deliveryId, version: u32, view: plainMap<DeliveryView>("delivery") },
  },
  positions: {
    code: 74,
    doc: "On average at most once a second, all in one frame, for those who moved: where the couriers of followed deliveries are. `ageMs` is the age when it was sent. Never older after newer; a reader who is behind is sent the newest when it has caught up. Acknowledge with `seen`.",
    fields: {
      positions: list(
        struct("position", { delivery: deliveryId, lng, lat, at: millis, ageMs: durationMs }),
        TRACKS_PER_SESSION_MAX,
      ),
    },
  },
  bye: {
    code: 75,
    doc: "The server is about to close; `code` is the close code, `retry` whether to come back, `retryAfterMs` how long to wait at least.",
    fields: { code: u16, retry: bool, text: str(200), retryAfterMs: maybe(durationMs) },
  },
  passed: {
    code: 76,
    doc: "Status events of a followed delivery between what you have and the `delivery` that comes next, oldest first. `recovered` false: they are not all there, and what is missing could not be had.",
    fields: {
      delivery: deliveryId,
      recovered: bool,
      events: list(plainMap<DeliveryEvent>("delivery event"), PASSED_EVENTS_MAX),
    },
  },
  ping_interval: {
    code: 77,
    doc: "Courier: from now on ping this often. `why` tells what for: idle, offered, carrying or near the door.",
    fields: { intervalMs: durationMs, why: oneOf(PING_REASONS) },
  },
  come_back: {
    code: 78,
    doc: "From now on this stands in place of the `comeBackWithinMs` of the `welcome`: there are more sockets than there were.",
    fields: { withinMs: durationMs },
  },
} as const satisfies Table;

export type ClientFrame = UnionOf<typeof clientTable>;
export type ServerFrame = UnionOf<typeof serverTable>;
export type ClientFrameOf<K extends ClientFrame["type"]> = Extract<ClientFrame, { type: K }>;
export type ServerFrameOf<K extends ServerFrame["type"]> = Extract<ServerFrame, { type: K }>;
export type PingFrame = ClientFrameOf<"pings">["pings"][number];

export const clientFrames = tableCodec(clientTable, FRAME_BOUNDS);
export const serverFrames = tableCodec(serverTable, {
  ...FRAME_BOUNDS,
  bytesMax: 262_144,
  itemsMax: 8_192,
});
