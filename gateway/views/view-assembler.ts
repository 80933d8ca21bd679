/**
 * A delivery as somebody may see it now: the row, the courier's position if the policy allows it,
 * and estimates computed from both. The same function feeds REST and the WebSocket, so that polling
 * and pushing show one state.
 */
import { createHash } from "node:crypto";
import type { TravelTime } from "../../engine/geo/travel-time.ts";
import type { Clock } from "../../engine/io/clock.ts";
import type { DeliveryRow, Position } from "../../engine/store/port.ts";
import type { Millis } from "../../proto/ids.ts";
import type { DeliveryView } from "../../proto/views.ts";
import type { Principal } from "../base/principal.ts";
import { current } from "./estimates.ts";
import type { EtaForecast } from "./eta-forecast.ts";
import type { CurrentEstimates } from "./estimates.ts";
import { allowed } from "../access/policy.ts";
import { audienceOf, deliveryView, phoneSeen } from "./delivery-view.ts";
import type { PositionCache } from "./position-cache.ts";

export type ReaderParts = {
  readonly positionCache: PositionCache;
  readonly forecast: Pick<EtaForecast, "carriedBy">;
  readonly travel: TravelTime;
  readonly clock: Clock;
  /** The setting COURIER_PHONE. */
  readonly phones: string;
};

export class Reader {
  readonly #positionCache: PositionCache;
  readonly #forecast: Pick<EtaForecast, "carriedBy">;
  readonly #travel: TravelTime;
  readonly #clock: Clock;
  readonly #phones: string;

  constructor({ positionCache, forecast, travel, clock, phones }: ReaderParts) {
    this.#positionCache = positionCache;
    this.#forecast = forecast;
    this.#travel = travel;
    this.#clock = clock;
    this.#phones = phones;
  }

  /** The view of a row that `principal` may read. */
  async view(row: DeliveryRow, principal: Principal): Promise<DeliveryView> {
    const now = this.#clock.now();
    const mayLocate = row.courierId !== null && allowed(principal, "position", row, now);
    const position =
      mayLocate && row.courierId !== null ? await this.#positionCache.of(row.courierId) : null;
    return this.#viewAt(row, principal, position);
  }

  /** The same from what is known here already: no question is asked for the position. */
  viewNow(row: DeliveryRow, principal: Principal): DeliveryView {
    const mayLocate = allowed(principal, "position", row, this.#clock.now());
    const { courierId } = row;
    const position = mayLocate && courierId !== null ? this.#positionCache.latest(courierId) : null;
    return this.#viewAt(row, principal, position);
  }

  /**
   * When the parcel of a carried delivery arrives, by what is known here; 0 when nothing is.
   * Cheaper than a view.
   */
  arrivalNow(row: DeliveryRow): Millis {
    const { courierId } = row;
    const position = courierId === null ? null : this.#positionCache.latest(courierId);
    return this.#estimates(row, position, this.#clock.now()).arrivalAt ?? 0;
  }

  #viewAt(row: DeliveryRow, principal: Principal, position: Position | null): DeliveryView {
    const now = this.#clock.now();
    const estimates = this.#estimates(row, position, now);
    const audience = audienceOf(principal);
    const setting = audience === "operator" ? "shown" : this.#phones;
    const courierPhone = phoneSeen(row.courierPhone, setting);
    return deliveryView({ ...row, courierPhone }, audience, position, estimates, now);
  }

  #estimates(row: DeliveryRow, position: Position | null, now: Millis): CurrentEstimates {
    const underway = {
      id: row.id,
      status: row.status,
      pickup: { lng: row.pickupLng, lat: row.pickupLat },
      dropoff: { lng: row.dropoffLng, lat: row.dropoffLat },
      vehicle: row.courierVehicle ?? row.vehicle,
      readyAt: row.readyAt,
      promised: { pickupAt: row.estimatedPickupAt, arrivalAt: row.estimatedArrivalAt },
      carried: row.courierId === null ? [] : this.#forecast.carriedBy(row.courierId),
    };
    return current(this.#travel, underway, position, now);
  }
}

/**
 * A strong ETag of the content. The age of the position is left out: it changes by itself, the
 * position does not.
 */
export function etagOf(view: DeliveryView): string {
  const still =
    view.courier_location === null
      ? view
      : { ...view, courier_location: { ...view.courier_location, age_s: 0 } };
  return `"${createHash("sha1").update(JSON.stringify(still)).digest("base64url")}"`;
}

/** Whether If-None-Match names the tag (RFC 9110, 13.1.2: compared weakly). */
export function matchesEtag(header: string | undefined, etag: string): boolean {
  if (header === undefined || header === "") return false;
  if (header.trim() === "*") return true;
  return header.split(",").some((part) => part.trim().replace(/^W\//, "") === etag);
}
