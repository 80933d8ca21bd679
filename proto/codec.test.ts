/**
 * The codec at the door: what we write we read, and nothing that anybody sends can throw, hang or
 * blow up.
 */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { FRAME_BOUNDS, INTERNAL_BOUNDS, packValue, tableCodec, unpackValue } from "./codec.ts";
import type { Epoch, ShardId } from "./ids.ts";
import { INVALID, u8 } from "./field.ts";
import { clientFrames } from "./frames.ts";
import { decodeSessionPosts, encodeSessionPosts } from "./messages.ts";
import { decodeLetters, decodePosts, encodeLetters, encodePosts } from "./posts.ts";
import { isWellFormed } from "./msgpack-check.ts";
import {
  cellExamples,
  clientExamples,
  courierExamples,
  deliveryExamples,
} from "./vectors/examples.ts";
import { serverExamples } from "./vectors/examples.ts";

const bytesOf = (...bytes: number[]): Uint8Array => Uint8Array.from(bytes);

describe("the structural check", () => {
  it("takes every value that msgpackr writes", () => {
    fc.assert(
      fc.property(fc.jsonValue({ maxDepth: 4 }), (value) => {
        const bytes = packValue(value);
        expect(isWellFormed(bytes, { bytesMax: 1e6, depthMax: 8, itemsMax: 1e5 })).toBe(true);
      }),
      { seed: 1, numRuns: 300 },
    );
  });

  it("refuses headers that promise more than there is, in microseconds and without building it", () => {
    const bomb16 = new Uint8Array(16_383);
    for (let i = 0; i < bomb16.length; i += 3)
      bomb16.set([0xdc, 0xff, 0xff].slice(0, bomb16.length - i), i);
    const bomb32 = new Uint8Array(16_380);
    for (let i = 0; i < bomb32.length; i += 5)
      bomb32.set([0xdd, 0xff, 0xff, 0xff, 0xff].slice(0, bomb32.length - i), i);
    expect(unpackValue(bomb16, FRAME_BOUNDS)).toBe(INVALID);
    expect(unpackValue(bomb32, FRAME_BOUNDS)).toBe(INVALID);
    expect(unpackValue(new Uint8Array(16_000).fill(0x91), FRAME_BOUNDS)).toBe(INVALID);
  });

  it.each([
    ["nothing", bytesOf()],
    ["trailing bytes", bytesOf(0x01, 0x02)],
    ["an extension type", bytesOf(0xd4, 0x01, 0x00)],
    ["the never-used byte", bytesOf(0xc1)],
    ["a cut string", bytesOf(0xa5, 0x61)],
    ["a cut length", bytesOf(0xda, 0x00)],
  ])("refuses %s", (_name, bytes) => {
    expect(isWellFormed(bytes, FRAME_BOUNDS)).toBe(false);
  });
});

describe("a table codec", () => {
  it("never throws, whatever bytes come", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 400 }), (bytes) => {
        const frame = clientFrames.decode(bytes);
        expect(frame === null || typeof frame.type === "string").toBe(true);
      }),
      { seed: 2, numRuns: 2_000 },
    );
  });

  it("never throws, whatever well-formed value comes", () => {
    fc.assert(
      fc.property(fc.array(fc.jsonValue({ maxDepth: 3 }), { maxLength: 9 }), (value) => {
        expect(() => clientFrames.decode(packValue(value))).not.toThrow();
      }),
      { seed: 3, numRuns: 1_000 },
    );
  });

  it("reads a frame with items that a later version appended", () => {
    const frame = clientExamples[3];
    const longer = [...clientFrames.toArray(frame as never), "later"];
    expect(clientFrames.decode(packValue(longer))).toEqual(frame);
  });

  it.each([
    ["a latitude over 90", [2, 1, 1, 0, 90 * 1e7 + 1]],
    ["a fraction where whole 1e-7 degrees stand", [2, 1, 1, 0.5, 0]],
    ["text where a number stands", [2, "1", 1, 0, 0]],
    ["a sequence below zero", [2, -1, 1, 0, 0]],
    ["an unknown code", [200, 1]],
    ["a foreign id", [5, 1, "del_../../etc"]],
  ])("refuses %s", (_name, array) => {
    expect(clientFrames.decode(packValue(array))).toBeNull();
  });

  it("does not start with a code that stands twice", () => {
    const row = { code: 1, doc: "", fields: { a: u8 } };
    expect(() => tableCodec({ a: row, b: row }, FRAME_BOUNDS)).toThrow("stands twice");
  });
});

describe("batches between processes", () => {
  it("carry posts to every kind of actor and count what is malformed", () => {
    const posts = [
      { kind: "delivery" as const, id: "del_x", msg: deliveryExamples[0] as never },
      { kind: "courier" as const, id: "cur_x", msg: courierExamples[0] as never },
      { kind: "cell" as const, id: "88", msg: cellExamples[0] as never },
    ];
    expect(decodePosts(encodePosts(posts))).toEqual({ posts, refused: 0 });
    const damaged = packValue([[9, "x", [1]], [1, "del_x", [99]], "no"]);
    expect(decodePosts(damaged)).toEqual({ posts: [], refused: 3 });
    expect(decodePosts(bytesOf(0xc1))).toBeNull();
  });

  it("carry what an actor's shard was owned under, and refuse an origin that is none", () => {
    const post = { kind: "delivery" as const, id: "del_x", msg: deliveryExamples[0] as never };
    const letters = [
      { post, origin: { shard: 3 as ShardId, epoch: 7 as Epoch } },
      { post, origin: null },
    ];
    expect(decodeLetters(encodeLetters(letters))).toEqual({ letters, refused: 0 });
    const [good] = unpackValue(encodePosts([post]), INTERNAL_BOUNDS) as unknown[][];
    for (const origin of [[3], [3, 0], [-1, 7], ["3", 7], [3, 1.5]]) {
      const decoded = decodeLetters(packValue([[...good!, ...origin]]));
      expect(decoded).toEqual({ letters: [], refused: 1 });
    }
  });

  it("carry frames for sessions", () => {
    const posts = serverExamples.map((frame, i) => ({
      session: "s",
      frame,
      receivedAtUs: i,
      ordinal: 1,
      shard: 4 as ShardId,
      epoch: 9 as Epoch,
    }));
    expect(decodeSessionPosts(encodeSessionPosts(posts))).toEqual(posts);
    const [good] = unpackValue(encodeSessionPosts(posts), INTERNAL_BOUNDS) as unknown[][];
    expect(decodeSessionPosts(packValue([good!.slice(0, 4)]))).toBeNull();
    expect(decodeSessionPosts(packValue([["s", [250], 0, 0]]))).toBeNull();
    expect(decodeSessionPosts(packValue([null]))).toBeNull();
  });
});
