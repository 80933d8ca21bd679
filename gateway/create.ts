/**
 * A create, from a checked body to the commit: addresses become points, points are held against the served area, the
 * pickup gives the shard and the shard the id. Durable first: the actors are told only after the commit, and if that
 * telling is lost, the sweep finds the delivery. The answer is stored with the key in the same statement (D4).
 */
import { inBox } from "../actors/geo.ts";
import type { GeocodeResult } from "../engine/geo/geocoder.ts";
import { newDeliveryId } from "../engine/ids.ts";
import { systemRandom } from "../engine/io/random.ts";
import { shardOfPoint } from "../engine/shards.ts";
import type { CreateCommand, IdempotencyKey } from "../engine/store/port.ts";
import { shortenAddress } from "../proto/address.ts";
import { DispatchError } from "../proto/errors.ts";
import type { ErrorCode, FieldError } from "../proto/errors.ts";
import type { LngLat } from "../proto/geo.ts";
import type { Millis, PrincipalId } from "../proto/ids.ts";
import { searchStart } from "../proto/limits.ts";
import type { Job } from "../proto/messages.ts";
import { trackingHash } from "./auth.ts";
import type { Deps } from "./deps.ts";
import { promise } from "./estimates.ts";
import type { Estimates } from "./estimates.ts";
import type { Mail } from "./mail.ts";
import { fieldProblem } from "./problem.ts";
import type { CreateBody } from "./schemas.ts";
import { timeText } from "./views.ts";

const SECRET_BYTES = 16;
/** A delivery may be asked for so long ahead. */
const READY_AHEAD_MAX_MS = 7 * 86_400_000;

export type CreateRequest = {
  readonly owner: PrincipalId;
  readonly body: CreateBody;
  readonly key: IdempotencyKey | null;
  /** When the request arrived, microseconds since 1970. */
  readonly receivedAtUs: number;
};
/** `isReplay`: the key was used before, and this is the answer of that time. */
export type CreateAnswer = {
  readonly status: number;
  readonly body: unknown;
  readonly isReplay: boolean;
};
export type Create = (request: CreateRequest) => Promise<CreateAnswer>;

/** The use case. Rejects with a DispatchError that has a pointer, or `idempotency_mismatch`, or `unavailable`. */
export function createCreate(deps: Deps, mail: Mail): Create {
  const { store, clock } = deps;
  return async (request) => {
    const command = commandOf(deps, request, clock.now());
    const outcome = await store.create(command);
    if (outcome.outcome === "replayed") {
      const { fingerprint, status, body } = outcome.answer;
      if (fingerprint !== request.key?.fingerprint) throw new DispatchError("idempotency_mismatch");
      return { status, body, isReplay: true };
    }
    mail.tellDelivery(command.job.id, { type: "created", job: command.job });
    mail.nudgeOutbox();
    return { ...command.answer, isReplay: false };
  };
}

function commandOf(deps: Deps, request: CreateRequest, now: Millis): CreateCommand {
  const { body, owner, key } = request;
  const [pickup, dropoff] = stopsOf(deps, body);
  const readyAt = readyAtOf(body, now);
  const vehicle = body.vehicle ?? null;
  const estimates = promise(deps.travel, { pickup, dropoff, vehicle, readyAt }, now);
  const secret = Buffer.from(systemRandom(SECRET_BYTES)).toString("base64url");
  const { settings, shards } = deps.config;
  const shard = shardOfPoint(pickup, shards, settings.CELL_RESOLUTION, settings.SHARD_RESOLUTION);
  const job: Job = {
    id: newDeliveryId(shard, now),
    owner,
    pickupLng: pickup.lng,
    pickupLat: pickup.lat,
    pickupArea: areaOf(body.origin_address),
    dropoffLng: dropoff.lng,
    dropoffLat: dropoff.lat,
    dropoffArea: areaOf(body.destination_address),
    size: body.package_size,
    vehicle,
    createdAt: now,
    searchUntil: Math.max(now, readyAt ?? 0) + settings.SEARCH_DEADLINE_MS,
    receivedAtUs: request.receivedAtUs,
  };
  return {
    job,
    externalId: body.external_id ?? null,
    pickupAddress: body.origin_address ?? null,
    dropoffAddress: body.destination_address ?? null,
    weightKg: body.weight_kg ?? null,
    phone: body.phone,
    recipientPhone: body.recipient_phone ?? null,
    notes: body.notes ?? null,
    readyAt,
    searchAt: searchStart(job, settings),
    estimatedPickupAt: estimates.pickupAt,
    estimatedArrivalAt: estimates.arrivalAt,
    trackingHash: trackingHash(secret),
    idempotency: key,
    answer: { status: 201, body: answerBody(job.id, estimates, trackingUrl(deps, secret)) },
  };
}

const answerBody = (id: string, estimates: Estimates, url: string) => ({
  delivery_id: id,
  status: "pending",
  estimated_pickup_time: timeText(estimates.pickupAt),
  estimated_arrival: timeText(estimates.arrivalAt),
  tracking_url: url,
});
const trackingUrl = (deps: Deps, secret: string): string => `${deps.config.publicUrl}/t/${secret}`;

const areaOf = (address: string | undefined): string | null =>
  address === undefined ? null : shortenAddress(address);

/** What a create with this body would promise. The same checks, nothing written. */
export function estimatesFor(deps: Deps, body: CreateBody, now: Millis): Estimates {
  const [pickup, dropoff] = stopsOf(deps, body);
  const readyAt = readyAtOf(body, now);
  return promise(deps.travel, { pickup, dropoff, vehicle: body.vehicle ?? null, readyAt }, now);
}

/** Both stops, or one error with all that is wrong with them. */
function stopsOf(deps: Deps, body: CreateBody): [pickup: LngLat, dropoff: LngLat] {
  const errors: FieldError[] = [];
  const pickup = stopOf(deps, body, "origin", errors);
  const dropoff = stopOf(deps, body, "destination", errors);
  const first = errors[0];
  if (first !== undefined) throw new DispatchError(first.code, first.detail, { errors });
  return [pickup as LngLat, dropoff as LngLat];
}

/** Coordinates win; the address is then only for people. */
function stopOf(
  deps: Deps,
  body: CreateBody,
  stop: "origin" | "destination",
  errors: FieldError[],
): LngLat | null {
  const given = body[stop];
  const pointer = given === undefined ? `/${stop}_address` : `/${stop}`;
  const refuse = (code: ErrorCode): null => {
    errors.push(...fieldProblem(pointer, code).errors);
    return null;
  };
  let point: LngLat | undefined = given;
  if (point === undefined) {
    const result = deps.geocoder.geocode(body[`${stop}_address`] ?? "");
    if (!result.found) return refuse(codeOf(result));
    point = result.point;
  }
  return inBox(point, deps.config.serviceArea) ? point : refuse("outside_service_area");
}

const codeOf = (result: Extract<GeocodeResult, { found: false }>): ErrorCode =>
  result.reason === "no_city_data" ? "city_not_loaded" : "address_not_found";

/** Null when it is ready now, or was before. */
function readyAtOf(body: CreateBody, now: Millis): Millis | null {
  if (body.ready_at === undefined) return null;
  const at = Date.parse(body.ready_at);
  if (at > now + READY_AHEAD_MAX_MS) {
    throw fieldProblem("/ready_at", "invalid_field", "must be within the next 7 days");
  }
  return at > now ? at : null;
}
