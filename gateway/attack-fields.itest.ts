/**
 * Attacks and bad inputs: whatever arrives at the door, the answer is a problem with a code or a coded close, the
 * database is as before, the process lives on. Bodies and queries are broken field by field, in the shapes that the
 * schemas themselves describe, so that a new field is attacked from the day it exists.
 */
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { z } from "zod";
import * as schemas from "./schemas.ts";
import { BODY, HERE, startTestGateway, tokenOf } from "./testing/gateway.ts";
import type { TestGateway } from "./testing/gateway.ts";

let t: TestGateway;
let tokens: Record<"customer" | "courier" | "operator", string>;
let delivery: string;

beforeAll(async () => {
  t = await startTestGateway();
  tokens = {
    customer: await tokenOf("customer", "cus_1"),
    courier: await tokenOf("courier", "cur_1"),
    operator: await tokenOf("operator", "ops_1"),
  };
  delivery = (await t.rest.post("/v1/deliveries", tokens.customer, BODY)).body.delivery_id;
});
afterAll(() => t.close());

/** What a refused request must not have changed. */
async function rows(): Promise<unknown> {
  const query = { owner: null, courier: null, status: null, before: null, limit: 100 };
  const deliveries = await t.store.deliveries(query);
  const couriers = await t.store.couriers();
  return { deliveries, couriers, outbox: await t.store.outboxBatch(500) };
}

/** The process still serves, and serves right. */
async function isAlive(): Promise<boolean> {
  const answer = await t.rest.get(`/v1/deliveries/${delivery}`, tokens.customer);
  return answer.status === 200;
}

const NUL = "a\0b";
const LONE = "\ud800";
/** Values that fit no field at all, as JSON texts: some cannot be written by JSON.stringify. */
const ALIENS: readonly string[] = [
  "null",
  "[]",
  "{}",
  "[[[[[[[[]]]]]]]]",
  '{"__proto__":{"x":1}}',
  '{"constructor":{"prototype":{"x":1}}}',
  "1e400",
  "-1e400",
  JSON.stringify(NUL),
  '"\\ud800"',
  JSON.stringify("x".repeat(5_000)),
];
type Json = Record<string, any>;

/** JSON texts that the field's own description excludes. */
function misfits(schema: Json): readonly string[] {
  const found = [...ALIENS];
  if (schema["type"] !== "boolean") found.push("true");
  if (schema["type"] !== "string") found.push('"37.7"', '"true"', '""');
  if (schema["type"] === "string") found.push("0", "12345");
  if (schema["enum"] !== undefined) found.push('"SMALL"', '"small "', '"nonsense"');
  if (schema["type"] === "integer") found.push("1.5", "9007199254740993");
  const { minimum, maximum, exclusiveMinimum, maxLength } = schema;
  if (minimum !== undefined) found.push(String(minimum - 1));
  if (exclusiveMinimum !== undefined) found.push(String(exclusiveMinimum));
  if (maximum !== undefined) found.push(String(maximum + 1));
  if (maxLength !== undefined) found.push(JSON.stringify("1".repeat(maxLength + 1)));
  return found;
}

/** Pointer and description of each field, nested ones too. */
function fieldsOf(schema: Json, above = ""): [pointer: string, schema: Json][] {
  return Object.entries((schema["properties"] ?? {}) as Json).flatMap(([name, field]) => [
    [`${above}/${name}`, field] as [string, Json],
    ...fieldsOf(field, `${above}/${name}`),
  ]);
}

/** The JSON text of `valid` with the field at `pointer` replaced by a raw text. */
function withRaw(valid: Json, pointer: string, raw: string): string {
  const copy = structuredClone(valid);
  const path = pointer.slice(1).split("/");
  let at = copy;
  for (const name of path.slice(0, -1)) at = at[name] ??= {};
  at[path.at(-1) as string] = "@@HERE@@";
  return JSON.stringify(copy).replace('"@@HERE@@"', () => raw);
}

const LOCATION = { ...HERE, accuracy_m: 5, timestamp: "2026-05-03T14:15:00Z", seq: 1 };
const COURIER = { name: "A", phone: "+1-555-0101", vehicle: "bike", capacity: 2 };
const BODIES: readonly [string, string, keyof typeof tokens, z.ZodType, Json][] = [
  ["POST", "/v1/deliveries", "customer", schemas.createBody, BODY],
  ["POST", "/v1/deliveries/@/accept", "courier", schemas.acceptBody, { courier_id: "cur_1" }],
  ["POST", "/v1/deliveries/@/decline", "courier", schemas.declineBody, { reason: "far" }],
  ["POST", "/v1/deliveries/@/status", "courier", schemas.statusBody, { status: "picked_up" }],
  ["POST", "/v1/deliveries/@/cancel", "customer", schemas.cancelBody, { reason: "late" }],
  ["PUT", "/v1/couriers/cur_1", "operator", schemas.courierBody, COURIER],
  ["POST", "/v1/couriers/me/shift", "courier", schemas.shiftBody, { online: true }],
  ["POST", "/v1/couriers/me/location", "courier", schemas.locationBody, LOCATION],
];

describe("broken bodies", () => {
  for (const [method, path, role, schema, valid] of BODIES) {
    it(`${method} ${path}: every field, wrong in every way, is a problem at its pointer`, async () => {
      const before = await rows();
      const described = z.toJSONSchema(schema, { unrepresentable: "any", io: "input" }) as Json;
      const fields = fieldsOf(described);
      expect(fields.length).toBeGreaterThan(0);
      for (const [pointer, field] of fields) {
        for (const raw of misfits(field)) {
          const text = withRaw(valid, pointer, raw);
          // A misfit of one rule may fit by chance ("12345" is a name); an alien fits nowhere.
          if (!ALIENS.includes(raw) && schema.safeParse(JSON.parse(text)).success) continue;
          const url = path.replace("@", delivery);
          const answer = await t.rest.ask(method, url, tokens[role], text, {});
          const what = `${pointer} = ${raw.slice(0, 60)}: ${answer.status} ${answer.text}`;
          expect(answer.status, what).toBe(422);
          expect(["invalid_field", "unknown_field"], what).toContain(answer.body.code);
          const pointers = answer.body.errors.map((e: { pointer: string }) => e.pointer);
          expect(
            pointers.some((p: string) => p.startsWith(pointer)),
            what,
          ).toBe(true);
        }
      }
      expect(await rows()).toEqual(before);
    });
  }

  it("anything at all as a body of any route is a 4xx problem with a code", async () => {
    const before = await rows();
    const anything = fc.oneof(
      fc.json({ maxDepth: 4 }),
      fc.string({ unit: "binary", maxLength: 200 }),
      fc.uint8Array({ maxLength: 200 }),
      fc.constantFrom("[".repeat(60_000), '{"a":'.repeat(10_000), `{"notes":${"[".repeat(30_000)}`),
    );
    await fc.assert(
      fc.asyncProperty(fc.constantFrom(...BODIES), anything, async (row, body) => {
        const [method, path, role, schema] = row;
        fc.pre(typeof body !== "string" || !fitsAnyway(schema, body));
        fc.pre(body.length > 0);
        const url = path.replace("@", delivery);
        const answer = await t.rest.ask(method, url, tokens[role], body, {});
        expect(answer.status, answer.text).toBeGreaterThanOrEqual(400);
        expect(answer.status, answer.text).toBeLessThan(500);
        expect(typeof answer.body?.code).toBe("string");
      }),
      { numRuns: 300, seed: 1 },
    );
    expect(await rows()).toEqual(before);
    expect(await isAlive()).toBe(true);
  });
});

function fitsAnyway(schema: z.ZodType, text: string): boolean {
  try {
    return schema.safeParse(JSON.parse(text)).success;
  } catch {
    return false;
  }
}

describe("broken queries", () => {
  const CASES: readonly [string, keyof typeof tokens, Json, readonly string[]][] = [
    ["/v1/deliveries", "customer", {}, ["status", "cursor", "limit"]],
    [
      "/v1/deliveries/available",
      "courier",
      { lat: "37.7", lng: "-122.4" },
      ["lat", "lng", "courier_id"],
    ],
  ];
  it("are a problem at their parameter, whatever they hold", async () => {
    const value: fc.Arbitrary<string> = fc.oneof(
      fc.string({ unit: "binary", maxLength: 100 }),
      fc.constantFrom(
        "",
        "NaN",
        "Infinity",
        "1e9",
        "0x10",
        "--1",
        "1;drop table deliveries",
        "' or 1=1--",
        NUL,
        LONE,
        "９",
      ),
    );
    await fc.assert(
      fc.asyncProperty(fc.constantFrom(...CASES), fc.nat(), value, async (row, pick, text) => {
        const [path, role, valid, names] = row;
        const name = names[pick % names.length] as string;
        const query = new URLSearchParams({ ...valid, [name]: text });
        const answer = await t.rest.get(`${path}?${query.toString()}`, tokens[role]);
        if (answer.status === 200) return; // A number by chance.
        expect([422, 403], answer.text).toContain(answer.status);
        expect(answer.body.errors[0].pointer).toBe(`/${name}`);
      }),
      { numRuns: 200, seed: 1 },
    );
  });
});

describe("afterwards", () => {
  it("nothing was a bug: the log has no error, and no personal data", () => {
    expect(t.logLines.filter((line) => /"level":"(error|fatal)"/.test(line))).toEqual([]);
    expect(t.logLines.join("\n")).not.toMatch(/\+1-|Bearer|Market/);
    expect(({} as Json)["x"]).toBeUndefined();
  });
});
