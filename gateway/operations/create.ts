/**
 * A create, from a checked body to the commit: addresses become points, points are held against the
 * served area, the pickup gives the shard and the shard the id. Durable first: the actors are told
 * only after the commit, and if that telling is lost, the sweep finds the delivery. The answer is
 * stored with the key in the same statement (D4).
 *
 * While Postgres is away the create goes another way (`create-way.ts`).
 */
import { createHmac } from "node:crypto";
import { inBox } from "../../actors/geo.ts";
import type { GeocodeResult } from "../../engine/geo/geocoder.ts";
import { keyedDeliveryId, newDeliveryId } from "../../engine/ids.ts";
import { shardOfPoint } from "../../engine/cluster/shards.ts";
import type { CreateCommand, IdempotencyKey } from "../../engine/store/port.ts";
import { shortenAddress } from "../../proto/address.ts";
import { DispatchError } from "../../proto/errors.ts";
import type { ErrorCode, FieldError } from "../../proto/errors.ts";
import type { LngLat } from "../../proto/geo.ts";
import type { DeliveryId, Millis, PrincipalId } from "../../proto/ids.ts";
import { READY_AHEAD_MAX_MS, TEST_UNFILLED_AFTER_MS, searchStart } from "../../proto/limits.ts";
import type { Job } from "../../proto/messages.ts";
import { isTestPrincipal } from "../../proto/test-mode.ts";
import type { TestScenario } from "../../proto/test-mode.ts";
import { trackingHash } from "../access/auth.ts";
import type { Circuit } from "../backend/postgres-circuit.ts";
import { wayOfCreate } from "./create-route.ts";
import type { Deps } from "../base/deps.ts";
import { promise } from "../views/estimates.ts";
import type { Estimates } from "../views/estimates.ts";
import { replayOf } from "./spool.ts";
import type { Spool } from "./spool.ts";
import type { ActorClient } from "../backend/actor-client.ts";
import type { EtaForecast, Trip } from "../views/eta-forecast.ts";
import { fieldProblem } from "../base/problem.ts";
import type { CreateBody } from "./schemas.ts";
import { timeText } from "../views/delivery-view.ts";

const SECRET_BYTES = 16;

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
type AnswerBody = ReturnType<typeof answerBody>;
/** What a create is known by: its delivery's id, and the secret of its tracking link. */
type Name = { readonly id: DeliveryId; readonly secret: string };
type Names = readonly [current: Name, ...previous: Name[]];
export type Create = (request: CreateRequest) => Promise<CreateAnswer>;

export type CreateParts = {
  readonly deps: Deps;
  readonly actorClient: ActorClient;
  readonly spool: Pick<Spool, "put" | "find">;
  readonly circuit: Pick<Circuit, "isOpen" | "wasOpenWithin">;
  readonly forecast: Pick<EtaForecast, "expect">;
};

/**
 * The use case. Rejects with a DispatchError that has a pointer, or `idempotency_mismatch`, or
 * `unavailable`.
 */
export function createCreate(parts: CreateParts): Create {
  const { deps, actorClient, spool, circuit } = parts;
  const { store, clock } = deps;
  const place = async (command: CreateCommand): Promise<CreateAnswer> => {
    const outcome = await store.create(command);
    if (outcome.outcome === "spent") {
      const detail = "This key was used long ago, for a delivery that exists; use a new one.";
      throw new DispatchError("idempotency_mismatch", detail);
    }
    if (outcome.outcome === "replayed") return replayOf(command, outcome.answer);
    actorClient.tellDelivery(command.job.id, { type: "created", job: command.job });
    actorClient.nudgeOutbox();
    return { ...command.answer, isReplay: false };
  };
  const run = wayOfCreate({ place, spool, circuit });
  return async (request) => {
    const { command, names } = commandOf(parts, request, clock.now());
    const answer = await run(command);
    const body = answer.body as AnswerBody;
    // The link is a secret: it is made of the key again, and lies nowhere in the stored answer. The
    // id of the answer says which of the names was given: while signing keys are exchanged, a
    // replay may be of the one before.
    const { secret } = names.find(({ id }) => id === body.delivery_id) ?? names[0];
    return { ...answer, body: { ...body, tracking_url: `${deps.config.publicUrl}/t/${secret}` } };
  };
}

/**
 * The command, under the first of the names that the delivery may have; the secret is only in the
 * answer.
 */
function commandOf(
  { deps, forecast }: Pick<CreateParts, "deps" | "forecast">,
  request: CreateRequest,
  now: Millis,
): { readonly command: CreateCommand; readonly names: Names } {
  const { body, owner, key } = request;
  const trip = tripOf(deps, body, now);
  const { pickup, dropoff, vehicle, readyAt } = trip;
  const estimates = promised({ deps, forecast }, trip, now);
  const test = testOf(owner, body);
  const { settings, shards } = deps.config;
  const shard = shardOfPoint(pickup, shards, settings.CELL_RESOLUTION, settings.SHARD_RESOLUTION);
  const names: Names =
    key === null
      ? [
          {
            secret: secretText(deps.random(SECRET_BYTES)),
            id: newDeliveryId(shard, now, deps.random, test),
          },
        ]
      : keyedNames(deps.config, key, (digest) => keyedDeliveryId(shard, digest, test));
  const [{ id, secret }] = names;
  const job: Job = {
    id,
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
    searchUntil:
      Math.max(now, readyAt ?? 0) +
      (test === "unfilled" ? TEST_UNFILLED_AFTER_MS : settings.SEARCH_DEADLINE_MS),
    receivedAtUs: request.receivedAtUs,
  };
  const command: CreateCommand = {
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
    answer: { status: 201, body: answerBody(job.id, estimates) },
  };
  return { command, names };
}

/** The names under the signing key, and under the one before it while they are exchanged. */
function keyedNames(
  { authKey, authKeyPrevious: previous }: Deps["config"],
  key: IdempotencyKey,
  idOf: (digest: Uint8Array) => DeliveryId,
): Names {
  const under = (signingKey: string): Name => {
    const made = keyDigests(signingKey, key);
    return { id: idOf(made.id), secret: secretText(made.secret.subarray(0, SECRET_BYTES)) };
  };
  return previous ? [under(authKey), under(previous)] : [under(authKey)];
}

const secretText = (bytes: Uint8Array): string => Buffer.from(bytes).toString("base64url");

/**
 * What is made of a key in place of chance: every attempt with that key and body, at any gateway,
 * names the same delivery and the same tracking link (decision 0007). Without the signing key
 * nobody can make either.
 */
function keyDigests(authKey: string, { principal, key, fingerprint }: IdempotencyKey) {
  const digest = (what: string): Uint8Array =>
    createHmac("sha256", authKey)
      .update(JSON.stringify([what, principal, key, fingerprint]))
      .digest();
  return { id: digest("delivery id"), secret: digest("tracking secret") };
}

/** As it is kept under its key: without the tracking link, which is a secret. */
const answerBody = (id: DeliveryId, estimates: Estimates) => ({
  delivery_id: id,
  status: "pending",
  estimated_pickup_time: timeText(estimates.pickupAt),
  estimated_arrival: timeText(estimates.arrivalAt),
});

const areaOf = (address: string | undefined): string | null =>
  address === undefined ? null : shortenAddress(address);

/** What a create with this body would promise. The same checks, nothing written. */
export const estimatesFor = (
  parts: Pick<CreateParts, "deps" | "forecast">,
  body: CreateBody,
  now: Millis,
): Estimates => promised(parts, tripOf(parts.deps, body, now), now);

function tripOf(deps: Deps, body: CreateBody, now: Millis): Trip {
  const [pickup, dropoff] = stopsOf(deps, body);
  const readyAt = readyAtOf(body, now);
  return { pickup, dropoff, vehicle: body.vehicle ?? null, size: body.package_size, readyAt };
}

const promised = (
  { deps, forecast }: Pick<CreateParts, "deps" | "forecast">,
  trip: Trip,
  now: Millis,
): Estimates => {
  const longestWaitS = deps.config.settings.SEARCH_DEADLINE_MS / 1000;
  return promise({ travel: deps.travel, forecast }, trip, longestWaitS, now);
};

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

/**
 * The scenario of a test; null when it is none. Whoever's name says that it only tests cannot ask
 * for more.
 */
export function testOf(
  owner: PrincipalId,
  body: Pick<CreateBody, "test" | "test_scenario">,
): TestScenario | null {
  const isTester = isTestPrincipal(owner);
  if (isTester && body.test === false) {
    throw fieldProblem("/test", "invalid_field", "These credentials are for tests only.");
  }
  if (isTester || body.test === true) return body.test_scenario ?? "delivered";
  if (body.test_scenario === undefined) return null;
  throw fieldProblem("/test_scenario", "invalid_field", "is for tests: give `test` as well");
}

/** Null when it is ready now, or was before. */
function readyAtOf(body: CreateBody, now: Millis): Millis | null {
  if (body.ready_at === undefined) return null;
  const at = Date.parse(body.ready_at);
  if (at > now + READY_AHEAD_MAX_MS) {
    throw fieldProblem("/ready_at", "invalid_field", "must be within the next 7 days");
  }
  return at > now ? at : null;
}
