/**
 * Golden vectors: the bytes of one example of every frame and message, in `proto/vectors/*.json`. Other SDKs
 * test against the same files. A row without a vector, or a vector whose bytes changed, is red: bytes on the wire
 * are a promise. New rows: run with UPDATE_VECTORS=1, and read the diff.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import type { Table, TableCodec } from "./codec.ts";
import { clientFrames, serverFrames } from "./frames.ts";
import { intakeMessages } from "./intake.ts";
import { streamMessages, toCell, toCourier, toDelivery } from "./messages.ts";
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
