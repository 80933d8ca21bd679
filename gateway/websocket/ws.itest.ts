/**
 * The socket against a real database and NATS: hello, pings, commands, following a delivery,
 * offers, the end.
 */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { CLOSE_CODES } from "../../proto/errors.ts";
import type { Epoch, ShardId } from "../../proto/ids.ts";
import { TRACKS_PER_SESSION_MAX } from "../../proto/limits.ts";
import { openClient, until } from "../testing/clients.ts";
import type { Client } from "../testing/clients.ts";
import { BODY, HERE, goOnShift, startTestGateway, tokenOf } from "../testing/gateway.ts";
import type { TestGateway } from "../testing/gateway.ts";

let t: TestGateway;
let customer: string;
let operator: string;

beforeAll(async () => {
  t = await startTestGateway();
  customer = await tokenOf("customer", "cus_1");
  operator = await tokenOf("operator", "ops_1");
});
afterAll(() => t.close());

/** A courier on shift; in operation its actor writes the shift. */
async function courier(id: string): Promise<string> {
  const body = { name: "Alice Anderson", phone: "+1-555-0101", vehicle: "bike", capacity: 5 };
  await t.rest.put(`/v1/couriers/${id}`, operator, body);
  await goOnShift(t.store, id);
  return tokenOf("courier", id);
}
async function create(): Promise<{ id: string; secret: string }> {
  const { body } = await t.rest.post("/v1/deliveries", customer, BODY);
  return { id: body.delivery_id, secret: body.tracking_url.split("/").pop() };
}
const ping = (seq: number) => ({
  seq,
  at: Date.now(),
  ...HERE,
  accuracyM: 5,
  speedMps: null,
  headingDeg: null,
});
const gatewayId = (): string => t.deps.gateway;

describe("a connection", () => {
  it("needs the subprotocol, and an origin of ours where there is one", async () => {
    await expect(openClient(t.url, "other.v1")).rejects.toThrow(/400/);
    const { WebSocket } = await import("ws");
    const refusal = (origin: string) =>
      new Promise<string>((resolve) => {
        const url = `${t.url.replace("http", "ws")}/v1/socket`;
        const socket = new WebSocket(url, "hexdispatch.v1.msgpack", { origin });
        socket.on("error", (error) => resolve(error.message));
        socket.on("open", () => resolve("open"));
      });
    expect(await refusal("https://evil.test")).toMatch(/403/);
    expect(await refusal("null")).toMatch(/403/);
    expect(await refusal(t.url)).toBe("open");
  });

  it("is welcomed with who it is", async () => {
    const client = await t.connect(customer);
    const welcome = await client.next("welcome");
    expect(welcome).toMatchObject({ role: "customer", subject: "cus_1", version: 1, online: null });
    expect(Math.abs(welcome.now - Date.now())).toBeLessThan(5_000);
  });

  it("is closed with the code that says why", async () => {
    const first = await openClient(t.url);
    first.send({ type: "untrack", ref: 1, delivery: "del_000aaaaaaaaaaaaaaaaaaaa" as never });
    expect(await first.closed).toBe(CLOSE_CODES.bad_frame.code);
    expect(await (await t.connect("nonsense")).closed).toBe(CLOSE_CODES.unauthorized.code);
    const late = await t.connect(await tokenOf("customer", "cus_1", -60));
    expect(await late.closed).toBe(CLOSE_CODES.token_expired.code);
    expect(late.frames.at(-1)).toMatchObject({ type: "bye", retry: true });
  });

  it("ends when its token does", async () => {
    const client = await t.connect(await tokenOf("customer", "cus_1", 1));
    await client.next("welcome");
    expect(await client.closed).toBe(CLOSE_CODES.token_expired.code);
  });
});

describe("a courier's session", () => {
  it("tells the courier's actor, and gives way to a newer one (D7)", async () => {
    const token = await courier("cur_two_phones");
    const old = await t.connect(token);
    const welcome = await old.next("welcome");
    expect(welcome).toMatchObject({ role: "courier", online: true, assignments: [] });
    await until(() => t.nodes.heard("opened", "cur_two_phones").length === 1);
    const newer = await t.connect(token);
    expect(await old.closed).toBe(CLOSE_CODES.replaced.code);
    const session = (await newer.next("welcome")).session;
    await until(() => t.nodes.heard("opened", "cur_two_phones").at(-1)?.session === session);
    await until(() => t.nodes.heard("closed", "cur_two_phones")[0]?.session === welcome.session);
    newer.end();
    await until(() => t.nodes.heard("closed", "cur_two_phones").length === 2);
  });

  it("is one at a time, however often the courier connects: each newer one ends the one before", async () => {
    const token = await courier("cur_three_phones");
    const phones = [];
    for (let i = 0; i < 3; i++) {
      const phone = await t.connect(token);
      await phone.next("welcome");
      phones.push(phone);
    }
    const [first, second, third] = phones as [Client, Client, Client];
    const { code } = CLOSE_CODES.replaced;
    expect([await first.closed, await second.closed]).toEqual([code, code]);
    third.send({ type: "ping", ...ping(1) });
    expect((await third.next("ping_ack")).seq).toBe(1);
    third.end();
  });

  it("passes pings on in batches and acknowledges the highest", async () => {
    const client = await t.connect(await courier("cur_pings"));
    await client.next("welcome");
    for (let seq = 1; seq <= 20; seq++) client.send({ type: "ping", ...ping(seq) });
    const seen = (): number => (client.frames.findLast((f) => f.type === "ping_ack") as any)?.seq;
    await until(() => seen() === 20);
    client.send({ type: "pings", pings: [ping(21), ping(22), ping(23)] });
    await until(() => seen() === 23);
    const pings = await until(() => {
      const heard = t.nodes.heard("ping", "cur_pings");
      return heard.length === 23 && heard;
    });
    expect(pings.map((p) => p.seq)).toEqual(Array.from({ length: 23 }, (_, i) => i + 1));
    expect(pings.slice(20).map((p) => p.newest)).toEqual([false, false, true]);
  });

  it("takes, reports and gets its deliveries back after a reconnect", async () => {
    const token = await courier("cur_carries");
    const client = await t.connect(token);
    await client.next("welcome");
    const { id } = await create();
    client.send({ type: "accept", ref: 7, delivery: id as never });
    expect(await client.next("ok")).toMatchObject({ ref: 7, result: { accepted: true } });
    const { assignment } = await client.next("assignment");
    expect(assignment).toMatchObject({ id, status: "assigned", phone: BODY.phone });
    const status = { type: "status", delivery: id as never, at: null, reason: null } as const;
    client.send({ ...status, ref: 8, status: "delivered" });
    expect(await client.next("error")).toMatchObject({ ref: 8, code: "wrong_status" });
    client.send({ ...status, ref: 9, status: "picked_up" });
    expect((await client.next("ok")).ref).toBe(9);
    client.send({ type: "shift", ref: 10, online: false });
    expect(await client.next("ok")).toMatchObject({ ref: 10, result: { online: false } });
    client.send({ type: "decline", ref: 11, delivery: id as never, reason: null });
    expect((await client.next("ok")).ref).toBe(11);
    client.send({ type: "track", ref: 12, delivery: id as never, after: null });
    expect(await client.next("error")).toMatchObject({ ref: 12, code: "forbidden" });
    client.end();
    const again = await t.connect(token);
    const { assignments } = await again.next("welcome");
    expect(assignments).toMatchObject([{ id, status: "picked_up" }]);
  });

  it("gets the frames of its actor, and an offer's delay is measured", async () => {
    const client = await t.connect(await courier("cur_offered"));
    const { session } = await client.next("welcome");
    const { id } = await create();
    const offer = {
      type: "offer",
      epoch: 1,
      number: 1,
      delivery: id as never,
      until: Date.now() + 20_000,
      ttlMs: 20_000,
      pickupLng: HERE.lng,
      pickupLat: HERE.lat,
      pickupArea: null,
      dropoffLng: HERE.lng,
      dropoffLat: HERE.lat,
      dropoffArea: null,
      size: "small",
      distanceM: 100,
      etaS: 60,
    } as const;
    const receivedAtUs = (Date.now() - 50) * 1000;
    const origin = { shard: 9 as ShardId, epoch: 7 as Epoch };
    t.nodes.notify(gatewayId(), [
      { session, frame: offer, receivedAtUs, ordinal: 1, ...origin },
      { session: "s_gone", frame: offer, receivedAtUs, ordinal: 2, ...origin },
    ]);
    expect((await client.next("offer")).delivery).toBe(id);
    const lines = (await t.metrics.text()).split("\n");
    const counts = lines.filter((line) => line.startsWith("hexdispatch_offer_delay_seconds_count"));
    expect(counts).toEqual([expect.stringMatching(/ordinal="1".* 1$/)]);
  });

  it("D8: hears nothing from an owner whose time is over", async () => {
    const client = await t.connect(await courier("cur_fenced"));
    const { session } = await client.next("welcome");
    const say = (seq: number, shard: number, epoch: number): void =>
      t.nodes.notify(gatewayId(), [
        {
          session,
          frame: { type: "ping_ack", seq },
          ...{ receivedAtUs: 0, ordinal: 0, shard: shard as ShardId, epoch: epoch as Epoch },
        },
      ]);
    say(1, 20, 5);
    say(2, 20, 4);
    say(3, 21, 1);
    say(4, 20, 6);
    say(5, 20, 5);
    say(6, 20, 6);
    await until(() => client.frames.some((f) => f.type === "ping_ack" && f.seq === 6));
    expect(client.frames.flatMap((f) => (f.type === "ping_ack" ? [f.seq] : []))).toEqual([
      1, 3, 4, 6,
    ]);
    const text = await t.metrics.text();
    expect(text).toMatch(/hexdispatch_fenced_messages_total\{what="frame".*\} 2/);
  });

  it("is announced again when a node comes up", async () => {
    const client = await t.connect(await courier("cur_announced"));
    await client.next("welcome");
    await until(() => t.nodes.heard("opened", "cur_announced").length === 1);
    t.nodes.nodeUp(Array.from({ length: 64 }, (_, shard) => shard));
    await until(() => t.nodes.heard("opened", "cur_announced").length === 2);
  });
});

describe("a follower", () => {
  async function follow(client: Client, id: string, ref = 1): Promise<void> {
    await client.next("welcome");
    client.send({ type: "track", ref, delivery: id as never, after: null });
  }

  it("gets the delivery, then each change, never an older one (D5)", async () => {
    const { id, secret } = await create();
    const token = await courier("cur_followed");
    const owner = await t.connect(customer);
    await follow(owner, id);
    expect((await owner.next("ok")).ref).toBe(1);
    expect(await owner.next("delivery")).toMatchObject({ delivery: id, version: 1 });
    // The link opens with the assignment, and not before.
    expect(await (await t.connect(secret)).closed).toBe(CLOSE_CODES.unauthorized.code);
    await t.rest.post(`/v1/deliveries/${id}/accept`, token);
    for (let i = 0; i < 5; i++) t.nodes.event("cus_1", id);
    const mine = await owner.next("delivery");
    expect(mine).toMatchObject({ version: 2, view: { courier: { name: "Alice Anderson" } } });
    const link = await t.connect(secret);
    await follow(link, id);
    const theirs = await link.next("delivery");
    expect(theirs.view.courier).toMatchObject({ name: "Alice", phone: null });
    // The lost event of this one heals by the slow read.
    await t.rest.post(`/v1/deliveries/${id}/status`, token, { status: "picked_up" });
    expect((await owner.next("delivery")).version).toBe(3);
    expect(theirs.view.external_id).toBeNull();
    const versions = owner.frames.filter((f) => f.type === "delivery").map((f) => f.version);
    expect(versions).toEqual([1, 2, 3]);
  });

  it("does not learn of foreign deliveries", async () => {
    const { id } = await create();
    const stranger = await t.connect(await tokenOf("customer", "cus_stranger"));
    await follow(stranger, id, 4);
    expect(await stranger.next("error")).toMatchObject({ ref: 4, code: "not_found" });
    t.nodes.event("cus_1", id);
    stranger.send({ type: "untrack", ref: 5, delivery: id as never });
    expect((await stranger.next("ok")).ref).toBe(5);
    expect(stranger.frames.some((f) => f.type === "delivery")).toBe(false);
  });

  it("gets positions while it is carried, newest only, and none before or after (D6)", async () => {
    const { id } = await create();
    const token = await courier("cur_moving");
    const owner = await t.connect(customer);
    await follow(owner, id);
    await owner.next("delivery");
    const at = Date.now();
    t.nodes.move(gatewayId(), "cur_moving", at - 9_000, -122.4, 37.78);
    await t.rest.post(`/v1/deliveries/${id}/accept`, token);
    t.nodes.event("cus_1", id);
    expect((await owner.next("delivery")).version).toBe(2);
    await until(() => t.nodes.watches.some((w) => w.couriers.includes("cur_moving" as never)));
    for (const [i, lng] of [-122.41, -122.42, -122.43].entries()) {
      t.nodes.move(gatewayId(), "cur_moving", at + 10 * i, lng, 37.78);
    }
    t.nodes.move(gatewayId(), "cur_moving", at - 500, -122.5, 37.78);
    // Newer, but from an owner before the one that has spoken.
    t.nodes.move(gatewayId(), "cur_moving", at + 30, -122.6, 37.78, 0);
    const last = await until(() =>
      owner.frames
        .filter((f) => f.type === "positions")
        .flatMap((f) => f.positions)
        .find((p) => p.at === at + 20),
    );
    expect(last).toMatchObject({ delivery: id, lng: -122.43 });
    for (const status of ["picked_up", "delivered"]) {
      await t.rest.post(`/v1/deliveries/${id}/status`, token, { status });
    }
    t.nodes.event("cus_1", id);
    await until(() => owner.frames.some((f) => f.type === "delivery" && f.version === 4));
    t.nodes.move(gatewayId(), "cur_moving", at + 99, -122.44, 37.78);
    await until(() => t.nodes.watches.at(-1)?.couriers.length === 0);
    await new Promise((resolve) => setTimeout(resolve, 300)); // Three rounds of positions.
    const times = owner.frames
      .filter((f) => f.type === "positions")
      .flatMap((f) => f.positions.map((p) => p.at));
    expect(times).toEqual(times.toSorted((a, b) => a - b));
    expect(times).not.toContain(at + 99);
    expect(times).not.toContain(at + 30);
  });

  it("follows a bounded number of deliveries", async () => {
    const ids = (await t.rest.get("/v1/deliveries?limit=100", customer)).body.deliveries;
    expect(TRACKS_PER_SESSION_MAX).toBeGreaterThan(ids.length);
    const client = await t.connect(customer);
    await follow(client, ids[0].id);
    await client.next("delivery");
    // Following again shows it again and counts once.
    client.send({ type: "track", ref: 2, delivery: ids[0].id, after: null });
    expect((await client.next("delivery")).delivery).toBe(ids[0].id);
  });
});

describe("the end of a gateway", () => {
  it("says goodbye, closes with a code to come back on, and tells the couriers' actors", async () => {
    const other = await startTestGateway();
    const body = { name: "Al", phone: "+1-555-0101", vehicle: "bike", capacity: 1 };
    await other.rest.put("/v1/couriers/cur_last", operator, body);
    const client = await other.connect(await tokenOf("courier", "cur_last"));
    await client.next("welcome");
    await other.gateway.stop();
    expect(await client.closed).toBe(CLOSE_CODES.going_away.code);
    expect(client.frames.findLast((f) => f.type === "bye")).toMatchObject({ retry: true });
    await until(() => other.nodes.heard("closed", "cur_last").length === 1);
    await expect(fetch(`${other.url}/v1/openapi.json`)).rejects.toThrow();
    await other.close();
  });
});
