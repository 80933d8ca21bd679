/**
 * Partners on a real NATS server with accounts: what they can do, and that nothing else can be
 * reached (DOORS 9, attacks 29 to 32).
 */
import { Packr } from "msgpackr";
import { headers } from "@nats-io/transport-node";
import type { NatsConnection } from "@nats-io/transport-node";
import { jetstream } from "@nats-io/jetstream";
import { afterAll, beforeAll, expect, test, vi } from "vitest";
import { PARTNER_CONNECTIONS_MAX, PARTNER_MESSAGE_MAX_BYTES } from "../../proto/limits.ts";
import { PARTNER_DISCOVERY_BURST, PARTNER_DISCOVERY_PER_S } from "../../proto/limits.ts";
import { PARTNER_REFUSALS_BURST, PARTNER_REFUSALS_PER_S } from "../../proto/limits.ts";
import { PARTNER_REQUESTS_BURST, PARTNER_REQUESTS_PER_S } from "../../proto/limits.ts";
import { partnerConsumer, streamName } from "../../proto/subjects.ts";
import type { PartnerAction } from "../../proto/subjects.ts";
import { until } from "../../scripts/testing/until.ts";
import { BODY, goOnShift, tokenOf } from "../testing/gateway.ts";
import { startPartnerSystem } from "../testing/partner-system.ts";
import type { PartnerSystem } from "../testing/partner-system.ts";
import { OPERATIONS } from "../operations/table.ts";
import { PARTNER_BINDINGS } from "./binding.ts";

const FLOOD = 6_000;
const WAIT = { timeout: 10_000, interval: 20 };
let system: PartnerSystem;
let acme: NatsConnection;
let beta: NatsConnection;
let acmeSeed: string;
let betaSeed: string;

beforeAll(async () => {
  system = await startPartnerSystem();
  acmeSeed = await system.admin.add("acme");
  betaSeed = await system.admin.add("beta");
  // The server reloads in its own time.
  acme = await vi.waitFor(() => system.connectAs("acme", acmeSeed), WAIT);
  beta = await vi.waitFor(() => system.connectAs("beta", betaSeed), WAIT);
});
afterAll(() => system.close());

type Told = { status: number; code: string | null; replayed: boolean; body: any; error: string };

async function ask(
  nc: NatsConnection,
  name: string,
  action: PartnerAction,
  body: unknown = {},
  more: Readonly<Record<string, string>> = {},
): Promise<Told> {
  const all = headers();
  for (const [key, value] of Object.entries(more)) all.set(key, value);
  const data = typeof body === "string" ? body : JSON.stringify(body);
  const subject = system.t.subjects.partnerRequest(name, action);
  const reply = await nc.request(subject, data, { timeout: 5_000, headers: all });
  const status = Number(reply.headers?.get("hexdispatch-status"));
  const told = reply.json<any>();
  if (status < 300) OPERATIONS[PARTNER_BINDINGS[action].operation].answers[status]?.parse(told);
  return {
    status,
    code: reply.headers?.get("Nats-Service-Error-Code") || null,
    error: reply.headers?.get("Nats-Service-Error") ?? "",
    replayed: reply.headers?.get("idempotent-replayed") === "true",
    body: told,
  };
}

test("a partner quotes, creates, reads, changes and cancels by the rules of REST", async () => {
  const quote = await ask(acme, "acme", "quote", BODY);
  expect(quote.status).toBe(201);
  const made = await ask(acme, "acme", "create", { ...BODY, quote: quote.body.quote });
  expect(made.status).toBe(201);
  const id = made.body.delivery_id as string;
  const found = await ask(acme, "acme", "get", { delivery_id: id });
  expect(found.body).toMatchObject({ id, status: "pending", version: 1 });
  const change = { delivery_id: id, notes: "ring twice", recipient_phone: "+1-415-555-0199" };
  expect((await ask(acme, "acme", "update", change)).status).toBe(200);
  const row = await system.t.store.delivery(id as never);
  expect(row).toMatchObject({ notes: "ring twice", recipientPhone: "+1-415-555-0199", version: 1 });
  const door = { phone: "+1-415-555-0177", destination_address: "456 Valencia St, flat 3" };
  const moved = await ask(acme, "acme", "update", { delivery_id: id, ...door });
  const at = { address: door.destination_address, ...BODY.destination };
  expect(moved.body.destination).toEqual(at);
  expect(await system.t.store.delivery(id as never)).toMatchObject({ phone: door.phone });
  const nothing = await ask(acme, "acme", "update", { delivery_id: id });
  expect(nothing.status).toBe(422);
  const taken = { delivery_id: id, notes: null };
  expect((await ask(acme, "acme", "update", taken)).status).toBe(200);
  expect(await system.t.store.delivery(id as never)).toMatchObject({
    notes: null,
    recipientPhone: "+1-415-555-0199",
  });
  const listed = await ask(acme, "acme", "list", { limit: 1 });
  expect(listed.body.deliveries.map((d: { id: string }) => d.id)).toEqual([id]);
  expect((await ask(acme, "acme", "cancel", { delivery_id: id })).status).toBe(200);
  const late = await ask(acme, "acme", "update", change);
  expect(late).toMatchObject({ status: 409, code: "409" });
  expect(late.body.code).toBe("wrong_status");
});

test("a quote is only good for its partner, its stops, and as it was made", async () => {
  const { quote } = (await ask(acme, "acme", "quote", BODY)).body;
  const elsewhere = { ...BODY, destination: { lat: 37.77, lng: -122.41 }, quote };
  expect((await ask(acme, "acme", "create", elsewhere)).body.code).toBe("quote_expired");
  expect((await ask(beta, "beta", "create", { ...BODY, quote })).body.code).toBe("quote_expired");
  const longer = quote.replace(/\.\d+\./, ".4102444800000.");
  const forged = await ask(acme, "acme", "create", { ...BODY, quote: longer });
  expect(forged.error).toMatch(/^quote_expired: /);
});

test("D4: a message id or an external id makes a repetition the same delivery, over both doors", async () => {
  const first = await ask(acme, "acme", "create", BODY, { "Nats-Msg-Id": "m-1" });
  const again = await ask(acme, "acme", "create", BODY, { "Nats-Msg-Id": "m-1" });
  expect(again).toMatchObject({ status: 201, replayed: true, body: first.body });
  const other = { ...BODY, notes: "other" };
  const mismatch = await ask(acme, "acme", "create", other, { "Nats-Msg-Id": "m-1" });
  expect(mismatch).toMatchObject({ status: 422, code: "422" });
  const mine = await ask(beta, "beta", "create", BODY, { "Nats-Msg-Id": "m-1" });
  expect(mine.body.delivery_id).not.toBe(first.body.delivery_id);
  const body = { ...BODY, external_id: "order-7" };
  const byNats = await ask(acme, "acme", "create", body);
  const byRest = await system.t.rest.post("/v1/deliveries", await tokenOf("partner", "acme"), body);
  expect(byRest.body).toEqual(byNats.body);
});

test("MessagePack in, MessagePack out", async () => {
  const packr = new Packr({ useRecords: false });
  const all = headers();
  all.set("Content-Type", "application/msgpack");
  const subject = system.t.subjects.partnerRequest("acme", "create");
  const options = { timeout: 5_000, headers: all };
  const made = await acme.request(subject, packr.pack(BODY), options);
  expect(made.headers?.get("content-type")).toBe("application/msgpack");
  expect(packr.unpack(made.data).status).toBe("pending");
  const bomb = await acme.request(subject, Buffer.from([0xdd, 0xff, 0xff, 0xff, 0xff]), options);
  expect(bomb.headers?.get("Nats-Service-Error-Code")).toBe("400");
});

test.each([
  ["{", "bad_request"],
  [{ ...BODY, courier_id: "cur_1" }, "unknown_field"],
  [{ ...BODY, origin: { lat: 91, lng: 0 } }, "invalid_field"],
  [{ ...BODY, origin: { lat: 1, lng: 1 } }, "outside_service_area"],
  ["x".repeat(70_000), "payload_too_large"],
])("bad input is a problem with a code: %#", async (body, code) => {
  const told = await ask(acme, "acme", "create", body);
  expect(told.body.code).toBe(code);
  expect(told.error.startsWith(`${code}: `)).toBe(true);
});

test("what is another's does not exist", async () => {
  const { body } = await ask(acme, "acme", "create", BODY);
  for (const action of ["get", "cancel"] as const) {
    const told = await ask(beta, "beta", action, { delivery_id: body.delivery_id });
    expect(told.body.code, action).toBe("not_found");
  }
  const change = { delivery_id: body.delivery_id, notes: "mine" };
  expect((await ask(beta, "beta", "update", change)).body.code).toBe("not_found");
  expect((await ask(beta, "beta", "list")).body.deliveries).not.toContainEqual(
    expect.objectContaining({ id: body.delivery_id }),
  );
});

test("details stay as they are from the pickup on", async () => {
  const { t } = system;
  const operator = await tokenOf("operator", "ops_1");
  const courier = await tokenOf("courier", "cur_1");
  const profile = { name: "Ann Lee", phone: "+1-555-0101", vehicle: "bike", capacity: 5 };
  await t.rest.put("/v1/couriers/cur_1", operator, profile);
  await goOnShift(t.store, "cur_1");
  const { delivery_id: id } = (await ask(acme, "acme", "create", BODY)).body;
  await t.rest.post(`/v1/deliveries/${id}/accept`, courier);
  expect((await ask(acme, "acme", "update", { delivery_id: id, notes: "a" })).status).toBe(200);
  await t.rest.post(`/v1/deliveries/${id}/status`, courier, { status: "picked_up" });
  const late = await ask(acme, "acme", "update", { delivery_id: id, notes: "b" });
  expect(late.body.code).toBe("wrong_status");
});

test("the service answers PING and INFO to partners, STATS to us", async () => {
  const ping = (await acme.request("$SRV.PING", "", { timeout: 2_000 })).json<any>();
  expect(ping).toMatchObject({ name: "hexdispatch", type: "io.nats.micro.v1.ping_response" });
  const info = (await acme.request("$SRV.INFO.hexdispatch", "", { timeout: 2_000 })).json<any>();
  expect(info.endpoints.map((e: { name: string }) => e.name)).toContain("create");
  await expect(acme.request("$SRV.STATS", "", { timeout: 500 })).rejects.toThrow();
  const { nats, gateway: _ } = system.t;
  const stats = (await nats.request("$SRV.STATS.hexdispatch", "", { timeout: 2_000 })).json<any>();
  const create = stats.endpoints.find((e: { name: string }) => e.name === "create");
  expect(create.num_requests).toBeGreaterThan(0);
  expect(create.num_errors).toBeGreaterThan(0);
  expect(create.processing_time).toBeGreaterThan(0);
});

test("attack 29: a partner reaches nothing of another's, nor of ours", async () => {
  const { subjects, prefix } = system.t;
  const stream = streamName(prefix, "EVENTS");
  const requests = [
    subjects.partnerRequest("beta", "list"),
    subjects.shard(1),
    subjects.outbox,
    "$JS.API.STREAM.LIST",
    `$JS.API.STREAM.INFO.${stream}`,
    `$JS.API.STREAM.MSG.GET.${stream}`,
    `$JS.API.DIRECT.GET.${stream}`,
    `$JS.API.CONSUMER.CREATE.${stream}`,
    `$JS.API.CONSUMER.INFO.${stream}.${partnerConsumer("beta")}`,
    `${subjects.partnerStream("beta")}.CONSUMER.MSG.NEXT.${stream}.${partnerConsumer("beta")}`,
    `${subjects.partnerStream("acme")}.CONSUMER.MSG.NEXT.${stream}.${partnerConsumer("beta")}`,
    "$SYS.REQ.SERVER.PING",
  ];
  for (const subject of requests) {
    await expect(acme.request(subject, "{}", { timeout: 300 }), subject).rejects.toThrow();
  }
  const listened = [
    ">",
    "_INBOX.>",
    subjects.eventsAll,
    `${prefix}.>`,
    subjects.partnerInbox("beta"),
  ];
  for (const subject of listened) {
    const subscription = acme.subscribe(subject);
    await expect(subscription.closed, subject).resolves.toMatchObject({
      message: expect.stringContaining("Permissions Violation"),
    });
  }
});

test("attack 30: a hostile reply subject never leaves the partner's own account", async () => {
  const { t } = system;
  const heard: string[] = [];
  for (const subject of [`${t.prefix}.shard.>`, t.subjects.outbox, t.subjects.eventsAll]) {
    t.nats.subscribe(subject, { callback: (_, message) => void heard.push(message.subject) });
  }
  await t.nats.flush();
  const stream = streamName(t.prefix, "EVENTS");
  const next = `${t.subjects.partnerStream("acme")}.CONSUMER.MSG.NEXT.${stream}.${partnerConsumer("acme")}`;
  await jetstream(t.nats).publish(t.subjects.events("acme", "del_x"), "{}");
  heard.length = 0;
  for (const reply of [
    t.subjects.shard(1),
    t.subjects.outbox,
    t.subjects.events("beta", "del_x"),
  ]) {
    acme.publish(t.subjects.partnerRequest("acme", "list"), "{}", { reply });
    acme.publish(next, '{"batch":1,"no_wait":true}', { reply });
    acme.publish("$SRV.PING", "", { reply });
  }
  // Whatever these did, it was done before a request that came after them is answered.
  await ask(acme, "acme", "list");
  await t.nats.flush();
  expect(heard).toEqual([]);
});

test("attack 31: line ends in a header stay in their header", async () => {
  const told = await ask(acme, "acme", "cancel", { delivery_id: "a\r\nNats-Msg-Id: x" });
  expect(told.body.code).toBe("invalid_field");
});

test.each(["a.b", "*", ">", "a b", "", "a".repeat(65), "ö"])(
  "attack 32: %j is no partner's name",
  async (name) => {
    await expect(system.admin.add(name)).rejects.toThrow("a partner's name is");
  },
);

test("a flood of one partner gets a bounded amount of work, and the other does not notice", async () => {
  const { subjects, metrics } = system.t;
  const asked = subjects.partnerRequest("acme", "get");
  const reply = `${subjects.partnerInbox("acme")}.flood`;
  const answers = { requests: 0, discovery: 0 };
  acme.subscribe(`${reply}.r`, { callback: () => void answers.requests++ });
  acme.subscribe(`${reply}.d`, { callback: () => void answers.discovery++ });
  const dropped = async (): Promise<Record<string, number>> => {
    const { values } = (await metrics.registry
      .getSingleMetric("hexdispatch_rate_limited_total")!
      .get()) as { values: { value: number; labels: { scope?: string } }[] };
    return Object.fromEntries(values.map(({ value, labels }) => [labels.scope, value]));
  };
  const startedAt = performance.now();
  for (let i = 0; i < FLOOD; i++) {
    acme.publish(asked, '{"delivery_id":"no"}', { reply: `${reply}.r` });
    acme.publish("$SRV.INFO", "", { reply: `${reply}.d` });
    if (i % 500 === 0) await acme.flush();
  }
  // Until, because a busy machine may find Postgres away for a moment.
  await until(async () => (await ask(beta, "beta", "list")).status === 200);
  // Behind the flood on its own connection: all of that has been looked at when this is refused or
  // answered.
  const count = await until(async () => {
    const { partner_dropped = 0, discovery = 0 } = await dropped();
    const isAll = answers.requests + partner_dropped >= FLOOD;
    return isAll && answers.discovery + discovery >= FLOOD && { partner_dropped, discovery };
  });
  const s = (performance.now() - startedAt) / 1_000;
  const most = PARTNER_REQUESTS_BURST + PARTNER_REFUSALS_BURST;
  expect(answers.requests).toBeLessThan(
    most + s * (PARTNER_REQUESTS_PER_S + PARTNER_REFUSALS_PER_S),
  );
  expect(answers.discovery).toBeLessThan(PARTNER_DISCOVERY_BURST + s * PARTNER_DISCOVERY_PER_S + 1);
  expect(count.partner_dropped).toBeGreaterThan(0);
  expect(count.discovery).toBeGreaterThan(0);
});

test("a rotated key works beside the old one until the rotation ends; a removed partner is put out", async () => {
  const first = await system.admin.add("gamma");
  const old = await vi.waitFor(() => system.connectAs("gamma", first), WAIT);
  expect((await ask(old, "gamma", "list")).status).toBe(200);
  const second = await system.admin.rotate("gamma");
  const fresh = await vi.waitFor(() => system.connectAs("gamma", second), WAIT);
  const both = await system.connectAs("gamma", first);
  expect((await ask(both, "gamma", "list")).status).toBe(200);
  await system.admin.finish("gamma");
  await both.closed();
  await expect(system.connectAs("gamma", first)).rejects.toThrow();
  const still = await vi.waitFor(() => system.connectAs("gamma", second), WAIT);
  expect((await ask(still, "gamma", "list")).status).toBe(200);
  await system.admin.remove("gamma");
  await still.closed();
  await expect(system.connectAs("gamma", second)).rejects.toThrow();
  if (!fresh.isClosed()) await fresh.close();
});

test("one partner cannot take all of the server: its connections and messages have bounds", async () => {
  const subject = system.t.subjects.partnerRequest("acme", "get");
  const big = new Uint8Array(PARTNER_MESSAGE_MAX_BYTES + 1);
  await expect(acme.request(subject, big, { timeout: 2_000 })).rejects.toThrow();
  const opened: NatsConnection[] = [];
  const fill = async (): Promise<void> => {
    for (;;) opened.push(await system.connectAs("beta", betaSeed));
  };
  // The server says why and hangs up; which of the two the client sees first is chance.
  await expect(fill()).rejects.toThrow();
  // `beta` itself is one of them.
  expect(opened.length).toBe(PARTNER_CONNECTIONS_MAX - 1);
  await Promise.all(opened.map((nc) => nc.close()));
});

test("a revoked partner is refused over NATS at once, and let in again with a new key alone", async () => {
  const { admin, t } = system;
  const seed = await admin.add("gone");
  const nc = await vi.waitFor(() => system.connectAs("gone", seed), WAIT);
  expect((await ask(nc, "gone", "list")).status).toBe(200);
  const operator = await tokenOf("operator", "ops_1");
  const body = { role: "partner", subject: "gone" };
  expect((await t.rest.post("/v1/revocations", operator, body)).status).toBe(200);
  expect((await ask(nc, "gone", "list")).body.code).toBe("unauthorized");
  expect((await ask(acme, "acme", "list")).status).toBe(200);
  // The old key is still good in a rotation that was not finished: the partner stays out.
  const fresh = await admin.rotate("gone");
  const newer = await vi.waitFor(() => system.connectAs("gone", fresh), WAIT);
  expect((await ask(newer, "gone", "list")).status).toBe(401);
  await admin.finish("gone");
  const again = await vi.waitFor(() => system.connectAs("gone", fresh), WAIT);
  await vi.waitFor(async () => {
    expect((await ask(again, "gone", "list")).status).toBe(200);
  }, WAIT);
});
