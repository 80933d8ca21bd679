/**
 * The REST calls, typed. One method per call, no state but the token, no retries: `retry.ts` does
 * those. Every failure is a DispatchError: the server's own code from its problem details (RFC
 * 9457), or `unavailable` when no answer came.
 */
import { DispatchError, ERRORS } from "../proto/errors.ts";
import type { ErrorCode, FieldError } from "../proto/errors.ts";
import type { ReportedStatus } from "../proto/frames.ts";
import type { PackageSize, Vehicle } from "../proto/geo.ts";
import type { Status } from "../proto/status.ts";
import type { TestScenario } from "../proto/test-mode.ts";
import type { AvailableView, CourierView, DeliveryView, LedgerEntry } from "../proto/views.ts";
import { systemClock } from "./clock.ts";
import type { Clock } from "./clock.ts";
import type { GetToken } from "./session.ts";

export type Point = { readonly lat: number; readonly lng: number };

/** A new delivery. Each stop is an address, a point, or both (the point wins). */
export type NewDelivery = {
  readonly origin_address?: string;
  readonly origin?: Point;
  readonly destination_address?: string;
  readonly destination?: Point;
  readonly package_size: PackageSize;
  readonly phone: string;
  readonly weight_kg?: number;
  readonly recipient_phone?: string;
  readonly external_id?: string;
  /** RFC 3339. */
  readonly ready_at?: string;
  readonly notes?: string;
  readonly vehicle?: Vehicle;
  /** A robot carries it, and no courier or customer hears of it. */
  readonly test?: boolean;
  readonly test_scenario?: TestScenario;
};
export type CreatedDelivery = {
  readonly delivery_id: string;
  readonly status: "pending";
  readonly estimated_pickup_time: string;
  readonly estimated_arrival: string;
  readonly tracking_url: string;
};
export type CourierProfile = {
  readonly name: string;
  readonly phone: string;
  readonly vehicle: Vehicle;
  readonly capacity: number;
};
export type DeliveryPage = {
  readonly deliveries: readonly DeliveryView[];
  readonly next_cursor: string | null;
};

export type RestOptions = {
  readonly url: string;
  readonly getToken: GetToken;
  readonly fetch?: typeof globalThis.fetch | undefined;
  readonly clock?: Clock | undefined;
  readonly timeoutMs?: number | undefined;
};
type Ask = {
  readonly body?: unknown;
  readonly key?: string;
  readonly etag?: string | null;
  readonly query?: Readonly<Record<string, string | number | undefined>>;
};
export type Answer<T> = {
  readonly status: number;
  readonly etag: string | null;
  /** True when an earlier request with the same key had done it. */
  readonly replayed: boolean;
  /** Null with 204 and 304. */
  readonly body: T | null;
};

const TIMEOUT_MS = 10_000;

/** A fresh Idempotency-Key: 128 random bits. */
export function newKey(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

export class RestClient {
  readonly #options: RestOptions;
  readonly #clock: Clock;
  #token: string | null = null;

  constructor(options: RestOptions) {
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
  }

  async createDelivery(input: NewDelivery, key: string): Promise<Answer<CreatedDelivery>> {
    return this.#call("POST", "/deliveries", { body: input, key });
  }
  /** `etag`: of the last answer; the body is null when nothing has changed since. */
  async delivery(id: string, etag: string | null = null): Promise<Answer<DeliveryView>> {
    return this.#call("GET", `/deliveries/${part(id)}`, { etag });
  }
  async deliveries(
    query: { status?: Status; cursor?: string; limit?: number } = {},
  ): Promise<DeliveryPage> {
    return bodyOf(await this.#call<DeliveryPage>("GET", "/deliveries", { query }));
  }
  async cancel(id: string, key: string): Promise<void> {
    await this.#call("POST", `/deliveries/${part(id)}/cancel`, { body: {}, key });
  }

  async available(near: Point): Promise<readonly AvailableView[]> {
    const query = { lat: near.lat, lng: near.lng };
    const answer = await this.#call<{ deliveries: readonly AvailableView[] }>(
      "GET",
      "/deliveries/available",
      { query },
    );
    return bodyOf(answer).deliveries;
  }
  async accept(id: string, key: string): Promise<{ accepted: true; assigned_at: string }> {
    return bodyOf(await this.#call("POST", `/deliveries/${part(id)}/accept`, { body: {}, key }));
  }
  async decline(id: string, key: string, reason: string | null): Promise<void> {
    const body = reason === null ? {} : { reason };
    await this.#call("POST", `/deliveries/${part(id)}/decline`, { body, key });
  }
  /** `timestamp`: RFC 3339, the phone's own time, kept as a claim. */
  async reportStatus(
    id: string,
    report: { status: ReportedStatus; timestamp?: string; reason?: string },
    key: string,
  ): Promise<void> {
    await this.#call("POST", `/deliveries/${part(id)}/status`, { body: report, key });
  }
  async shift(online: boolean, key: string): Promise<void> {
    await this.#call("POST", "/couriers/me/shift", { body: { online }, key });
  }
  async location(
    ping: Point & { seq?: number; timestamp?: string; accuracy_m?: number },
    key: string,
  ): Promise<void> {
    await this.#call("POST", "/couriers/me/location", { body: ping, key });
  }

  async putCourier(id: string, profile: CourierProfile): Promise<void> {
    await this.#call("PUT", `/couriers/${part(id)}`, { body: profile });
  }
  async couriers(): Promise<readonly CourierView[]> {
    const answer = await this.#call<{ couriers: readonly CourierView[] }>("GET", "/couriers", {});
    return bodyOf(answer).couriers;
  }
  async ledger(id: string): Promise<readonly LedgerEntry[]> {
    const path = `/deliveries/${part(id)}/ledger`;
    const answer = await this.#call<{ entries: readonly LedgerEntry[] }>("GET", path, {});
    return bodyOf(answer).entries;
  }

  async #call<T>(method: string, path: string, ask: Ask): Promise<Answer<T>> {
    const had = this.#token !== null;
    try {
      return await this.#once<T>(method, path, ask);
    } catch (error) {
      const stale = error instanceof DispatchError && ERRORS[error.code].status === 401;
      if (!stale || !had) throw error;
      // The kept token has run out: once more with a new one.
      this.#token = null;
      return this.#once<T>(method, path, ask);
    }
  }

  async #once<T>(method: string, path: string, ask: Ask): Promise<Answer<T>> {
    this.#token ??= await this.#options.getToken();
    const headers: Record<string, string> = { authorization: `Bearer ${this.#token}` };
    if (ask.body !== undefined) headers["content-type"] = "application/json";
    if (ask.key !== undefined) headers["idempotency-key"] = ask.key;
    if (ask.etag) headers["if-none-match"] = ask.etag;
    const abort = new AbortController();
    const timer = this.#clock.setTimer(() => abort.abort(), this.#options.timeoutMs ?? TIMEOUT_MS);
    try {
      const response = await this.#fetch(`${this.#options.url}/v1${path}${queryText(ask.query)}`, {
        method,
        headers,
        signal: abort.signal,
        ...(ask.body === undefined ? {} : { body: JSON.stringify(ask.body) }),
      });
      const text = await response.text();
      if (!response.ok && response.status !== 304) throw problem(response, text);
      return {
        status: response.status,
        etag: response.headers.get("etag"),
        replayed: response.headers.get("idempotent-replayed") === "true",
        body: text === "" ? null : (JSON.parse(text) as T),
      };
    } catch (error) {
      if (error instanceof DispatchError) throw error;
      throw new DispatchError("unavailable", "No answer came.", { cause: error });
    } finally {
      this.#clock.clearTimer(timer);
    }
  }

  #fetch(url: string, init: RequestInit): Promise<Response> {
    // Called through `globalThis` each time: browsers refuse a detached `fetch`.
    const { fetch } = this.#options;
    return fetch === undefined ? globalThis.fetch(url, init) : fetch(url, init);
  }
}

const part = (id: string): string => encodeURIComponent(id);

function bodyOf<T>(answer: Answer<T>): T {
  if (answer.body === null) throw new DispatchError("internal", "The answer has no body.");
  return answer.body;
}

function queryText(query: Ask["query"]): string {
  const pairs = new URLSearchParams();
  for (const [key, value] of Object.entries(query ?? {})) {
    if (value !== undefined) pairs.set(key, String(value));
  }
  return pairs.size === 0 ? "" : `?${pairs.toString()}`;
}

/**
 * The DispatchError of a refusal; an answer that is none of ours (a proxy's page) goes by its
 * status.
 */
function problem(response: Response, text: string): DispatchError {
  let body: { code?: unknown; detail?: unknown; errors?: unknown } = {};
  try {
    body = JSON.parse(text) as typeof body;
  } catch {
    // Not ours: the status has to do.
  }
  const known = typeof body.code === "string" && Object.hasOwn(ERRORS, body.code);
  const code = known ? (body.code as ErrorCode) : codeOfStatus(response.status);
  const detail = typeof body.detail === "string" ? body.detail : `HTTP ${response.status}`;
  const after = Number(response.headers.get("retry-after") ?? Number.NaN);
  return new DispatchError(code, detail, {
    errors: Array.isArray(body.errors) ? (body.errors as FieldError[]) : [],
    ...(Number.isFinite(after) ? { retryAfterS: after } : {}),
  });
}

function codeOfStatus(status: number): ErrorCode {
  if (status === 401) return "unauthorized";
  if (status === 403) return "forbidden";
  if (status === 404) return "not_found";
  if (status === 429) return "rate_limited";
  if (status >= 500) return status === 500 ? "internal" : "unavailable";
  return "bad_request";
}
