/**
 * Field types of every table on the wire: how a value is packed, unpacked and checked. Unpacking
 * never throws and never trusts: what does not fit gives `INVALID`, and the whole frame is refused.
 */
import {
  CARRIER_ID_PATTERN,
  DELIVERY_ID_PATTERN,
  PRINCIPAL_ID_PATTERN,
  NAME_PATTERN,
} from "./ids.ts";
import type { CourierId, DeliveryId, NodeId, PrincipalId, SessionId } from "./ids.ts";

/** The one value that no field has. */
export const INVALID: unique symbol = Symbol("invalid");
export type Invalid = typeof INVALID;

/**
 * `name` is for the generated docs, `pack` goes to a plain MessagePack value, `unpack` back,
 * checked.
 */
export type Field<T> = {
  readonly name: string;
  readonly pack: (value: T) => unknown;
  readonly unpack: (raw: unknown) => T | Invalid;
};

export type ValueOf<F> = F extends Field<infer T> ? T : never;
/** Any field at all: what a table's rows have in common. */
export type SomeField = {
  readonly name: string;
  readonly pack: (value: never) => unknown;
  readonly unpack: (raw: unknown) => unknown;
};
export type Fields = { readonly [name: string]: SomeField };
export type ValuesOf<F extends Fields> = { readonly [K in keyof F]: ValueOf<F[K]> };

const same = <T>(value: T): T => value;

const integer = (name: string, min: number, max: number): Field<number> => ({
  name,
  pack: same,
  unpack: (raw) =>
    typeof raw === "number" && Number.isInteger(raw) && raw >= min && raw <= max ? raw : INVALID,
});

export const u8 = integer("u8", 0, 255);
export const u16 = integer("u16", 0, 65_535);
export const u32 = integer("u32", 0, 4_294_967_295);
/** A whole number that a double holds exactly; MessagePack may carry it as a float. */
export const u53 = integer("u53", 0, Number.MAX_SAFE_INTEGER);
/** Milliseconds since 1970 UTC, up to the year 2255. */
export const millis = integer("millis", 0, 9_000_000_000_000);
/** A delay or length of time in milliseconds. */
export const durationMs = integer("duration ms", 0, 2_147_483_647);

const bounded = (name: string, min: number, max: number): Field<number> => ({
  name,
  pack: same,
  unpack: (raw) =>
    typeof raw === "number" && Number.isFinite(raw) && raw >= min && raw <= max ? raw : INVALID,
});

/** Metres, 0 to 1e7. */
export const metres = bounded("metres", 0, 1e7);
/** Metres a second, 0 to 1e4. */
export const metresPerS = bounded("metres per second", 0, 1e4);
/** Clockwise from north, 0 to 360. */
export const headingDeg = bounded("degrees from north", 0, 360);
/** Seconds, 0 to 1e7. */
export const seconds = bounded("seconds", 0, 1e7);

/** Kilograms, 0 to 1e6. */
export const kilograms = bounded("kilograms", 0, 1e6);

/** Degrees travel as whole 1e-7 degrees (5 bytes, 1 cm): `max` is 90 or 180. */
const degrees = (name: string, max: number): Field<number> => ({
  name,
  pack: (value) => Math.round(value * 1e7),
  unpack: (raw) =>
    typeof raw === "number" && Number.isInteger(raw) && Math.abs(raw) <= max * 1e7
      ? raw / 1e7
      : INVALID,
});
export const lng = degrees("longitude (1e-7 degrees, whole)", 180);
export const lat = degrees("latitude (1e-7 degrees, whole)", 90);

export const bool: Field<boolean> = {
  name: "bool",
  pack: same,
  unpack: (raw) => (typeof raw === "boolean" ? raw : INVALID),
};

export const str = (maxChars: number): Field<string> => ({
  name: `string up to ${maxChars}`,
  pack: same,
  unpack: (raw) => (typeof raw === "string" && raw.length <= maxChars ? raw : INVALID),
});

const pattern = <T extends string>(name: string, regex: RegExp): Field<T> => ({
  name,
  pack: same,
  unpack: (raw) => (typeof raw === "string" && regex.test(raw) ? (raw as T) : INVALID),
});
export const deliveryId = pattern<DeliveryId>("delivery id", DELIVERY_ID_PATTERN);
export const courierId = pattern<CourierId>("courier id", CARRIER_ID_PATTERN);
export const principalId = pattern<PrincipalId>("principal id", PRINCIPAL_ID_PATTERN);
export const nodeId = pattern<NodeId>("node id", NAME_PATTERN);
export const sessionId = pattern<SessionId>("session id", NAME_PATTERN);

/** One of a closed list, sent as its text so that a capture can be read by people. */
export const oneOf = <const T extends readonly string[]>(values: T): Field<T[number]> => ({
  name: values.map((v) => `\`${v}\``).join(" or "),
  pack: same,
  unpack: (raw) => (values.includes(raw as T[number]) ? (raw as T[number]) : INVALID),
});

/** `nil` on the wire, null here; also null where an older writer did not yet know the field. */
export const maybe = <T>(inner: Field<T>): Field<T | null> => ({
  name: `${inner.name}, or nil`,
  pack: (value) => (value === null ? null : inner.pack(value)),
  unpack: (raw) => (raw === null || raw === undefined ? null : inner.unpack(raw)),
});

export const list = <T>(inner: Field<T>, maxItems: number): Field<readonly T[]> => ({
  name: `array of up to ${maxItems}: ${inner.name}`,
  pack: (values) => values.map(inner.pack),
  unpack: (raw) => {
    if (!Array.isArray(raw) || raw.length > maxItems) return INVALID;
    const values: T[] = [];
    for (const item of raw) {
      const value = inner.unpack(item);
      if (value === INVALID) return INVALID;
      values.push(value);
    }
    return values;
  },
});

/** A nested array `[field, field, ...]` in the order of the table; extra items are ignored. */
export const struct = <const F extends Fields>(name: string, fields: F): Field<ValuesOf<F>> => {
  const keys = Object.keys(fields);
  return {
    name: `${name} [${keys.join(", ")}]`,
    pack: (value) => packFields(fields, keys, value),
    unpack: (raw) => unpackFields(fields, keys, raw, 0) as ValuesOf<F> | Invalid,
  };
};

/** Packs named values into an array in the order of `keys`. */
export function packFields(
  fields: Fields,
  keys: readonly string[],
  value: Readonly<Record<string, unknown>>,
): unknown[] {
  const packed: unknown[] = [];
  for (const key of keys) packed.push((fields[key] as Field<unknown>).pack(value[key]));
  return packed;
}

/** Unpacks an array (from `offset` on) into named values, or INVALID. */
export function unpackFields(
  fields: Fields,
  keys: readonly string[],
  raw: unknown,
  offset: number,
): Record<string, unknown> | Invalid {
  if (!Array.isArray(raw)) return INVALID;
  const value: Record<string, unknown> = {};
  for (let i = 0; i < keys.length; i++) {
    const key = keys[i] as string;
    const item = (fields[key] as Field<unknown>).unpack(raw[i + offset]);
    if (item === INVALID) return INVALID;
    value[key] = item;
  }
  return value;
}

/**
 * A plain MessagePack map with text keys, for rare frames whose shape is the REST body's. Not
 * checked further.
 */
export const plainMap = <T extends object>(name: string): Field<T> => ({
  name: `map: ${name}`,
  pack: same,
  unpack: (raw) =>
    typeof raw === "object" && raw !== null && !Array.isArray(raw) ? (raw as T) : INVALID,
});
