/**
 * Golden vectors: the bytes of one example of every frame and message, in `proto/vectors/*.json`.
 * Other SDKs test against the same files. A row without a vector, or a vector whose bytes changed,
 * is red: bytes on the wire are a promise. New rows: run with UPDATE_VECTORS=1, and read the diff.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { INTERNAL_BOUNDS, packValue, unpackValue } from "./codec.ts";
import type { Table, TableCodec } from "./codec.ts";
import { clientFrames, serverFrames } from "./frames.ts";
import { intakeMessages } from "./intake.ts";
import { decodeSessionPosts, encodeSessionPosts } from "./messages.ts";
import { streamMessages, toCell, toCourier, toDelivery } from "./messages.ts";
import { ENVELOPES, decodeLetters, encodeLetters } from "./posts.ts";
import * as examples from "./vectors/examples.ts";

type Vector = { readonly type: string; readonly value: unknown; readonly hex: string };
type Suite = { name: string; codec: TableCodec<Table>; values: readonly { type: string }[] };

const suites: readonly Suite[] = [
  { name: "client-frames", codec: clientFrames as never, values: examples.clientExamples },
  { name: "server-frames", codec: serverFrames as never, values: examples.serverExamples },
  { name: "to-delivery", codec: toDelivery as never, values: examples.deliveryExamples },
  { name: "to-courier", codec: toCourier as never, values: examples.courierExamples },
  { name: "to-cell", codec: toCell as never, values: examples.cellExamples },
  { name: "streams", codec: streamMessages as never, values: examples.streamExamples },
  { name: "intake", codec: intakeMessages as never, values: examples.intakeExamples },
];

const hexOf = (codec: TableCodec<Table>, value: { type: string }): string =>
  Buffer.from(codec.encode(value as never)).toString("hex");

describe.each(suites)("vectors of $name", ({ name, codec, values }) => {
  const file = new URL(`./vectors/${name}.json`, import.meta.url);
  if (process.env["UPDATE_VECTORS"] === "1") {
    const vectors = values.map((value) => ({ type: value.type, value, hex: hexOf(codec, value) }));
    writeFileSync(file, `${JSON.stringify(vectors, null, 2)}\n`);
  }
  const vectors = JSON.parse(readFileSync(file, "utf8")) as Vector[];

  it("has one for every row of its table", () => {
    const types = new Set(vectors.map((vector) => vector.type));
    expect([...types].sort()).toEqual(Object.keys(codec.table).sort());
    expect(vectors.map((v) => v.value)).toEqual(values);
  });

  it.each(vectors)("$type is encoded to the recorded bytes and read back", (vector) => {
    expect(hexOf(codec, vector.value as { type: string })).toBe(vector.hex);
    expect(codec.decode(Buffer.from(vector.hex, "hex"))).toEqual(vector.value);
  });
});

type Envelope = {
  readonly name: string;
  readonly width: number;
  readonly values: readonly unknown[];
  readonly encode: (values: readonly never[]) => Uint8Array;
  readonly decode: (bytes: Uint8Array) => unknown;
};
/** What is packed by hand has one vector each: a batch, with an item of every kind. */
const envelopes: readonly Envelope[] = [
  {
    name: "letters",
    width: ENVELOPES.letters.fields.length,
    values: examples.letterExamples,
    encode: encodeLetters,
    decode: (bytes) => decodeLetters(bytes)?.letters,
  },
  {
    name: "session-posts",
    width: ENVELOPES.sessionPosts.fields.length,
    values: examples.sessionPostExamples,
    encode: encodeSessionPosts,
    decode: decodeSessionPosts,
  },
];

describe.each(envelopes)("the vector of $name", ({ name, width, values, encode, decode }) => {
  const file = new URL(`./vectors/${name}.json`, import.meta.url);
  const hexOfAll = (batch: readonly unknown[]): string =>
    Buffer.from(encode(batch as readonly never[])).toString("hex");
  if (process.env["UPDATE_VECTORS"] === "1") {
    const vector = { value: values, hex: hexOfAll(values) };
    writeFileSync(file, `${JSON.stringify(vector, null, 2)}\n`);
  }
  const vector = JSON.parse(readFileSync(file, "utf8")) as { value: unknown[]; hex: string };
  const bytes = Buffer.from(vector.hex, "hex");

  it("is encoded to the recorded bytes and read back", () => {
    expect(vector.value).toEqual(values);
    expect(hexOfAll(vector.value)).toBe(vector.hex);
    expect(decode(bytes)).toEqual(vector.value);
  });

  it("has as many fields as the page says, and a reader ignores those of a later release", () => {
    const items = unpackValue(bytes, INTERNAL_BOUNDS) as unknown[][];
    expect(Math.max(...items.map((item) => item.length))).toBe(width);
    const later = items.map((item) => (item.length === width ? [...item, "later"] : item));
    expect(decode(packValue(later))).toEqual(vector.value);
  });
});
