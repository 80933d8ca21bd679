/**
 * Messages with their receivers on their way between processes: what a gateway or a node sends to
 * the owner of a shard. A message of an actor carries under which ownership it was sent, so that
 * the word of an owner whose time is over counts no more (D8).
 */
import { INTERNAL_BOUNDS, packValue, unpackValue } from "./codec.ts";
import { INVALID } from "./field.ts";
import type { Epoch, ShardId } from "./ids.ts";
import { toCell, toCourier, toDelivery } from "./messages.ts";
import type { ToCell, ToCourier, ToDelivery } from "./messages.ts";

/** Which actor: its kind and id. One letter on the wire. */
export type ActorKey =
  | { readonly kind: "delivery"; readonly id: string }
  | { readonly kind: "courier"; readonly id: string }
  | { readonly kind: "cell"; readonly id: string };
export type Kind = ActorKey["kind"];

/**
 * Under which ownership something was sent: receivers drop what is older than the newest epoch they
 * know of.
 */
export type Origin = { readonly shard: ShardId; readonly epoch: Epoch };

/** A message with its receiver. */
export type Posted =
  | { readonly kind: "delivery"; readonly id: string; readonly msg: ToDelivery }
  | { readonly kind: "courier"; readonly id: string; readonly msg: ToCourier }
  | { readonly kind: "cell"; readonly id: string; readonly msg: ToCell };

const KIND_CODES: Readonly<Record<Kind, number>> = { delivery: 1, courier: 2, cell: 3 };

const kinds = Object.entries(KIND_CODES).map(([kind, code]) => `${code} ${kind}`);

/**
 * What is packed by hand, because it nests a message of another table: arrays of items, with these
 * fields in order. Two releases side by side read each other's, so they grow like a row: at the
 * end, and never differently.
 */
export const ENVELOPES = {
  posts: {
    doc: "A gateway to the owner of a shard: messages with their receivers.",
    fields: [
      `\`kind\`: ${kinds.join(", ")}`,
      "`id`: of the receiver",
      "`message`: an array of its table",
    ],
  },
  letters: {
    doc: "An actor to the owner of a shard: the same, and under which ownership it was said. What a gateway says has the first three fields alone.",
    fields: [
      "`kind`",
      "`id`",
      "`message`",
      "`shard`: u16, the sender's",
      "`epoch`: u53, the sender's",
    ],
  },
  sessionPosts: {
    doc: "The owner of a courier shard to a gateway: frames for its sessions. `receivedAtUs` and `ordinal` are set on offers, else 0.",
    fields: [
      "`session`: session id",
      "`frame`: an array of the table from the server",
      "`receivedAtUs`: when the create arrived, microseconds",
      "`ordinal`: which offer of the delivery it is, from 1",
      "`shard`: u16",
      "`epoch`: u53",
    ],
  },
} as const;

/** A message on its way between nodes; without an origin it comes from a gateway. */
export type Letter = { readonly post: Posted; readonly origin: Origin | null };

/** Packs messages of a gateway for one shard: `[[kind, id, message], ...]`. */
export const encodePosts = (posts: readonly Posted[]): Uint8Array =>
  packValue(posts.map(postArray));

/** Packs messages of actors: `[[kind, id, message, origin's shard, origin's epoch], ...]`. */
export const encodeLetters = (letters: readonly Letter[]): Uint8Array =>
  packValue(
    letters.map(({ post, origin }) =>
      origin === null ? postArray(post) : [...postArray(post), origin.shard, origin.epoch],
    ),
  );

function postArray(post: Posted): unknown[] {
  if (post.kind === "delivery") return [KIND_CODES.delivery, post.id, toDelivery.toArray(post.msg)];
  if (post.kind === "courier") return [KIND_CODES.courier, post.id, toCourier.toArray(post.msg)];
  return [KIND_CODES.cell, post.id, toCell.toArray(post.msg)];
}

/**
 * Unpacks what was packed by one of the two; null when the whole is malformed. Single bad messages
 * count in `refused`.
 */
export function decodeLetters(bytes: Uint8Array): { letters: Letter[]; refused: number } | null {
  const raw = unpackValue(bytes, INTERNAL_BOUNDS);
  if (raw === INVALID || !Array.isArray(raw)) return null;
  const letters: Letter[] = [];
  let refused = 0;
  for (const item of raw) {
    const post = decodePost(item);
    const origin = decodeOrigin(item);
    if (post === null || origin === undefined) refused++;
    else letters.push({ post, origin });
  }
  return { letters, refused };
}

/** The messages alone. */
export function decodePosts(bytes: Uint8Array): { posts: Posted[]; refused: number } | null {
  const decoded = decodeLetters(bytes);
  if (decoded === null) return null;
  return { posts: decoded.letters.map(({ post }) => post), refused: decoded.refused };
}

/** Undefined when it is malformed. */
function decodeOrigin(item: unknown): Origin | null | undefined {
  if (!Array.isArray(item) || item.length <= 3) return null;
  const shard: unknown = item[3];
  const epoch: unknown = item[4];
  if (!Number.isSafeInteger(shard) || !Number.isSafeInteger(epoch)) return undefined;
  if ((shard as number) < 0 || (epoch as number) < 1) return undefined;
  return { shard: shard as ShardId, epoch: epoch as Epoch };
}

function decodePost(item: unknown): Posted | null {
  if (!Array.isArray(item) || typeof item[1] !== "string") return null;
  const id = item[1];
  if (item[0] === KIND_CODES.delivery) {
    const msg = toDelivery.fromArray(item[2]);
    return msg === INVALID ? null : { kind: "delivery", id, msg };
  }
  if (item[0] === KIND_CODES.courier) {
    const msg = toCourier.fromArray(item[2]);
    return msg === INVALID ? null : { kind: "courier", id, msg };
  }
  if (item[0] !== KIND_CODES.cell) return null;
  const msg = toCell.fromArray(item[2]);
  return msg === INVALID ? null : { kind: "cell", id, msg };
}
