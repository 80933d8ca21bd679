/**
 * Attacks and bad inputs: whatever arrives at the door, the answer is a problem with a code or a
 * coded close, the database is as before, the process lives on. Bodies and queries are broken field
 * by field, in the shapes that the schemas themselves describe, so that a new field is attacked
 * from the day it exists.
 */
import fc from "fast-check";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { z } from "zod";
import * as schemas from "../operations/schemas.ts";
import { startAttacked } from "../testing/attacked.ts";
import type { Attacked, Role } from "../testing/attacked.ts";
import { BODY, HERE } from "../testing/gateway.ts";

let t: Attacked;

beforeAll(async () => {
  t = await startAttacked();
});
afterEach(({ task }) => t.noteLag(task.name));
afterAll(() => t?.close());

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
const COURIER_ID = { courier_id: "cur_1" };
const REASON = { reason: "far" };
const STATUS = { status: "picked_up" };
const DETAILS = { notes: "n", phone: "+1-555-0102" };
const WEBHOOK = { url: "https://example.com/hooks", owner: "acme" };
const REVOKED = { role: "courier", subject: "cur_attacked" };
const COURIER = { name: "A", phone: "+1-555-0101", vehicle: "bike", capacity: 2 };
type BodyCase = readonly [string, string, Role, z.ZodType, Json];
/** By operation: what is sent where, as whom. `@` stands for the delivery. */
const BODIES: Readonly<Record<string, BodyCase>> = {
  quoteDelivery: ["POST", "/v1/quotes", "customer", schemas.createBody, BODY],
  createDelivery: ["POST", "/v1/deliveries", "customer", schemas.quotedCreateBody, BODY],
  changeDelivery: ["PATCH", "/v1/deliveries/@", "customer", schemas.detailsBody, DETAILS],
  acceptDelivery: ["POST", "/v1/deliveries/@/accept", "courier", schemas.acceptBody, COURIER_ID],
  declineDelivery: ["POST", "/v1/deliveries/@/decline", "courier", schemas.declineBody, REASON],
  reportStatus: ["POST", "/v1/deliveries/@/status", "courier", schemas.statusBody, STATUS],
  cancelDelivery: ["POST", "/v1/deliveries/@/cancel", "customer", schemas.cancelBody, REASON],
  putCourier: ["PUT", "/v1/couriers/cur_1", "operator", schemas.courierBody, COURIER],
  revoke: ["POST", "/v1/revocations", "operator", schemas.revocationBody, REVOKED],
  setShift: ["POST", "/v1/couriers/me/shift", "courier", schemas.shiftBody, { online: true }],
  reportLocation: ["POST", "/v1/couriers/me/location", "courier", schemas.locationBody, LOCATION],
  addWebhook: ["POST", "/v1/webhooks", "operator", schemas.webhookBody, WEBHOOK],
  resendWebhookMessages: ["POST", "/v1/webhooks/@/resend", "operator", schemas.resendBody, {}],
};
/** Their body has no field that could be wrong. */
const WITHOUT_FIELDS = ["rotateWebhook"];
type QueryCase = readonly [path: string, role: Role, valid: Json, names: readonly string[]];
const QUERIES: Readonly<Record<string, QueryCase>> = {
  listDeliveries: ["/v1/deliveries", "customer", {}, ["status", "cursor", "limit"]],
  availableDeliveries: [
    "/v1/deliveries/available",
    "courier",
    { lat: "37.7", lng: "-122.4" },
    ["lat", "lng", "courier_id"],
  ],
  listWebhookMessages: ["/v1/webhooks/whk_1/messages", "operator", {}, ["state"]],
};
/**
 * Paths with a variable segment. A path is `METHOD /path`, and the body is one that would do
 * something.
 */
const PATHS: Readonly<Record<string, readonly [path: string, role: Role, body?: Json]>> = {
  getDelivery: ["GET /v1/deliveries/@", "customer"],
  changeDelivery: ["PATCH /v1/deliveries/@", "customer", DETAILS],
  getLedger: ["GET /v1/deliveries/@/ledger", "operator"],
  acceptDelivery: ["POST /v1/deliveries/@/accept", "courier", COURIER_ID],
  declineDelivery: ["POST /v1/deliveries/@/decline", "courier", REASON],
  reportStatus: ["POST /v1/deliveries/@/status", "courier", STATUS],
  cancelDelivery: ["POST /v1/deliveries/@/cancel", "customer", REASON],
  putCourier: ["PUT /v1/couriers/@", "operator", COURIER],
  removeWebhook: ["DELETE /v1/webhooks/@", "operator"],
  rotateWebhook: ["POST /v1/webhooks/@/rotate", "operator", {}],
  listWebhookMessages: ["GET /v1/webhooks/@/messages", "operator"],
  resendWebhookMessages: ["POST /v1/webhooks/@/resend", "operator", {}],
};

describe("the list of attacks", () => {
  it("has each body, each query parameter and each path variable of the API's own description", async () => {
    const { body: description } = await t.rest.get("/v1/openapi.json");
    const operations = Object.values(description.paths as Json).flatMap((row) =>
      Object.values(row as Json),
    );
    const named = (wanted: (operation: Json) => boolean): string[] =>
      operations.filter(wanted).map((operation) => operation["operationId"] as string);
    const parametersIn = (place: string, operation: Json): string[] =>
      ((operation["parameters"] ?? []) as Json[])
        .filter((parameter) => parameter["in"] === place)
        .map((parameter) => parameter["name"] as string);
    const sorted = (names: readonly string[]): string[] => names.toSorted();

    expect(operations.length).toBeGreaterThan(10);
    const withBody = named((operation) => operation["requestBody"] !== undefined);
    expect(sorted([...Object.keys(BODIES), ...WITHOUT_FIELDS])).toEqual(sorted(withBody));
    const withPath = named((operation) => parametersIn("path", operation).length > 0);
    expect(sorted(Object.keys(PATHS))).toEqual(sorted(withPath));
    const queries = operations
      .filter((operation) => parametersIn("query", operation).length > 0)
      .map((operation) => [operation["operationId"], sorted(parametersIn("query", operation))]);
    const attacked = Object.entries(QUERIES).map(([name, row]) => [name, sorted(row[3])]);
    expect(Object.fromEntries(attacked)).toEqual(Object.fromEntries(queries));
    const headers = operations.flatMap((operation) => parametersIn("header", operation));
    expect(sorted([...new Set(headers)])).toEqual(["Idempotency-Key", "If-None-Match"]);
  });
});

describe("broken bodies", () => {
  for (const [method, path, role, schema, valid] of Object.values(BODIES)) {
    it(`${method} ${path}: every field, wrong in every way, is a problem at its pointer`, async () => {
      const described = z.toJSONSchema(schema, { unrepresentable: "any", io: "input" }) as Json;
      const fields = fieldsOf(described);
      expect(fields.length).toBeGreaterThan(0);
      const tries = fields.flatMap(([pointer, field]) =>
        misfits(field).map((raw) => [pointer, raw] as const),
      );
      await t.unchanged(async () => {
        for (const [pointer, raw] of tries) {
          const text = withRaw(valid, pointer, raw);
          // A misfit of one rule may fit by chance ("12345" is a name), null takes a detail away;
          // other aliens fit nowhere.
          const mayFit = raw === "null" || !ALIENS.includes(raw);
          if (mayFit && schema.safeParse(JSON.parse(text)).success) continue;
          const url = path.replace("@", t.delivery);
          const answer = await t.rest.ask(method, url, t.tokens[role], text, {});
          const what = `${pointer} = ${raw.slice(0, 60)}: ${answer.status} ${answer.text}`;
          expect(answer.status, what).toBe(422);
          expect(["invalid_field", "unknown_field"], what).toContain(answer.body.code);
          const pointers = answer.body.errors.map((e: { pointer: string }) => e.pointer);
          expect(
            pointers.some((p: string) => p.startsWith(pointer)),
            what,
          ).toBe(true);
        }
      });
    });
  }

  it("anything at all as a body of any route is a 4xx problem with a code", async () => {
    const anything = fc.oneof(
      fc.json({ maxDepth: 4 }),
      fc.string({ unit: "binary", maxLength: 200 }),
      fc.uint8Array({ maxLength: 200 }),
      fc.constantFrom("[".repeat(60_000), '{"a":'.repeat(10_000), `{"notes":${"[".repeat(30_000)}`),
    );
    const attack = () =>
      fc.assert(
        fc.asyncProperty(fc.constantFrom(...Object.values(BODIES)), anything, async (row, body) => {
          const [method, path, role, schema] = row;
          fc.pre(typeof body !== "string" || !fitsAnyway(schema, body));
          fc.pre(body.length > 0);
          const url = path.replace("@", t.delivery);
          const answer = await t.rest.ask(method, url, t.tokens[role], body, {});
          expect(answer.status, answer.text).toBeGreaterThanOrEqual(400);
          expect(answer.status, answer.text).toBeLessThan(500);
          expect(typeof answer.body?.code).toBe("string");
        }),
        { numRuns: 300, seed: 1 },
      );
    await t.unchanged(attack);
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
    const attack = () =>
      fc.assert(
        fc.asyncProperty(
          fc.constantFrom(...Object.values(QUERIES)),
          fc.nat(),
          value,
          async (row, pick, text) => {
            const [path, role, valid, names] = row;
            const name = names[pick % names.length] as string;
            const query = new URLSearchParams({ ...valid, [name]: text });
            const answer = await t.rest.get(`${path}?${query.toString()}`, t.tokens[role]);
            if (answer.status === 200) return; // A number by chance.
            expect([422, 403], answer.text).toContain(answer.status);
            expect(answer.body.errors[0].pointer).toBe(`/${name}`);
          },
        ),
        { numRuns: 400, seed: 1 },
      );
    await t.unchanged(attack);
  });
});

describe("broken paths and keys", () => {
  it("an id that is none is not found or a problem, whatever it holds", async () => {
    const ids = [
      "x",
      "del_",
      `${t.delivery}x`,
      t.delivery.toUpperCase(),
      "%00",
      "%ff",
      "..",
      "*",
      ">",
    ];
    ids.push("%F0%9F%92%A3", "a".repeat(2_000), "' or 1=1--".replaceAll(" ", "%20"));
    await t.unchanged(async () => {
      for (const [path, role, body] of Object.values(PATHS)) {
        for (const id of ids) {
          const [method = "", url = ""] = path.replace("@", id).split(" ");
          const answer = await t.rest.ask(method, url, t.tokens[role], body, {});
          expect([404, 405, 422], `${path} ${id}: ${answer.status}`).toContain(answer.status);
          expect(typeof answer.body?.code).toBe("string");
        }
      }
    });
  });

  it("an Idempotency-Key that is none is a problem, and nothing is done", async () => {
    const keys = ["", " ", "x".repeat(5_000), "a\tb", "\u00e4"];
    await t.unchanged(async () => {
      for (const [method, path, role, , valid] of Object.values(BODIES)) {
        if (method !== "POST") continue;
        for (const key of keys) {
          const headers = { "idempotency-key": key };
          const url = path.replace("@", t.delivery);
          const answer = await t.rest.ask(method, url, t.tokens[role], valid, headers);
          expect(answer.status, `${url} ${JSON.stringify(key)}`).toBeGreaterThanOrEqual(400);
          expect(answer.status).toBeLessThan(500);
        }
      }
    });
  });
});

describe("a broken If-None-Match", () => {
  it("names nothing: the delivery is shown", async () => {
    const tags = ["", " ", '"', "W/", '"a","b', ",".repeat(2_000), "x".repeat(2_000), "\u00e4"];
    for (const tag of tags) {
      const path = `/v1/deliveries/${t.delivery}`;
      const answer = await t.rest.get(path, t.tokens.customer, { "if-none-match": tag });
      expect(answer.status, JSON.stringify(tag.slice(0, 20))).toBe(200);
    }
  });
});

describe("afterwards", () => {
  it("nothing was a bug: the log has no error, and no personal data", () => {
    expect(t.logLines().filter((line) => /"level":"(error|fatal)"/.test(line))).toEqual([]);
    expect(t.logLines().join("\n")).not.toMatch(/\+1-|Bearer|Market/);
    expect(({} as Json)["x"]).toBeUndefined();
  });
});
