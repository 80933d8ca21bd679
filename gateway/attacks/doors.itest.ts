/**
 * Attacks on who may do what, on a whole system, a gateway and a node in processes of their own,
 * through real sockets. The number is that of the list in docs/threat-model.md.
 */
import { afterAll, afterEach, beforeAll, expect, it } from "vitest";
import { WebSocket } from "ws";
import { SUBPROTOCOL } from "../../proto/frames.ts";
import { seen } from "../testing/attacked-process.ts";
import { startAttacked } from "../testing/attacked.ts";
import type { Attacked } from "../testing/attacked.ts";
import { until } from "../testing/clients.ts";
import type { Client } from "../testing/clients.ts";
import { BODY, HERE, tokenOf } from "../testing/gateway.ts";

let t: Attacked;

beforeAll(async () => {
  t = await startAttacked({ withNode: true });
});
afterEach(async ({ task }) => {
  await t.noteLag(task.name);
  await t.expectAlive();
});
afterAll(() => t?.close());

const PROFILE = { name: "Al", phone: "+1-555-0102", vehicle: "bike", capacity: 5 };

async function courier(id: string): Promise<string> {
  expect((await t.rest.put(`/v1/couriers/${id}`, t.tokens.operator, PROFILE)).status).toBe(200);
  const token = await tokenOf("courier", id);
  const shift = await t.rest.post("/v1/couriers/me/shift", token, { online: true });
  expect(shift.status, shift.text).toBe(200);
  return token;
}
async function create(): Promise<{ id: string; path: string; link: string }> {
  const { status, body, text } = await t.rest.post("/v1/deliveries", t.tokens.customer, BODY);
  expect(status, text).toBe(201);
  const id = body.delivery_id as string;
  return { id, path: `/v1/deliveries/${id}`, link: body.tracking_url.split("/").pop() };
}
const median = (values: readonly number[]): number =>
  values.toSorted((a, b) => a - b)[values.length >> 1] as number;

it("attack 1: a foreign delivery takes as long to refuse as one that does not exist", async () => {
  const stranger = await tokenOf("customer", "cus_timing");
  const absent = `${t.delivery.slice(0, -4)}0000`;
  const took: Record<"foreign" | "absent", number[]> = { foreign: [], absent: [] };
  for (let i = 0; i < 600; i++) {
    const which = i % 2 === 0 ? "foreign" : "absent";
    const began = performance.now();
    const id = which === "foreign" ? t.delivery : absent;
    const { status } = await t.rest.get(`/v1/deliveries/${id}`, stranger);
    took[which].push(performance.now() - began);
    expect(status).toBe(404);
  }
  const [foreign, missing] = [median(took.foreign), median(took.absent)];
  seen(`median ${foreign.toFixed(2)} ms foreign, ${missing.toFixed(2)} ms absent`);
  // A class of time, not the same time: what is left is smaller than the noise of a busy machine.
  expect(Math.abs(foreign - missing)).toBeLessThan(Math.max(5, 0.5 * Math.max(foreign, missing)));
});

it("attack 2: a tracking link opens one delivery, to read, from its assignment", async () => {
  const [one, other] = [await create(), await create()];
  const token = await courier("cur_a2");
  expect((await t.rest.get(one.path, one.link)).status).toBe(401);
  expect((await t.rest.post(`${one.path}/accept`, token, {})).status).toBe(200);
  expect((await t.rest.get(one.path, one.link)).status).toBe(200);
  const tried = [
    await t.rest.get(other.path, one.link),
    await t.rest.post("/v1/deliveries", one.link, BODY),
    await t.rest.post(`${other.path}/accept`, one.link, {}),
    await t.rest.post(`${one.path}/cancel`, one.link, {}),
    await t.rest.post(`${one.path}/status`, one.link, { status: "picked_up" }),
    await t.rest.post("/v1/couriers/me/shift", one.link, { online: false }),
    await t.rest.get("/v1/couriers", one.link),
    await t.rest.post("/v1/revocations", one.link, { role: "customer", subject: "cus_1" }),
  ];
  expect(tried.map(({ status }) => status)).toEqual([404, 403, 403, 403, 403, 403, 403, 403]);
  const client = await t.connect(one.link);
  const delivery = other.id as never;
  client.send({ type: "accept", ref: 1, delivery });
  client.send({ type: "shift", ref: 2, online: false });
  client.send({ type: "track", ref: 3, delivery, after: null });
  const ping = { seq: 1, at: Date.now(), ...HERE, accuracyM: 1, speedMps: null, headingDeg: null };
  client.send({ type: "ping", ...ping });
  const codes = await until(() => {
    const errors = client.frames.filter((frame) => frame.type === "error");
    return errors.length >= 4 && errors.map(({ code }) => code);
  });
  expect(codes.toSorted()).toEqual([...["forbidden", "forbidden", "forbidden"], "not_found"]);
});

it("attack 4: a status moves forward only, step by step, and by its courier", async () => {
  const { path } = await create();
  const [mine, foreign] = [await courier("cur_a4"), await courier("cur_a4b")];
  const say = async (token: string, status: string): Promise<number> =>
    (await t.rest.post(`${path}/status`, token, { status })).status;
  expect(await say(mine, "delivered")).toBe(404);
  expect((await t.rest.post(`${path}/accept`, mine, {})).status).toBe(200);
  expect([await say(foreign, "picked_up"), await say(mine, "delivered")]).toEqual([404, 409]);
  expect([await say(mine, "pending"), await say(t.tokens.customer, "delivered")]).toEqual([
    422, 403,
  ]);
  expect(await say(mine, "picked_up")).toBe(200);
  expect([await say(foreign, "delivered"), await say(mine, "delivered")]).toEqual([404, 200]);
  expect([await say(mine, "picked_up"), await say(mine, "returned")]).toEqual([409, 409]);
});

it("attack 6: one idempotency key makes one delivery, whoever hurries", async () => {
  const key = { "idempotency-key": "attack-6" };
  const post = (token: string, body: object) => t.rest.post("/v1/deliveries", token, body, key);
  const all = await Promise.all(Array.from({ length: 20 }, () => post(t.tokens.customer, BODY)));
  const statuses = new Set(all.map(({ status }) => status));
  expect([...statuses].every((status) => status === 201 || status === 409)).toBe(true);
  const ids = all.filter(({ status }) => status === 201).map(({ body }) => body.delivery_id);
  expect(new Set(ids).size).toBe(1);
  const again = await post(t.tokens.customer, BODY);
  expect([again.status, again.body.delivery_id]).toEqual([201, ids[0]]);
  expect(again.headers.get("idempotent-replayed")).toBe("true");
  expect((await post(t.tokens.customer, { ...BODY, package_size: "large" })).status).toBe(422);
  const other = await post(await tokenOf("customer", "cus_a6"), BODY);
  expect([other.status, other.body.delivery_id === ids[0]]).toEqual([201, false]);
});

it("attack 8: no page of another origin opens a socket", async () => {
  const answerTo = (origin: string): Promise<number> =>
    new Promise((resolve) => {
      const url = `${t.url.replace("http", "ws")}/v1/socket`;
      const socket = new WebSocket(url, SUBPROTOCOL, { headers: { origin } });
      socket.on("unexpected-response", (_, { statusCode }) => resolve(statusCode ?? 0));
      socket.on("open", () => resolve(101));
      socket.on("error", () => undefined);
    });
  const { host } = new URL(t.url);
  const foreign = [
    "https://evil.test",
    "null",
    `http://${host}.evil.test`,
    `http://a@evil.test`,
    "",
  ];
  for (const origin of foreign) expect(await answerTo(origin), origin).toBe(403);
  expect(await answerTo(t.url)).toBe(101);
});

it("attack 10: a socket ends with its token, and at once when that is revoked", async () => {
  const short = await t.connect(await tokenOf("customer", "cus_short", 3));
  const token = await tokenOf("customer", "cus_revoked");
  const revoked = await t.connect(token);
  const body = { role: "customer", subject: "cus_revoked" };
  const began = performance.now();
  expect((await t.rest.post("/v1/revocations", t.tokens.operator, body)).status).toBeLessThan(300);
  expect(await revoked.closed).toBe(4504);
  const ms = performance.now() - began;
  expect((await t.rest.get("/v1/deliveries", token)).status).toBe(401);
  expect(await short.closed).toBe(4003);
  seen(`a revoked socket was closed after ${ms.toFixed(0)} ms`);
});

it("attack 21: forty who do not read cost a bounded piece of memory, and then get the newest", async () => {
  const { id, path } = await create();
  const token = await courier("cur_a21");
  expect((await t.rest.post(`${path}/accept`, token, {})).status).toBe(200);
  const rider = await t.connect(token);
  const followers: Client[] = [];
  for (let i = 0; i < 40; i++) {
    const client = await t.connect(t.tokens.customer);
    client.send({ type: "track", ref: 1, delivery: id as never, after: null });
    await client.next("delivery");
    client.socket.pause();
    followers.push(client);
  }
  const before = await t.memoryBytes();
  const last = { lng: HERE.lng + 0.0095, lat: HERE.lat };
  for (let i = 0; i < 20; i++) {
    const place = { lng: HERE.lng + 0.0005 * i, lat: HERE.lat };
    const at = Date.now();
    rider.send({
      type: "ping",
      seq: i + 1,
      at,
      ...place,
      accuracyM: 5,
      speedMps: null,
      headingDeg: null,
    });
    // A ping each half second, as a busy courier sends them.
    await new Promise((resolve) => setTimeout(resolve, 500));
  }
  const grown = (await t.memoryBytes()) - before;
  expect(grown).toBeLessThan(50_000_000);
  const [reader] = followers as [Client];
  reader.socket.resume();
  const lngOf = (): number | undefined =>
    reader.frames.flatMap((frame) => (frame.type === "positions" ? frame.positions : [])).at(-1)
      ?.lng;
  let told = 0;
  await until(() => {
    const frames = reader.frames.filter(({ type }) => type === "positions").length;
    if (frames > told) reader.send({ type: "seen", frames });
    told = frames;
    return Math.abs((lngOf() ?? 0) - last.lng) < 1e-6;
  }, "the newest position");
  const frames = reader.frames.filter(({ type }) => type === "positions").length;
  expect(frames).toBeLessThan(20);
  seen(
    `memory grew by ${Math.round(grown / 1e6)} MB; who read again got ${frames} of 20 positions`,
  );
  for (const client of followers) client.end();
});
