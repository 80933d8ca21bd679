/**
 * One example value of every row of every wire table: the source of the golden vectors beside this
 * file.
 */
import type { CellId, CourierId, DeliveryId, NodeId, PrincipalId, SessionId } from "../ids.ts";
import type { Epoch, ShardId } from "../ids.ts";
import type { ClientFrame, ServerFrame } from "../frames.ts";
import type {
  CourierRecord,
  Job,
  SessionPost,
  StreamMessage,
  ToCell,
  ToCourier,
  ToDelivery,
} from "../messages.ts";
import type { IntakeMessage } from "../intake.ts";
import type { Letter } from "../posts.ts";
import type { AssignmentView, DeliveryView } from "../views.ts";

const delivery = "del_02a01jf3k9q2m7xw4tz8cvb" as DeliveryId;
const courier = "cur_alice" as CourierId;
const gateway = "gw_7f3a" as NodeId;
const session = "ses_01" as SessionId;
const at = 1_778_000_000_000;
export const exampleCell = "8828308281fffff" as CellId;

const job: Job = {
  id: delivery,
  owner: "cus_1" as PrincipalId,
  pickupLng: -122.4194155,
  pickupLat: 37.7749295,
  pickupArea: "Market St",
  dropoffLng: -122.4148,
  dropoffLat: 37.7599,
  dropoffArea: null,
  size: "small",
  vehicle: null,
  createdAt: at,
  searchUntil: at + 900_000,
  receivedAtUs: at * 1_000 + 123,
};
const record: CourierRecord = {
  courier,
  no: 17,
  at,
  lng: -122.41,
  lat: 37.77,
  vehicle: "bike",
  slots: 3,
  doubt: 0,
  online: true,
  active: 0,
};
const ping = {
  seq: 7,
  at,
  lng: -122.4194155,
  lat: 37.7749295,
  accuracyM: 5.5,
  speedMps: 4.25,
  headingDeg: null,
};
const stop = { address: "123 Market St, SF", lat: 37.79, lng: -122.39 };
const assignment: AssignmentView = {
  id: delivery,
  version: 2,
  status: "assigned",
  origin: stop,
  destination: stop,
  package_size: "small",
  phone: "+1-415-555-0100",
  recipient_phone: null,
  notes: null,
  assigned_at: "2026-05-03T14:08:30.000Z",
};
const view: DeliveryView = {
  id: delivery,
  version: 1,
  status: "pending",
  status_reason: "searching",
  origin: stop,
  destination: stop,
  package_size: "small",
  external_id: null,
  courier: null,
  courier_location: null,
  estimated_pickup_time: "2026-05-03T14:15:00.000Z",
  estimated_arrival: "2026-05-03T14:31:00.000Z",
  created_at: "2026-05-03T14:08:30.000Z",
  assigned_at: null,
  picked_up_at: null,
  delivered_at: null,
  ended_at: null,
  test: false,
};

export const clientExamples: readonly ClientFrame[] = [
  { type: "hello", version: 1, token: "header.payload.signature", client: "sdk-ts/0.1" },
  { type: "ping", ...ping },
  { type: "pings", pings: [ping, { ...ping, seq: 8, at: at + 10_000 }] },
  { type: "shift", ref: 1, online: true },
  { type: "accept", ref: 2, delivery },
  { type: "decline", ref: 3, delivery, reason: "too far" },
  { type: "status", ref: 4, delivery, status: "picked_up", at, reason: null },
  { type: "track", ref: 5, delivery, after: null },
  { type: "untrack", ref: 6, delivery },
  { type: "track", ref: 7, delivery, after: 2 },
  { type: "seen", frames: 8 },
];

const event = {
  id: "evt_1",
  delivery_id: delivery,
  number: 3,
  type: "delivery.picked_up",
  status: "picked_up",
  reason: null,
  courier_id: courier,
  external_id: null,
  at: "2026-05-03T14:08:30Z",
  test: false,
} as const;

export const serverExamples: readonly ServerFrame[] = [
  {
    type: "welcome",
    version: 1,
    session,
    role: "courier",
    subject: "cur_alice",
    now: at,
    pingIntervalMs: 10_000,
    idleMs: 60_000,
    pingSpeedMaxMps: 278,
    online: true,
    assignments: [assignment],
    seenEvery: 4,
    comeBackWithinMs: 2_500,
  },
  { type: "ok", ref: 2, result: { accepted: true } },
  {
    type: "error",
    ref: 2,
    code: "delivery_taken",
    text: "Another courier has this delivery.",
    retryAfterS: null,
    pointer: null,
  },
  { type: "ping_ack", seq: 8 },
  {
    type: "offer",
    epoch: 3,
    number: 12,
    delivery,
    until: at + 20_000,
    ttlMs: 20_000,
    pickupLng: -122.4194155,
    pickupLat: 37.7749295,
    pickupArea: "Market St",
    dropoffLng: -122.4148,
    dropoffLat: 37.7599,
    dropoffArea: null,
    size: "small",
    distanceM: 812.5,
    etaS: 245,
  },
  { type: "withdrawn", epoch: 3, number: 13, delivery, reason: "taken" },
  { type: "assignment", assignment },
  { type: "assignment_over", epoch: 3, number: 14, delivery, reason: "canceled" },
  { type: "delivery", delivery, version: 1, view },
  { type: "positions", positions: [{ delivery, lng: -122.41, lat: 37.77, at, ageMs: 1_250 }] },
  {
    type: "bye",
    code: 4001,
    retry: true,
    text: "This gateway is stopping; connect again.",
    retryAfterMs: 0,
  },
  { type: "passed", delivery, recovered: true, events: [event] },
  { type: "ping_interval", intervalMs: 2_000, why: "near" },
  { type: "come_back", withinMs: 10_000 },
];

export const deliveryExamples: readonly ToDelivery[] = [
  { type: "created", job },
  { type: "changed", version: 2, status: "assigned", courier, at, reason: null },
  { type: "held", courier, until: at + 5_000 },
  { type: "refused", courier, reason: "no_slots" },
  { type: "declined", courier, reason: null },
  { type: "progress", courier, signal: "dark", distanceM: 640 },
  { type: "wake", courier },
];

export const courierExamples: readonly ToCourier[] = [
  { type: "opened", gateway, session },
  { type: "closed", session },
  { type: "shift", online: true },
  {
    type: "ping",
    gateway,
    session,
    seq: 7,
    at,
    lng: -122.41,
    lat: 37.77,
    accuracyM: null,
    receivedAt: at + 80,
    newest: true,
  },
  { type: "hold", delivery, until: at + 5_000 },
  { type: "offer", job, until: at + 20_000, ordinal: 3, distanceM: 812.5, etaS: 245 },
  { type: "release", delivery, reason: "taken" },
  {
    type: "confirm",
    delivery,
    pickupLng: -122.41,
    pickupLat: 37.77,
    dropoffLng: -122.42,
    dropoffLat: 37.76,
    pickedUp: false,
  },
  { type: "picked", delivery },
  { type: "ended", delivery, reason: "delivered", tell: false },
  { type: "profile", vehicle: "bike", capacity: 2 },
];

export const cellExamples: readonly ToCell[] = [
  { type: "wait", delivery, since: at, size: "small", vehicle: null, asked: [courier] },
  { type: "leave", delivery },
  { type: "free", courier, vehicle: "bike" },
];

export const streamExamples: readonly StreamMessage[] = [
  { type: "records", shard: 42, epoch: 3, number: 1_001, node: gateway, records: [record] },
  { type: "watch", gateway, couriers: [courier], ttlMs: 15_000 },
  {
    type: "positions",
    positions: [{ courier, no: 17, at, lng: -122.41, lat: 37.77 }],
    shard: 42,
    epoch: 3,
  },
  { type: "node_up", node: gateway, shards: [0, 1, 2] },
  { type: "answer", code: "ok", online: true },
  { type: "where", courier },
  { type: "fleet", limit: 5_000 },
  { type: "fleet_part", records: [record] },
  {
    type: "beat",
    node: gateway,
    number: 12,
    phase: "ready",
    lagMs: 3,
    owned: [{ shard: 42, epoch: 7 }],
    blocked: false,
  },
  {
    type: "digest",
    node: gateway,
    shards: [{ shard: 42, epoch: 7, number: 1_001, couriers: 31, digest: 3_735_928_559 }],
  },
  { type: "snapshot", shard: 42 },
  {
    type: "moved",
    parts: [
      { shard: 42, epoch: 3, positions: [{ courier, no: 17, at, lng: -122.41, lat: 37.77 }] },
    ],
  },
];

export const intakeExamples: readonly IntakeMessage[] = [
  {
    type: "create",
    job,
    externalId: "order 7",
    pickupAddress: "123 Market St, SF",
    dropoffAddress: null,
    weightKg: 2.5,
    phone: "+1-555-0100",
    recipientPhone: null,
    notes: null,
    readyAt: null,
    searchAt: at,
    estimatedPickupAt: at + 300_000,
    estimatedArrivalAt: at + 900_000,
    trackingHash: "ab".repeat(32),
    key: { principal: "customer:cus_1", key: "key:k1", fingerprint: "f" },
    status: 202,
    body: `{"delivery_id":"${delivery}"}`,
  },
];

/** One letter of an actor to each kind of actor, and one of a gateway, which has no origin. */
export const letterExamples: readonly Letter[] = [
  {
    post: { kind: "delivery", id: delivery, msg: { type: "held", courier, until: at + 20_000 } },
    origin: { shard: 42 as ShardId, epoch: 3 as Epoch },
  },
  {
    post: { kind: "courier", id: courier, msg: { type: "hold", delivery, until: at + 20_000 } },
    origin: { shard: 7 as ShardId, epoch: 4_294_967_297 as Epoch },
  },
  {
    post: { kind: "cell", id: exampleCell, msg: { type: "leave", delivery } },
    origin: { shard: 42 as ShardId, epoch: 3 as Epoch },
  },
  {
    post: { kind: "courier", id: courier, msg: { type: "shift", online: true } },
    origin: null,
  },
];

export const sessionPostExamples: readonly SessionPost[] = [
  {
    session,
    frame: { type: "withdrawn", epoch: 3, number: 5, delivery, reason: "taken" },
    receivedAtUs: 0,
    ordinal: 0,
    shard: 42 as ShardId,
    epoch: 3 as Epoch,
  },
  {
    session,
    frame: serverExamples.find(({ type }) => type === "offer") as ServerFrame,
    receivedAtUs: at * 1_000 + 123,
    ordinal: 2,
    shard: 7 as ShardId,
    epoch: 4_294_967_297 as Epoch,
  },
];
