/**
 * Makes ids. A delivery id carries its shard, so that routing needs no lookup, and its time, so
 * that the database's index grows at one end; the random tail makes it unguessable enough not to
 * collide. It is no secret: tracking links have their own.
 */
import type { DeliveryId, Millis, NodeId, SessionId, ShardId } from "../proto/ids.ts";
import { SHARDS_MAX } from "../proto/limits.ts";
import { TEST_DELIVERY_PREFIX, TEST_SCENARIOS } from "../proto/test-mode.ts";
import type { TestScenario } from "../proto/test-mode.ts";
import { systemRandom } from "./io/random.ts";
import type { Random } from "./io/random.ts";

/** Crockford's base 32 in small letters: no i, l, o, u. */
const BASE32 = "0123456789abcdefghjkmnpqrstvwxyz";
const TIME_CHARS = 10;
const RANDOM_CHARS = 10;
const NAME_CHARS = 12;

/**
 * `del_`, the shard as 3 hex digits, 10 characters of time, 10 of randomness (50 bits). `test`: the
 * scenario of a test.
 */
export function newDeliveryId(
  shard: ShardId,
  now: Millis,
  random: Random = systemRandom,
  test: TestScenario | null = null,
): DeliveryId {
  return idOf(shard, timePart(now) + randomPart(RANDOM_CHARS, random), test);
}

/**
 * The scenario's letter stands where the time has its first character, a zero for the next thousand
 * years.
 */
function idOf(shard: ShardId, tail: string, test: TestScenario | null): DeliveryId {
  if (!Number.isInteger(shard) || shard < 0 || shard >= SHARDS_MAX) {
    throw new Error(`shard ${shard} has no place in a delivery id`);
  }
  const at = shard.toString(16).padStart(3, "0");
  if (test === null) return `del_${at}${tail}` as DeliveryId;
  return `${TEST_DELIVERY_PREFIX}${at}${TEST_SCENARIOS[test]}${tail.slice(1)}` as DeliveryId;
}

/**
 * The id of a create that has an idempotency key: its tail is made of `digest` (at least 20 bytes
 * of a keyed hash of the key), so that every attempt has the same id wherever and whenever it is
 * made. It carries no time.
 */
export function keyedDeliveryId(
  shard: ShardId,
  digest: Uint8Array,
  test: TestScenario | null = null,
): DeliveryId {
  if (digest.length < TIME_CHARS + RANDOM_CHARS) throw new Error("the digest is too short");
  return idOf(shard, base32(digest.subarray(0, TIME_CHARS + RANDOM_CHARS)), test);
}

/** A fresh name for one run of a node or gateway. */
export const newNodeId = (role: "node" | "gw", random: Random = systemRandom): NodeId =>
  `${role}_${randomPart(NAME_CHARS, random)}` as NodeId;

/** A name for one client connection. */
export const newSessionId = (random: Random = systemRandom): SessionId =>
  `s_${randomPart(NAME_CHARS, random)}` as SessionId;

function timePart(now: Millis): string {
  let text = "";
  let rest = now;
  for (let i = 0; i < TIME_CHARS; i++) {
    text = BASE32[rest % 32]! + text;
    rest = Math.floor(rest / 32);
  }
  return text;
}

const randomPart = (chars: number, random: Random): string => base32(random(chars));

/**
 * A byte has 8 bits and a character 5: the lower five of each byte, so all characters are equally
 * likely.
 */
function base32(bytes: Uint8Array): string {
  let text = "";
  for (const byte of bytes) text += BASE32[byte & 31]!;
  return text;
}
