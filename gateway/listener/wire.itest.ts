/**
 * HTTP as it really comes: in any segments, of any version, in each form that the standards allow.
 * The gateway runs in a process of its own, so that what is sent apart arrives apart.
 */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startAttacked } from "../testing/attacked.ts";
import type { Attacked } from "../testing/attacked.ts";
import { byteByByte, everyCut, wireRequests } from "../testing/wire-cuts.ts";
import type { Door, WireRequest } from "../testing/wire-cuts.ts";

let t: Attacked;
let door: Door;
let requests: readonly WireRequest[];

beforeAll(async () => {
  t = await startAttacked();
  door = { host: "127.0.0.1", port: t.port };
  const one = await t.rest.get(`/v1/deliveries/${t.delivery}`, t.tokens.customer);
  requests = wireRequests(t.tokens, t.delivery, one.headers.get("etag") ?? "");
});
afterAll(() => t?.close());

describe("a request in several segments", () => {
  it("has one right answer, wherever it is cut", async () => {
    expect(await everyCut(door, requests, { tokenStep: 16 })).toEqual([]);
  }, 180_000);

  it("has one right answer, byte by byte", async () => {
    expect(await byteByByte(door, requests)).toEqual([]);
  });
});
