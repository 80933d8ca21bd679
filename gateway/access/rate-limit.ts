/**
 * Token buckets: each name may do `ratePerS` things a second, and `burst` at once after a rest. The
 * number of names is bounded; who has not been seen for longest starts anew, which can only be to
 * its favour.
 */
import { LRUCache } from "lru-cache";
import type { Millis } from "../../proto/ids.ts";

const NAMES_MAX = 100_000;
/** At once after a rest, in seconds of the rate. */
const BURST_S = 2;

/** One bucket; mutable, because there is one for each session and one for each ping. */
export type Bucket = { tokens: number; at: Millis };

export type BucketRate = { readonly ratePerS: number; readonly burst: number };

/**
 * Refused credentials from one address: guessing tracking links is pointless, and shall also be
 * slow.
 */
export const REFUSALS_RATE: BucketRate = { ratePerS: 5, burst: 50 };

/** The rate of a setting; 0 is no limit. */
export const perSecond = (ratePerS: number): BucketRate =>
  ratePerS === 0
    ? { ratePerS: Number.MAX_SAFE_INTEGER, burst: Number.MAX_SAFE_INTEGER }
    : { ratePerS, burst: ratePerS * BURST_S };

export const fullBucket = (rate: BucketRate, now: Millis): Bucket => ({
  tokens: rate.burst,
  at: now,
});

/** Takes `cost` tokens. 0 when they were there; otherwise the seconds after which they will be. */
export function take(bucket: Bucket, rate: BucketRate, now: Millis, cost = 1): number {
  // A clock that steps back gives nothing and takes nothing.
  const elapsedS = Math.max(0, now - bucket.at) / 1000;
  bucket.tokens = Math.min(rate.burst, bucket.tokens + elapsedS * rate.ratePerS);
  bucket.at = now;
  if (bucket.tokens >= cost) {
    bucket.tokens -= cost;
    return 0;
  }
  return (cost - bucket.tokens) / rate.ratePerS;
}

export class RateLimit {
  readonly #rate: BucketRate;
  readonly #buckets = new LRUCache<string, Bucket>({ max: NAMES_MAX });

  constructor(rate: BucketRate) {
    this.#rate = rate;
  }

  /** 0 when `name` may go on; otherwise seconds to wait. */
  take(name: string, now: Millis, cost = 1): number {
    return take(this.#bucketOf(name, now), this.#rate, now, cost);
  }

  /**
   * For what shows its cost only afterwards: takes a token also where there is none. Of many at
   * once that all found the last one, each is paid for.
   */
  charge(name: string, now: Millis): void {
    const bucket = this.#bucketOf(name, now);
    take(bucket, this.#rate, now, 0);
    bucket.tokens = Math.max(-this.#rate.burst, bucket.tokens - 1);
  }

  /** Whole tokens that `name` has left, and the seconds until it has all of them again. */
  left(name: string, now: Millis): { readonly tokens: number; readonly fullInS: number } {
    const bucket = this.#bucketOf(name, now);
    take(bucket, this.#rate, now, 0);
    const { burst, ratePerS } = this.#rate;
    return {
      tokens: Math.max(0, Math.floor(bucket.tokens)),
      fullInS: Math.ceil((burst - bucket.tokens) / ratePerS),
    };
  }

  get rate(): BucketRate {
    return this.#rate;
  }

  /** Seconds until `name` has a token, without taking one; 0 when it has one now. */
  wait(name: string, now: Millis): number {
    return take(this.#bucketOf(name, now), this.#rate, now, 0) || this.#missing(name);
  }

  #missing(name: string): number {
    const tokens = this.#buckets.get(name)?.tokens ?? this.#rate.burst;
    return tokens >= 1 ? 0 : (1 - tokens) / this.#rate.ratePerS;
  }

  #bucketOf(name: string, now: Millis): Bucket {
    let bucket = this.#buckets.get(name);
    if (bucket === undefined) {
      bucket = fullBucket(this.#rate, now);
      this.#buckets.set(name, bucket);
    }
    return bucket;
  }
}

export type RateHeaders = Record<string, string>;

/**
 * What the IETF's RateLimit draft lets an answer say: the quota `q` of a window of `w` seconds,
 * what remains of it, and in how many seconds it is whole again. The nearer of several limits is
 * said, which is the one asked last.
 */
export function rateHeaders(
  policy: string,
  limit: RateLimit,
  name: string,
  now: Millis,
): RateHeaders {
  const { burst, ratePerS } = limit.rate;
  if (burst === Number.MAX_SAFE_INTEGER) return {};
  const { tokens, fullInS } = limit.left(name, now);
  return {
    "ratelimit-policy": `"${policy}";q=${burst};w=${Math.ceil(burst / ratePerS)}`,
    ratelimit: `"${policy}";r=${tokens};t=${fullInS}`,
  };
}
