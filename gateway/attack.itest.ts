/**
 * Attacks and bad inputs (DOORS 9): whatever arrives at the door, the answer is a problem with a code or a coded close, the
 * database is as before, the process lives on. Bodies and queries are broken field by field, in the shapes that the
 * schemas themselves describe, so that a new field is attacked from the day it exists.
 */
import net from "node:net";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { z } from "zod";
import { clientFrames } from "../proto/frames.ts";
import type { ClientFrame } from "../proto/frames.ts";
import * as schemas from "./schemas.ts";
import { BODY, HERE, openClient, startTestGateway, tokenOf, until } from "./testing.ts";
import type { TestGateway } from "./testing.ts";

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
          // Free texts take other texts; only what the schema refuses must be refused at the door.
          if (schema.safeParse(JSON.parse(text)).success) continue;
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
    const value = fc.oneof(
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
        const answer = await t.rest.get(`${path}?${query}`, tokens[role]);
        if (answer.status === 200) return; // A number by chance.
        expect([422, 403], answer.text).toContain(answer.status);
        expect(answer.body.errors[0].pointer).toBe(`/${name}`);
      }),
      { numRuns: 200, seed: 1 },
    );
  });
});

/** One raw exchange; resolves with whatever came until the other side closed or fell silent. */
function raw(bytes: string): Promise<string> {
  return new Promise((resolve) => {
    const socket = net.connect(t.gateway.port, "127.0.0.1", () => socket.write(bytes, "latin1"));
    let text = "";
    const finish = (): void => {
      socket.destroy();
      resolve(text);
    };
    socket.setTimeout(400, finish);
    socket.on("data", (data) => void (text += data.toString("latin1")));
    socket.on("close", finish);
    socket.on("error", finish);
  });
}

describe("broken HTTP", () => {
  const auth = (): string => `Host: a\r\nAuthorization: Bearer ${tokens.customer}\r\n`;
  const json = "Content-Type: application/json\r\n";

  it("two lengths, two framings, too many and too long headers are refused", async () => {
    const post = `POST /v1/deliveries HTTP/1.1\r\n${auth()}${json}`;
    const before = await rows();
    const twice = await raw(`${post}Content-Length: 2\r\nContent-Length: 3\r\n\r\n{} `);
    expect(twice).toMatch(/^HTTP\/1\.1 400/);
    expect(twice).toContain('"code":"bad_request"');
    expect(await raw(`${post}Content-Length: -1\r\n\r\n`)).not.toMatch(/ 20\d /);
    const both = await raw(
      `${post}Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`,
    );
    expect(both).toMatch(/^HTTP\/1\.1 400/);
    const many = await raw(`GET /v1/deliveries HTTP/1.1\r\n${auth()}${"a: b\r\n".repeat(120)}\r\n`);
    expect(many).toMatch(/^HTTP\/1\.1 4/);
    const long = await raw(
      `GET /v1/deliveries HTTP/1.1\r\n${auth()}x: ${"y".repeat(5_000)}\r\n\r\n`,
    );
    expect(long).toMatch(/^HTTP\/1\.1 4/);
    expect(await rows()).toEqual(before);
  });

  it("tricks in the path and strange methods are 404 and 405", async () => {
    for (const path of [
      "/v1/%2e%2e/deliveries",
      "/v1/../v1/deliveries",
      "//v1/deliveries",
      "/v1/deliveries%00",
      "/v1/deliveries/*",
      "/v1/deliveries/%64el_000",
      `/v1/deliveries/${"x".repeat(3_000)}`,
      "/v1/d\u00e9liveries",
    ]) {
      expect(await raw(`GET ${path} HTTP/1.1\r\n${auth()}\r\n`), path).toMatch(/^HTTP\/1\.1 404/);
    }
    for (const method of ["TRACE", "FOO", "get"]) {
      expect(await raw(`${method} /v1/deliveries HTTP/1.1\r\n${auth()}\r\n`)).toMatch(
        /^HTTP\/1\.1 405/,
      );
    }
  });

  it("a body that stops half way, and a client that leaves, cost nothing", async () => {
    const post = `POST /v1/deliveries HTTP/1.1\r\n${auth()}${json}Content-Length: 500\r\n\r\n{`;
    await Promise.all(Array.from({ length: 20 }, () => raw(post)));
    const get = `GET /v1/deliveries/${delivery} HTTP/1.1\r\n${auth()}\r\n`;
    for (let i = 0; i < 20; i++) {
      const socket = net.connect(t.gateway.port, "127.0.0.1", () => {
        socket.write(get);
        socket.destroy();
      });
      await new Promise((resolve) => socket.on("close", resolve));
    }
    expect(await isAlive()).toBe(true);
  });
});

describe("tokens by hand", () => {
  it("alg none, foreign keys and headers, missing ends, future starts: all 401", async () => {
    const { SignJWT, UnsecuredJWT } = await import("jose");
    const key = new TextEncoder().encode("a signing key for tests, 32 characters and more");
    const other = new TextEncoder().encode("another key of thirty-two characters!");
    const now = Math.floor(Date.now() / 1000);
    const base = (typ = "at+jwt", alg = "HS256") =>
      new SignJWT({})
        .setProtectedHeader({ alg, typ })
        .setIssuer("hexdispatch")
        .setAudience("hexdispatch:customer")
        .setSubject("cus_1");
    const good = base().setExpirationTime(now + 60);
    expect((await t.rest.get("/v1/deliveries", await good.sign(key))).status).toBe(200);
    const bad = await Promise.all([
      new UnsecuredJWT({})
        .setIssuer("hexdispatch")
        .setAudience("hexdispatch:customer")
        .setSubject("cus_1")
        .setExpirationTime(now + 60)
        .encode(),
      base()
        .setExpirationTime(now + 60)
        .sign(other),
      base("JWT")
        .setExpirationTime(now + 60)
        .sign(key),
      base("at+jwt", "HS384")
        .setExpirationTime(now + 60)
        .sign(key),
      base().sign(key),
      base()
        .setExpirationTime(now + 60)
        .setNotBefore(now + 50)
        .sign(key),
      base()
        .setExpirationTime(now + 60)
        .setIssuer("else")
        .sign(key),
      base()
        .setExpirationTime(now + 60)
        .setAudience(["hexdispatch:customer", "hexdispatch:operator"])
        .sign(key),
      base()
        .setExpirationTime(now + 60)
        .setAudience("hexdispatch:tracking")
        .sign(key),
      base()
        .setExpirationTime(now + 60)
        .setSubject("a.b>c*")
        .sign(key),
    ]);
    for (const token of bad) {
      expect((await t.rest.get("/v1/deliveries", token)).status, token).toBe(401);
    }
  });
});

describe("broken frames", () => {
  const bytes = (...parts: (number | number[])[]): Uint8Array => new Uint8Array(parts.flat());
  const many = (byte: number[], size: number): number[] =>
    Array.from({ length: size }, (_, i) => byte[i % byte.length] as number);

  /** Sends it as a verified courier, and says whether the door answered or closed within its rules. */
  async function attack(data: Uint8Array | string): Promise<void> {
    const client = await t.connect(tokens.courier);
    await client.next("welcome");
    client.sendRaw(data);
    const done = await Promise.race([
      client.closed.then((code) => [1002, 1006, 1007, 1009, 4501].includes(code)),
      until(() => client.frames.some((f) => f.type === "error")),
    ]);
    expect(done).toBe(true);
    client.end();
  }

  it("bombs, nesting, lies about lengths, extensions, text and too large frames are refused", async () => {
    for (const size of [1_000, 4_000, 16_000]) {
      await attack(bytes(many([0xdc, 0xff, 0xff], size)));
      await attack(bytes(many([0xdd, 0xff, 0xff, 0xff, 0xff], size)));
      await attack(bytes(many([0x91], size)));
      await attack(bytes(many([0xdf, 0xff, 0xff, 0xff, 0xff], size)));
    }
    await attack(new Uint8Array(65_536).fill(0xdc));
    await attack(bytes(0x93, 0x02));
    await attack(bytes(0xc7, 0x08, 0x01, many([0], 8)));
    await attack(bytes(0xd4, 0xff, 0x00));
    await attack(bytes(0xdb, 0xff, 0xff, 0xff, 0xff));
    await attack(new Uint8Array(0));
    await attack("text");
    expect(await isAlive()).toBe(true);
    expect(process.memoryUsage().heapUsed).toBeLessThan(1_000_000_000);
  });

  it("random bytes and damaged frames change nothing", async () => {
    const before = await rows();
    const ping = {
      seq: 1,
      at: Date.now(),
      ...HERE,
      accuracyM: 1,
      speedMps: null,
      headingDeg: null,
    };
    const frames: readonly ClientFrame[] = [
      { type: "ping", ...ping },
      { type: "pings", pings: [ping, ping] },
      { type: "accept", ref: 1, delivery: "del_000aaaaaaaaaaaaaaaaaaaa" as never },
      { type: "track", ref: 1, delivery: "del_000aaaaaaaaaaaaaaaaaaaa" as never },
      { type: "hello", version: 1, token: "x", client: "x" },
    ];
    const damaged = fc
      .tuple(
        fc.constantFrom(...frames),
        fc.array(fc.tuple(fc.nat(), fc.nat(255)), { minLength: 1, maxLength: 4 }),
      )
      .map(([frame, changes]) => {
        const data = Uint8Array.from(clientFrames.encode(frame));
        for (const [at, value] of changes) data[at % data.length] = value;
        return data;
      });
    const cut = fc
      .tuple(fc.constantFrom(...frames), fc.nat(20))
      .map(([frame, size]) => Uint8Array.from(clientFrames.encode(frame)).subarray(0, size));
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.oneof(fc.uint8Array({ maxLength: 300 }), damaged, cut), { maxLength: 20 }),
        fc.boolean(),
        async (list, isVerified) => {
          const client = isVerified ? await t.connect(tokens.customer) : await openClient(t.url);
          if (isVerified) await client.next("welcome");
          for (const data of list) client.sendRaw(data);
          // The pong says that all of it was read.
          const read = new Promise((resolve) => client.socket.once("pong", resolve));
          client.socket.ping();
          await Promise.race([read, client.closed]);
          client.end();
        },
      ),
      { numRuns: 100, seed: 1 },
    );
    expect(await isAlive()).toBe(true);
    expect(await rows()).toEqual(before);
  });

  it("a flood of pings is limited, and others are served meanwhile", async () => {
    const client = await t.connect(tokens.courier);
    await client.next("welcome");
    const ping = { at: Date.now(), ...HERE, accuracyM: 1, speedMps: null, headingDeg: null };
    for (let seq = 1; seq <= 1_000; seq++) client.send({ type: "ping", seq, ...ping });
    expect((await client.next("error")).code).toBe("rate_limited");
    expect(await isAlive()).toBe(true);
    expect(await client.closed).toBe(4005);
    expect(t.nodes.heard("ping", "cur_1").length).toBeLessThan(300);
  });
});

describe("afterwards", () => {
  it("nothing was a bug: the log has no error, and no personal data", () => {
    expect(t.logLines.filter((line) => /"level":"(error|fatal)"/.test(line))).toEqual([]);
    expect(t.logLines.join("\n")).not.toMatch(/\+1-|Bearer|Market/);
    expect(({} as Json)["x"]).toBeUndefined();
  });
});
