/**
 * Branded ids and numbers. An id is made in one place (`engine/ids.ts` for deliveries, the operator
 * for couriers, the token for principals) and checked at every door by the patterns below.
 * All of them are safe as one NATS subject token: no dot, no star, no greater-than, no space.
 */

declare const brand: unique symbol;
type Branded<T, Name extends string> = T & { readonly [brand]: Name };

/**
 * `del_` (`tst_`: a test) + shard as 3 hex digits + 20 characters of time and randomness. Routing
 * reads the shard off it.
 */
export type DeliveryId = Branded<string, "DeliveryId">;
/**
 * `cur_` + what the operator chose; the robots of test mode have `bot_`, and come in by no door.
 */
export type CourierId = Branded<string, "CourierId">;
/** Subject of a token: a customer, partner or operator. It owns the deliveries that it created. */
export type PrincipalId = Branded<string, "PrincipalId">;
/** An H3 cell index as its hexadecimal string. */
export type CellId = Branded<string, "CellId">;
/** 0 to SHARDS_MAX - 1. */
export type ShardId = Branded<number, "ShardId">;
/** Rises by one with each owner of a shard; fences the decisions of the owner before. */
export type Epoch = Branded<number, "Epoch">;
/** One run of a node or gateway process: a fresh random name at each start. */
export type NodeId = Branded<string, "NodeId">;
/** One client connection, made by the gateway that holds it. */
export type SessionId = Branded<string, "SessionId">;
/** Milliseconds since 1970-01-01 UTC. */
export type Millis = number;

export const DELIVERY_ID_PATTERN = /^(?:del|tst)_[0-9a-f]{3}[0-9a-z]{20}$/;
/** Of people. */
export const COURIER_ID_PATTERN = /^cur_[A-Za-z0-9_-]{1,40}$/;
/** Of everybody who carries: people, and the robots of test mode. */
export const CARRIER_ID_PATTERN = /^(?:cur_[A-Za-z0-9_-]{1,40}|bot_[0-9a-f]{3}[0-9a-z]{20}_[1-9])$/;
export const PRINCIPAL_ID_PATTERN = /^[A-Za-z0-9_-]{1,64}$/;
/** Names of nodes and sessions: our own, short, random. */
export const NAME_PATTERN = /^[A-Za-z0-9_-]{1,64}$/;

export const isDeliveryId = (text: string): text is DeliveryId => DELIVERY_ID_PATTERN.test(text);
export const isCourierId = (text: string): text is CourierId => COURIER_ID_PATTERN.test(text);
export const isCarrierId = (text: string): text is CourierId => CARRIER_ID_PATTERN.test(text);
export const isPrincipalId = (text: string): text is PrincipalId => PRINCIPAL_ID_PATTERN.test(text);

/** The shard that a delivery id carries. The id must have passed `isDeliveryId`. */
export const shardOfDelivery = (id: DeliveryId): ShardId =>
  Number.parseInt(id.slice(4, 7), 16) as ShardId;

/** Who calls: the role and subject of a verified token. */
export const ROLES = ["customer", "courier", "partner", "operator", "tracking"] as const;
export type Role = (typeof ROLES)[number];
