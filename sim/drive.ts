/**
 * Builders for tests of single actors: a delivery and its messages in the middle of a city, and
 * `drive`, which steps one actor and keeps what it asked for. It builds and records; it decides
 * nothing.
 */
import type { Actor, Effect } from "../actors/actor.ts";
import type { CreateCommand } from "../engine/store/port.ts";
import type {
  CourierId,
  DeliveryId,
  Millis,
  NodeId,
  PrincipalId,
  SessionId,
} from "../proto/ids.ts";
import { DISPATCH_DEFAULTS } from "../proto/limits.ts";
import type { DispatchSettings } from "../proto/limits.ts";
import type { Job, ToCourier } from "../proto/messages.ts";
import type { CourierSnapshot, DeliverySnapshot } from "../proto/writes.ts";

export const SETTINGS: DispatchSettings = DISPATCH_DEFAULTS;
/** When the tests begin. */
export const T0: Millis = 1_700_000_000_000;
export const PICKUP = { lng: -122.42, lat: 37.77 } as const;
/** A degree of latitude, metres. */
const DEGREE_M = 111_195;

/** A point so many metres north of the pickup. */
export const northM = (metres: number): { lng: number; lat: number } => ({
  lng: PICKUP.lng,
  lat: PICKUP.lat + metres / DEGREE_M,
});

export const courierId = (name: string | number): CourierId => `cur_${name}` as CourierId;
/** A delivery of shard 0. */
export const deliveryId = (n: number): DeliveryId =>
  `del_000${String(n).padStart(20, "0")}` as DeliveryId;

export const jobOf = (n = 1, more: Partial<Job> = {}): Job => ({
  id: deliveryId(n),
  owner: "shop" as PrincipalId,
  pickupLng: PICKUP.lng,
  pickupLat: PICKUP.lat,
  pickupArea: "Market St",
  dropoffLng: northM(2_000).lng,
  dropoffLat: northM(2_000).lat,
  dropoffArea: "Valencia St",
  size: "small",
  vehicle: null,
  createdAt: T0,
  searchUntil: T0 + SETTINGS.SEARCH_DEADLINE_MS,
  receivedAtUs: 0,
  ...more,
});

/** A create of that job as a gateway commits it. */
export const createOf = (job: Job): CreateCommand => ({
  job,
  externalId: null,
  pickupAddress: null,
  dropoffAddress: null,
  weightKg: null,
  phone: "",
  recipientPhone: null,
  notes: null,
  readyAt: null,
  searchAt: job.createdAt,
  estimatedPickupAt: job.createdAt,
  estimatedArrivalAt: job.createdAt,
  trackingHash: new TextEncoder().encode(job.id),
  idempotency: null,
  answer: { status: 201, body: null },
});

export const rowOf = (more: Partial<DeliverySnapshot> = {}): DeliverySnapshot => ({
  job: jobOf(),
  status: "pending",
  version: 1,
  courier: null,
  assignedAt: null,
  wave: 0,
  offers: [],
  asked: [],
  nextAttemptAt: T0,
  replacing: false,
  ...more,
});

export const courierRow = (
  courier: CourierId,
  more: Partial<CourierSnapshot> = {},
): CourierSnapshot => ({
  courier,
  vehicle: "bike",
  capacity: 1,
  online: true,
  active: [],
  lastKnown: { ...PICKUP, at: T0 },
  ...more,
});

export const carriedOf = (job: Job, pickedUp = false): CourierSnapshot["active"][number] => ({
  delivery: job.id,
  pickupLng: job.pickupLng,
  pickupLat: job.pickupLat,
  dropoffLng: job.dropoffLng,
  dropoffLat: job.dropoffLat,
  pickedUp,
});

export const pingOf = (
  seq: number,
  at: Millis,
  point: { lng: number; lat: number } = PICKUP,
): Extract<ToCourier, { type: "ping" }> => ({
  type: "ping",
  gateway: "gw" as NodeId,
  session: null,
  seq,
  at,
  ...point,
  accuracyM: 5,
  receivedAt: at,
  newest: true,
});

export const openedOf = (session: string): Extract<ToCourier, { type: "opened" }> => ({
  type: "opened",
  gateway: "gw" as NodeId,
  session: session as SessionId,
});

/** One word for an effect: `commit round`, `send offer`, `answer ok`, `ledger offered`. */
export function wordOf(effect: Effect): string {
  switch (effect.do) {
    case "commit":
      return `commit ${effect.write.kind}`;
    case "send":
      return `send ${effect.post.msg.type}`;
    case "ledger":
      return `ledger ${effect.lines.map((line) => line.type).join(" ")}`;
    case "notify":
      return `notify ${effect.frame.type}`;
    case "answer":
      return `answer ${effect.code}`;
    case "search":
    case "reload":
    case "index":
    case "history":
      return effect.do;
  }
}

export const wordsOf = (effects: readonly Effect[]): readonly string[] =>
  effects.filter((effect) => effect.do !== "ledger").map(wordOf);

/**
 * What a table cell holds: `-` for the very same object and nothing said, else the state and the
 * words.
 */
export function outcomeOf(
  before: object,
  after: object,
  name: string,
  effects: readonly Effect[],
): string {
  const words = wordsOf(effects);
  if (before === after && words.length === 0) return "-";
  const state = before === after ? "=" : name;
  return words.length === 0 ? state : `${state}: ${words.join(", ")}`;
}

/** Steps one actor. `send` returns what it asked for; `advance` runs its alarm on the way. */
export function drive<S, M>(actor: Actor<S, M>, initial: S) {
  let state = initial;
  let now = T0;
  const log: Effect[] = [];
  const send = (message: M): readonly Effect[] => {
    const [next, ...effects] = actor.step(state, message, now);
    state = next;
    log.push(...effects);
    return effects;
  };
  const advance = (ms: number): readonly Effect[] => {
    const until = now + ms;
    const effects: Effect[] = [];
    for (;;) {
      const due = actor.deadline(state);
      if (due === null || due > until) break;
      now = Math.max(now, due);
      // Whoever has a deadline understands `woke`.
      effects.push(...send({ type: "woke" } as M));
      const next = actor.deadline(state);
      if (next !== null && next <= now)
        throw new Error("woken at its deadline, it did not move it");
    }
    now = until;
    return effects;
  };
  return { send, advance, log, state: () => state, now: () => now };
}
