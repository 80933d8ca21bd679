/**
 * Bytes to plain MessagePack values and back, and the table codec on top of it. msgpackr runs
 * without its record extension, so any MessagePack library of any language reads what we write.
 * What comes from outside passes a structural check first: size, depth, number of items, no
 * extension types, no strings longer than the buffer; a hostile header costs microseconds, not
 * gigabytes.
 */
import { Packr } from "msgpackr";
import { INVALID, packFields, unpackFields } from "./field.ts";
import type { Fields, Invalid, ValuesOf } from "./field.ts";
import { FRAME_DEPTH_MAX, FRAME_ITEMS_MAX, FRAME_MAX_BYTES } from "./limits.ts";
import { isWellFormed } from "./msgpack-check.ts";

const packr = new Packr({ useRecords: false, mapsAsObjects: true, int64AsType: "number" });

/** How much an untrusted buffer may hold. */
export type CodecBounds = {
  readonly bytesMax: number;
  readonly depthMax: number;
  readonly itemsMax: number;
};
export const FRAME_BOUNDS: CodecBounds = {
  bytesMax: FRAME_MAX_BYTES,
  depthMax: FRAME_DEPTH_MAX,
  itemsMax: FRAME_ITEMS_MAX,
};
/** Between our own processes: bigger batches, the same care. */
export const INTERNAL_BOUNDS: CodecBounds = {
  bytesMax: 1_048_576,
  depthMax: 12,
  itemsMax: 500_000,
};

/** One MessagePack value as bytes of its own. */
export const packValue = (value: unknown): Uint8Array => packr.pack(value);

/** One MessagePack value out of untrusted bytes, or INVALID. Never throws. */
export function unpackValue(bytes: Uint8Array, bounds: CodecBounds): unknown {
  if (!isWellFormed(bytes, bounds)) return INVALID;
  try {
    return packr.unpack(bytes) as unknown;
  } catch {
    // The structural check has passed it and msgpackr has not: still just a malformed frame.
    return INVALID;
  }
}

/**
 * One row of a table: its code on the wire, its fields in order, what it is for. Codes are never
 * used again.
 */
export type Row = { readonly code: number; readonly fields: Fields; readonly doc: string };
export type Table = { readonly [type: string]: Row };

/** The tagged union that a table describes: `{ type: "ping", seq: ..., ... }`. */
export type UnionOf<T extends Table> = {
  [K in keyof T & string]: { readonly type: K } & ValuesOf<T[K]["fields"]>;
}[keyof T & string];

/**
 * Encoders and decoders of one table. `toArray` / `fromArray` are for nesting inside other
 * messages.
 */
export type TableCodec<T extends Table> = {
  readonly table: T;
  readonly encode: (value: UnionOf<T>) => Uint8Array;
  readonly decode: (bytes: Uint8Array) => UnionOf<T> | null;
  readonly toArray: (value: UnionOf<T>) => unknown[];
  readonly fromArray: (raw: unknown) => UnionOf<T> | Invalid;
};

/** Builds the codec of a table. Throws when two rows share a code: a mistake in our own source. */
export function tableCodec<const T extends Table>(table: T, bounds: CodecBounds): TableCodec<T> {
  const byCode = new Map<number, { type: string; row: Row; keys: readonly string[] }>();
  const keysOf = new Map<string, readonly string[]>();
  for (const [type, row] of Object.entries(table)) {
    if (byCode.has(row.code)) throw new Error(`code ${row.code} stands twice in a wire table`);
    const keys = Object.keys(row.fields);
    byCode.set(row.code, { type, row, keys });
    keysOf.set(type, keys);
  }

  const toArray = (value: UnionOf<T>): unknown[] => {
    const row = table[value.type] as Row;
    const packed = packFields(row.fields, keysOf.get(value.type) ?? [], value);
    packed.unshift(row.code);
    return packed;
  };
  const fromArray = (raw: unknown): UnionOf<T> | Invalid => {
    if (!Array.isArray(raw)) return INVALID;
    const entry = byCode.get(raw[0] as number);
    if (entry === undefined) return INVALID;
    const values = unpackFields(entry.row.fields, entry.keys, raw, 1);
    if (values === INVALID) return INVALID;
    values["type"] = entry.type;
    return values as UnionOf<T>;
  };
  return {
    table,
    toArray,
    fromArray,
    encode: (value) => packValue(toArray(value)),
    decode: (bytes) => {
      const raw = unpackValue(bytes, bounds);
      const value = raw === INVALID ? INVALID : fromArray(raw);
      return value === INVALID ? null : value;
    },
  };
}
