/**
 * Attacks on a whole system, a gateway and a node in processes of their own, through real sockets.
 * The number is that of the list in docs/threat-model.md.
 */
import net from "node:net";
import { afterAll, afterEach, beforeAll, expect, it } from "vitest";
import { WebSocket } from "ws";
import { SUBPROTOCOL, clientFrames } from "../../proto/frames.ts";
import { PINGS_PER_BATCH_MAX } from "../../proto/limits.ts";
import { keyId } from "../token.ts";
import { openClient, until } from "../testing/clients.ts";
import type { Client } from "../testing/clients.ts";
import { startAttacked } from "../testing/attacked.ts";
import type { Attacked } from "../testing/attacked.ts";
import { BODY, HERE, TEST_KEY, tokenOf } from "../testing/gateway.ts";

let t: Attacked;

beforeAll(async () => {
  t = await startAttacked({ withNode: true });
});
afterEach(async ({ task }) => {
  await t.noteLag(task.name);
  // What was refused as too much is served again soon.
  await until(() => t.isServing(), "service after the attack");
  await t.expectAlive();
});
afterAll(() => t?.close());

const FAR = { lng: HERE.lng + 3.5, lat: HERE.lat };
const REST_OF_PING = { accuracyM: 5, speedMps: null, headingDeg: null };
const PROFILE = { name: "Al", phone: "+1-555-0102", vehicle: "bike", capacity: 3 };

async function courier(id: string): Promise<{ token: string; client: Client }> {
  expect((await t.rest.put(`/v1/couriers/${id}`, t.tokens.operator, PROFILE)).status).toBe(200);
  const token = await tokenOf("courier", id);
  const shift = await t.rest.post("/v1/couriers/me/shift", token, { online: true });
  expect(shift.status, shift.text).toBe(200);
  return { token, client: await t.connect(token) };
}

const rowOf = async (id: string): Promise<any> => {
  const { body } = await t.rest.get("/v1/couriers", t.tokens.operator);
  return body.couriers.find((row: { id: string }) => row.id === id);
};
const create = async (more: object = {}) =>
  t.rest.post("/v1/deliveries", t.tokens.customer, { ...BODY, ...more });

it("attack 1: a foreign delivery is answered like one that does not exist", async () => {
  const stranger = await tokenOf("customer", "cus_stranger");
  const absent = t.delivery.slice(0, -4) + "0000";
  const [foreign, missing] = [
    await t.rest.get(`/v1/deliveries/${t.delivery}`, stranger),
    await t.rest.get(`/v1/deliveries/${absent}`, stranger),
  ];
  expect([foreign.status, missing.status]).toEqual([404, 404]);
  expect({ ...foreign.body, instance: "" }).toEqual({ ...missing.body, instance: "" });
});

it("attack 3: nobody acts as another courier by naming it", async () => {
  const { token } = await courier("cur_a3");
  const as = { courier_id: "cur_1" };
  const id = t.delivery;
  const calls: [string, string, object?][] = [
    ["POST", `/v1/deliveries/${id}/accept`, as],
    ["POST", `/v1/deliveries/${id}/decline`, as],
    ["POST", `/v1/deliveries/${id}/status`, { ...as, status: "picked_up" }],
    ["POST", "/v1/couriers/me/shift", { ...as, online: false }],
    ["POST", "/v1/couriers/me/location", { ...as, ...HERE }],
    ["GET", `/v1/deliveries/available?lat=${HERE.lat}&lng=${HERE.lng}&courier_id=cur_1`],
  ];
  for (const [method, path, body] of calls) {
    const answer = await t.rest.ask(method, path, token, body, {});
    expect([answer.status, answer.body.code], path).toEqual([403, "identity_mismatch"]);
  }
});

it("attack 5: of a hundred couriers who accept at once one wins", async () => {
  const ids = Array.from({ length: 100 }, (_, i) => `cur_crowd${i}`);
  const tokens = await Promise.all(
    ids.map(async (id) => {
      await t.rest.put(`/v1/couriers/${id}`, t.tokens.operator, PROFILE);
      const token = await tokenOf("courier", id);
      await t.rest.post("/v1/couriers/me/shift", token, { online: true });
      return token;
    }),
  );
  const { body } = await create();
  const path = `/v1/deliveries/${body.delivery_id}/accept`;
  const answers = await Promise.all(tokens.map((token) => t.rest.post(path, token, {})));
  expect(answers.filter(({ status }) => status === 200)).toHaveLength(1);
  expect(answers.filter(({ status }) => status === 409)).toHaveLength(99);
});

it("attack 7: foreign keys, key addresses, huge names and huge tokens are refused", async () => {
  const { SignJWT } = await import("jose");
  const now = Math.floor(Date.now() / 1000);
  const sign = (header: object, key = TEST_KEY) =>
    new SignJWT({})
      .setProtectedHeader({ alg: "HS256", typ: "at+jwt", ...header })
      .setIssuer("hexdispatch")
      .setAudience("hexdispatch:customer")
      .setSubject("cus_1")
      .setExpirationTime(now + 60)
      .sign(new TextEncoder().encode(key));
  const other = "a key that is not the server's, and long enough";
  const bad = [
    await sign({ kid: "k".repeat(500) }),
    await sign({ kid: "../../dev/null" }),
    await sign({ kid: keyId(TEST_KEY) }, other),
    await sign({ jku: "http://127.0.0.1:1/keys" }, other),
    await sign({ jwk: { kty: "oct", k: "AAAA" } }, other),
    "x".repeat(3_500),
  ];
  for (const token of bad) {
    const { status } = await t.rest.get("/v1/deliveries", token);
    expect([400, 401, 431], token.slice(0, 60)).toContain(status);
  }
});

it("attack 9 and 23: who says nothing, or drips, is cut off", async () => {
  const silent = await openClient(t.url);
  const drip = (first: string): Promise<boolean> =>
    new Promise((resolve) => {
      const socket = net.connect(t.port, "127.0.0.1", () => socket.write(first));
      const timer = setInterval(() => socket.write("a"), 1_000);
      const bell = setTimeout(() => done(false), 45_000);
      const done = (isCut: boolean): void => {
        clearInterval(timer);
        clearTimeout(bell);
        socket.destroy();
        resolve(isCut);
      };
      socket.on("error", () => done(true));
      socket.on("close", () => done(true));
    });
  const [code, header, body] = await Promise.all([
    silent.closed,
    drip("GET /v1/deliveries HTTP/1.1\r\nHost: a\r\nX-Slow: "),
    drip(
      `POST /v1/deliveries HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer ${t.tokens.customer}\r\n` +
        "Content-Type: application/json\r\nContent-Length: 60000\r\n\r\n{",
    ),
  ]);
  expect([code, header, body]).toEqual([4004, true, true]);
});

it("attack 14: empty fragments and a flood of control frames cost nothing", async () => {
  const before = await t.memoryBytes();
  const client = await t.connect(t.tokens.customer);
  for (let i = 0; i < 100_000; i++) {
    client.socket.send("", { fin: false, binary: true });
    if (i % 5_000 === 0) await new Promise((resolve) => setImmediate(resolve));
  }
  const pinger = await t.connect(t.tokens.customer);
  for (let i = 0; i < 50_000; i++) pinger.socket.ping();
  await until(() => t.isServing());
  client.end();
  pinger.end();
  expect((await t.memoryBytes()) - before).toBeLessThan(200_000_000);
});

it("attack 16: old, doubled, early and ancient pings do not move the courier", async () => {
  const { client } = await courier("cur_a16");
  const now = Date.now();
  const ping = (seq: number, at: number, place = HERE) =>
    client.send({ type: "ping", seq, at, ...place, ...REST_OF_PING });
  ping(10, now - 1_000);
  await until(async () => (await rowOf("cur_a16"))?.location);
  const near = { lng: HERE.lng + 0.001, lat: HERE.lat };
  ping(9, now, near);
  ping(10, now, near);
  ping(11, now + 3_600_000, near);
  ping(12, now - 86_400_000, near);
  ping(13, 0, near);
  // Believed: whatever stood before it was judged.
  const last = { lng: HERE.lng + 0.0002, lat: HERE.lat };
  ping(14, now + 1, last);
  const location = await until(async () => {
    const { location: found } = await rowOf("cur_a16");
    return found.lng === HERE.lng ? null : found;
  });
  expect(location.lng).toBeCloseTo(last.lng, 6);
});

it("attack 17: who jumps 300 km and back is flagged and offered nothing, the honest one is", async () => {
  const [liar, honest] = [await courier("cur_liar"), await courier("cur_honest")];
  const now = Date.now();
  const say = (client: Client, seq: number, at: number, place: typeof HERE) =>
    client.send({ type: "ping", seq, at, ...place, ...REST_OF_PING });
  say(liar.client, 1, now - 10_000, HERE);
  say(liar.client, 2, now - 5_000, FAR);
  say(liar.client, 3, now, HERE);
  say(honest.client, 1, now, { lng: HERE.lng + 0.004, lat: HERE.lat });
  await until(async () => (await rowOf("cur_liar"))?.doubt > 0, "the flag");
  await until(async () => (await rowOf("cur_honest"))?.location);
  expect((await rowOf("cur_honest")).doubt).toBe(0);
  const { body } = await create({ origin: HERE });
  const offers = (client: Client) =>
    client.frames.filter((frame) => frame.type === "offer").map((frame) => frame.delivery);
  await until(() => offers(honest.client).includes(body.delivery_id), "the honest one's offer");
  expect(offers(liar.client)).toEqual([]);
});

it("attack 18: ten thousand offline pings at once are bounded, and others are served", async () => {
  const { client } = await courier("cur_a18");
  const now = Date.now();
  for (let batch = 0; batch < 100; batch++) {
    const pings = Array.from({ length: PINGS_PER_BATCH_MAX }, (_, i) => {
      const seq = batch * PINGS_PER_BATCH_MAX + i + 1;
      return { seq, at: now - 10_000_000 + seq * 1_000, ...HERE, ...REST_OF_PING };
    });
    client.send({ type: "pings", pings });
  }
  expect((await client.next("error")).code).toBe("rate_limited");
  await until(() => t.isServing());
});

it("attack 20: ten thousand subscriptions are refused, and end the socket", async () => {
  const client = await t.connect(await tokenOf("customer", "cus_a20"));
  for (let ref = 1; ref <= 10_000; ref++) {
    client.send({ type: "track", ref, delivery: t.delivery as never, after: null });
  }
  expect(await client.closed).toBe(4005);
  const codes = new Set(client.frames.map((f) => (f.type === "error" ? f.code : f.type)));
  expect(codes).toContain("rate_limited");
  // The delivery is not this customer's: none of the ten thousand got through.
  expect([...codes].filter((code) => ["ok", "delivery"].includes(code))).toEqual([]);
});

it("attack 22: a storm of a thousand connections leaves no session behind", async () => {
  const hello = clientFrames.encode({
    type: "hello",
    version: 1,
    token: t.tokens.courier,
    client: "storm",
  });
  const one = (): Promise<void> =>
    new Promise((resolve) => {
      const socket = new WebSocket(`${t.url.replace("http", "ws")}/v1/socket`, SUBPROTOCOL);
      socket.on("open", () => {
        socket.send(hello);
        setImmediate(() => socket.terminate());
      });
      socket.on("error", () => undefined);
      socket.on("close", () => resolve());
    });
  for (let round = 0; round < 10; round++) await Promise.all(Array.from({ length: 100 }, one));
  const after = await t.connect(t.tokens.customer);
  expect(after.frames.length).toBeGreaterThan(0);
  after.end();
});

it("attack 26 and 27: SQL, scripts and forged lines in texts are data, and no log line", async () => {
  const text = '\'; drop table deliveries; -- <script>alert(1)</script> {"level":60}';
  const { status, body } = await create({ notes: text, external_id: "a'; --" });
  expect(status).toBe(201);
  const link = new URL(body.tracking_url).pathname;
  expect((await t.rest.get(link)).text).not.toContain("alert(1)");
  const forged = await create({ notes: "x", external_id: 'a\r\n{"level":"fatal"}' });
  expect(forged.status).toBe(422);
  const turned = await create({ notes: "\u202egnp.exe" });
  expect(turned.status).toBe(422);
  expect(t.logLines().join("\n")).not.toMatch(/drop table|alert\(1\)/);
  const page = await t.rest.get("/v1/deliveries?status=pending'--", t.tokens.customer);
  expect(page.status).toBe(422);
});

it("attack 28: a parameter that stands twice is refused; of two JSON keys the last counts", async () => {
  const query = "/v1/deliveries?status=pending&status=delivered";
  expect((await t.rest.get(query, t.tokens.customer)).status).toBe(422);
  const twice = '{"online":false,"online":true}';
  const answer = await t.rest.post("/v1/couriers/me/shift", t.tokens.courier, twice);
  expect([answer.status, answer.body.online]).toEqual([200, true]);
});

it("attack 40: ten thousand guesses at tracking links are slowed down and say nothing", async () => {
  const guess = (i: number) => Buffer.from(String(i).padStart(16, "g")).toString("base64url");
  const seen = new Map<number, number>();
  for (let i = 0; i < 10_000; i += 50) {
    const answers = await Promise.all(
      Array.from({ length: 50 }, (_, k) =>
        k % 2 === 0
          ? t.rest.get(`/t/${guess(i + k)}`)
          : t.rest.get(`/v1/deliveries/${t.delivery}`, guess(i + k)),
      ),
    );
    for (const { status } of answers) seen.set(status, (seen.get(status) ?? 0) + 1);
  }
  expect([...seen.keys()].sort()).toEqual([401, 404, 429]);
  expect(seen.get(429)).toBeGreaterThan(9_000);
  // Last, since this address has to wait now: a good token and a good link come back to life.
  await until(async () => {
    const answer = await t.rest.get(`/v1/deliveries/${t.delivery}`, t.tokens.customer);
    return answer.status === 200;
  });
});
