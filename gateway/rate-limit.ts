/**
 * Token buckets: each name may do `ratePerS` things a second, and `burst` at once after a rest. The number of names
 * is bounded; who has not been seen for longest starts anew, which can only be to its favour.
 */
import { LRUCache } from "lru-cache";
import type { Millis } from "../proto/ids.ts";

/** Requests of one principal over REST. Generous: it is there to stop a loop, not a customer. */
export const REQUESTS_PER_PRINCIPAL_PER_S = 1_000;
export const REQUESTS_BURST = 2_000;
/** Refused credentials from one address: guessing tracking links is pointless, and shall also be slow. */
export const REFUSALS_PER_ADDRESS_PER_S = 5;
export const REFUSALS_BURST = 50;
const NAMES_MAX = 100_000;

/** One bucket; mutable, because there is one for each session and one for each ping. */
export type Bucket = { tokens: number; at: Millis };

export type BucketRate = { readonly ratePerS: number; readonly burst: number };

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
