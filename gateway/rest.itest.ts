/**
 * Every call of the REST door against a real database and NATS: statuses, bodies, roles, keys.
 */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { z } from "zod";
import * as answers from "./schemas-answers.ts";
import { BODY, HERE, startTestGateway, tokenOf, until } from "./testing.ts";
import type { RestAnswer, TestGateway } from "./testing.ts";

let t: TestGateway;
let customer: string;
let stranger: string;
let partner: string;
let operator: string;
let alice: string;
let bob: string;

beforeAll(async () => {
  t = await startTestGateway();
  [customer, stranger, partner, operator, alice, bob] = await Promise.all([
    tokenOf("customer", "cus_1"),
    tokenOf("customer", "cus_2"),
    tokenOf("partner", "par_1"),
    tokenOf("operator", "ops_1"),
    tokenOf("courier", "cur_alice"),
    tokenOf("courier", "cur_bob"),
  ]);
  for (const [id, name] of [
    ["cur_alice", "Alice Anderson"],
    ["cur_bob", "Bob Brown"],
  ] as const) {
    const body = { name, phone: "+1-555-0101", vehicle: "bike", capacity: 20 };
    expect((await t.rest.put(`/v1/couriers/${id}`, operator, body)).status).toBe(200);
    await goOnShift(id);
  }
});
afterAll(() => t.close());

/** In operation the courier's actor writes the shift. */
async function goOnShift(id: string): Promise<void> {
  const shards = await t.store.takeShards("node_test", [0 as never]);
  const write = { kind: "shift", courier: id as never, online: true } as const;
  const outcome = await t.store.write(write, 0 as never, [...shards.values()][0] as never);
  expect(outcome.outcome).toBe("recorded");
}

const fits = (schema: z.ZodType, answer: RestAnswer): void =>
  expect(schema.safeParse(answer.body).error?.issues ?? []).toEqual([]);

async function create(token = customer, more: object = {}): Promise<any> {
  const answer = await t.rest.post("/v1/deliveries", token, { ...BODY, ...more });
  expect(answer.status, answer.text).toBe(201);
  return answer.body;
}
async function assigned(courier = alice): Promise<string> {
  const { delivery_id: id } = await create();
  expect((await t.rest.post(`/v1/deliveries/${id}/accept`, courier)).status).toBe(200);
  return id;
}
const secretOf = (created: { tracking_url: string }): string =>
  created.tracking_url.split("/").pop() as string;

function refused(answer: RestAnswer, status: number, code: string, pointer?: string): void {
  expect([answer.status, answer.body?.code], answer.text).toEqual([status, code]);
  expect(answer.headers.get("content-type")).toBe("application/problem+json");
  fits(answers.problemAnswer, answer);
  if (pointer !== undefined) {
    expect(answer.body.errors.map((e: { pointer: string }) => e.pointer)).toContain(pointer);
  }
}

describe("a create", () => {
  it("is committed, answered 201 and told to the delivery's shard", async () => {
    const before = Date.now() * 1000;
    const answer = await t.rest.post("/v1/deliveries", customer, BODY);
    expect(answer.status).toBe(201);
    fits(answers.createdAnswer, answer);
    const { delivery_id: id, tracking_url: link } = answer.body;
    expect(link).toMatch(/^http:\/\/links\.test\/t\/[A-Za-z0-9_-]{22}$/);
    const row = await t.store.delivery(id);
    expect(row).toMatchObject({ owner: "cus_1", status: "pending", version: 1 });
    const [created] = await until(() => {
      const heard = t.nodes.heard("created", id);
      return heard.length > 0 && heard;
    });
    expect(created?.job).toMatchObject({ id, owner: "cus_1", pickupLat: HERE.lat });
    expect(created?.job.receivedAtUs).toBeGreaterThan(before - 1_000_000);
    expect(t.nodes.outboxNudges).toBeGreaterThan(0);
  });

  it("answers without the version prefix too", async () => {
    expect((await t.rest.post("/deliveries", customer, BODY)).status).toBe(201);
  });

  it("finds addresses, and keeps their text where coordinates win", async () => {
    const { origin: _o, destination: _d, ...rest } = BODY;
    const found = await t.rest.post("/v1/deliveries", customer, {
      ...rest,
      origin_address: "123 Market St, SF",
      destination_address: "456 Valencia St, SF",
    });
    expect(found.status, found.text).toBe(201);
    const row = await t.store.delivery(found.body.delivery_id);
    expect(row).toMatchObject({ pickupAddress: "123 Market St, SF", pickupLat: 37.7936 });
    const both = await create(customer, { origin_address: "9 Nowhere Rd" });
    const kept = await t.store.delivery(both.delivery_id);
    expect(kept).toMatchObject({ pickupAddress: "9 Nowhere Rd", pickupLat: HERE.lat });
    const [job] = await until(() => {
      const heard = t.nodes.heard("created", found.body.delivery_id);
      return heard.length > 0 && heard;
    });
    expect(job?.job.pickupArea).toBe("Market St");
  });

  it("refuses an address that is not found, and a point outside the served area, at its pointer", async () => {
    const lost = { ...BODY, origin: undefined, origin_address: "9 Nowhere Rd" };
    refused(
      await t.rest.post("/v1/deliveries", customer, lost),
      422,
      "address_not_found",
      "/origin_address",
    );
    const far = { ...BODY, destination: { lat: 0, lng: 0 } };
    refused(
      await t.rest.post("/v1/deliveries", customer, far),
      422,
      "outside_service_area",
      "/destination",
    );
  });

  it("names every bad field", async () => {
    const bad = { ...BODY, origin: { lat: 91, lng: "x" }, colour: "red", package_size: "huge" };
    const answer = await t.rest.post("/v1/deliveries", customer, bad);
    expect(answer.status).toBe(422);
    const pointers = answer.body.errors.map((e: { pointer: string }) => e.pointer);
    expect(pointers.toSorted()).toEqual(["/colour", "/origin/lat", "/origin/lng", "/package_size"]);
    refused(
      await t.rest.post("/v1/deliveries", customer, {}),
      422,
      "invalid_field",
      "/origin_address",
    );
    refused(
      await t.rest.post("/v1/deliveries", customer, { ...BODY, ready_at: "2099-01-01T00:00:00Z" }),
      422,
      "invalid_field",
      "/ready_at",
    );
  });

  it("refuses keys that would reach a prototype", async () => {
    const evil = JSON.stringify(BODY).replace("{", '{"__proto__":{"admin":true},');
    refused(
      await t.rest.post("/v1/deliveries", customer, evil),
      422,
      "unknown_field",
      "/__proto__",
    );
    expect(({} as Record<string, unknown>)["admin"]).toBeUndefined();
  });

  it("refuses what is not JSON, not announced as JSON, not UTF-8, packed or too large", async () => {
    const post = (body: string | Uint8Array, headers = {}) =>
      t.rest.post("/v1/deliveries", customer, body, headers);
    refused(await post("{"), 400, "bad_request");
    refused(await post(new Uint8Array([0x22, 0xff, 0x22])), 400, "bad_request");
    refused(await post("{}", { "content-type": "text/plain" }), 415, "unsupported_media_type");
    refused(await post("{}", { "content-encoding": "gzip" }), 415, "unsupported_media_type");
    refused(await post(`"${"x".repeat(70_000)}"`), 413, "payload_too_large");
  });
});

describe("Idempotency-Key", () => {
  const key = (name: string) => ({ "idempotency-key": name });

  it("gives a create's answer again, marked, and makes one delivery (D4)", async () => {
    const first = await t.rest.post("/v1/deliveries", customer, BODY, key("k1"));
    const again = await t.rest.post("/v1/deliveries", customer, BODY, key("k1"));
    expect([again.status, again.text]).toEqual([201, first.text]);
    expect(again.headers.get("idempotent-replayed")).toBe("true");
    expect(first.headers.get("idempotent-replayed")).toBeNull();
  });

  it("refuses another body, and knows other principals as others", async () => {
    const other = { ...BODY, package_size: "large" };
    refused(
      await t.rest.post("/v1/deliveries", customer, other, key("k1")),
      422,
      "idempotency_mismatch",
    );
    const theirs = await t.rest.post("/v1/deliveries", partner, BODY, key("k1"));
    expect(theirs.headers.get("idempotent-replayed")).toBeNull();
  });

  it("says 409 while the first still runs, and never makes two", async () => {
    const all = await Promise.all(
      Array.from({ length: 8 }, () => t.rest.post("/v1/deliveries", customer, BODY, key("k2"))),
    );
    const ids = new Set(all.filter((a) => a.status === 201).map((a) => a.body.delivery_id));
    expect(ids.size).toBe(1);
    const waiting = all.filter((a) => a.status !== 201);
    expect(waiting.length).toBeGreaterThan(0);
    for (const answer of waiting) {
      refused(answer, 409, "idempotency_in_progress");
      expect(answer.headers.get("retry-after")).toBe("1");
    }
  });

  it("is the external_id where there is no key", async () => {
    const body = { ...BODY, external_id: "order-1" };
    const first = await t.rest.post("/v1/deliveries", partner, body);
    const again = await t.rest.post("/v1/deliveries", partner, body);
    expect(again.text).toBe(first.text);
    expect(again.headers.get("idempotent-replayed")).toBe("true");
  });

  it("gives the answers of other commands again, refusals included, but keeps no failed validation", async () => {
    const { delivery_id: id } = await create();
    const path = `/v1/deliveries/${id}/accept`;
    refused(await t.rest.post(path, alice, { nonsense: 1 }, key("k3")), 422, "unknown_field");
    const first = await t.rest.post(path, alice, undefined, key("k3"));
    const again = await t.rest.post(path, alice, undefined, key("k3"));
    expect([first.status, again.status, again.text]).toEqual([200, 200, first.text]);
    expect(again.headers.get("idempotent-replayed")).toBe("true");
    refused(await t.rest.post(path, bob, undefined, key("k4")), 409, "delivery_taken");
    const kept = await t.rest.post(path, bob, undefined, key("k4"));
    refused(kept, 409, "delivery_taken");
    expect(kept.headers.get("idempotent-replayed")).toBe("true");
    refused(
      await t.rest.post(`/v1/deliveries/${id}/cancel`, alice, undefined, key("k3")),
      403,
      "forbidden",
    );
  });

  it("is refused when it is too long or not printable", async () => {
    for (const bad of ["x".repeat(256), "a\tb"]) {
      refused(await t.rest.post("/v1/deliveries", customer, BODY, key(bad)), 422, "invalid_field");
    }
  });
});

describe("a delivery", () => {
  it("is shown with an ETag, and 304 while nothing changed", async () => {
    const { delivery_id: id } = await create();
    const first = await t.rest.get(`/v1/deliveries/${id}`, customer);
    expect(first.status).toBe(200);
    fits(answers.deliveryAnswer, first);
    expect(first.body).toMatchObject({ id, version: 1, status: "pending", courier: null });
    const etag = first.headers.get("etag") as string;
    const same = await t.rest.get(`/v1/deliveries/${id}`, customer, { "if-none-match": etag });
    expect([same.status, same.text]).toEqual([304, ""]);
    await t.rest.post(`/v1/deliveries/${id}/accept`, alice);
    const changed = await t.rest.get(`/v1/deliveries/${id}`, customer, { "if-none-match": etag });
    expect([changed.status, changed.body.status, changed.body.version]).toEqual([
      200,
      "assigned",
      2,
    ]);
  });

  it("does not exist for strangers", async () => {
    const id = await assigned();
    for (const token of [stranger, partner, bob]) {
      refused(await t.rest.get(`/v1/deliveries/${id}`, token), 404, "not_found");
    }
    refused(
      await t.rest.get("/v1/deliveries/del_000aaaaaaaaaaaaaaaaaaaa", customer),
      404,
      "not_found",
    );
    refused(await t.rest.get("/v1/deliveries/nonsense", customer), 404, "not_found");
    refused(await t.rest.post(`/v1/deliveries/${id}/cancel`, stranger), 404, "not_found");
    refused(
      await t.rest.post(`/v1/deliveries/${id}/status`, bob, { status: "picked_up" }),
      404,
      "not_found",
    );
  });

  it("shows who carries it, in full while it is carried, and where, as its courier's shard says", async () => {
    const id = await assigned();
    const at = Date.now() - 4_000;
    t.nodes.records.set("cur_alice", {
      ...({
        courier: "cur_alice",
        no: 1,
        vehicle: "bike",
        slots: 1,
        online: true,
        active: 1,
      } as any),
      at,
      lng: -122.41,
      lat: 37.78,
    });
    // Polling: an answer of the courier's shard serves all readers for half a second.
    const shown = await until(async () => {
      const { body } = await t.rest.get(`/v1/deliveries/${id}`, customer);
      return body.courier_location === null ? null : body;
    });
    expect(shown.courier).toEqual({
      id: "cur_alice",
      name: "Alice Anderson",
      phone: "+1-555-0101",
      vehicle: "bike",
    });
    expect(shown.courier_location).toMatchObject({ lat: 37.78, lng: -122.41 });
    expect(Math.abs(shown.courier_location.age_s - 4)).toBeLessThanOrEqual(1);
    await t.rest.post(`/v1/deliveries/${id}/status`, alice, { status: "picked_up" });
    expect((await t.rest.get(`/v1/deliveries/${id}`, alice)).body.estimated_pickup_time).toBeNull();
    await t.rest.post(`/v1/deliveries/${id}/status`, alice, { status: "delivered" });
    const over = (await t.rest.get(`/v1/deliveries/${id}`, customer)).body;
    expect(over).toMatchObject({ status: "delivered", courier_location: null });
    expect(over.courier).toEqual({ id: "cur_alice", name: null, phone: null, vehicle: "bike" });
    expect((await t.rest.get(`/v1/deliveries/${id}`, operator)).body.courier.name).toBe(
      "Alice Anderson",
    );
  });

  it("is read by whoever has its link, with less in it, and by that link nothing else", async () => {
    const created = await create(customer, { external_id: "secret-order" });
    const { delivery_id: id } = created;
    const secret = secretOf(created);
    await t.rest.post(`/v1/deliveries/${id}/accept`, alice);
    const shown = await t.rest.get(`/v1/deliveries/${id}`, secret);
    expect(shown.status).toBe(200);
    fits(answers.deliveryAnswer, shown);
    expect(shown.body.external_id).toBeNull();
    expect(shown.body.courier).toMatchObject({ name: "Alice", phone: null });
    const list = await t.rest.get("/v1/deliveries", secret);
    expect(list.body.deliveries.map((d: { id: string }) => d.id)).toEqual([id]);
    refused(await t.rest.get(`/v1/deliveries/${await assigned()}`, secret), 404, "not_found");
    refused(await t.rest.post(`/v1/deliveries/${id}/cancel`, secret), 403, "forbidden");
    refused(await t.rest.get(`/v1/deliveries/${id}`, "A".repeat(22)), 401, "unauthorized");
    const page = await t.rest.get(`/t/${secret}`);
    expect(page.status).toBe(200);
    expect(page.text).toContain(id);
    expect(page.text).not.toContain(secret);
    expect(page.headers.get("content-security-policy")).toContain("default-src 'none'");
    expect((await t.rest.get(`/t/${"A".repeat(22)}`)).status).toBe(404);
  });

  it("is listed to its owner page by page, newest first", async () => {
    const token = await tokenOf("customer", "cus_lists");
    const ids: string[] = [];
    for (let i = 0; i < 5; i++) ids.unshift((await create(token)).delivery_id);
    const seen: string[] = [];
    let cursor = "";
    for (let pages = 0; pages < 4; pages++) {
      const answer = await t.rest.get(`/v1/deliveries?limit=2${cursor}`, token);
      fits(answers.listAnswer, answer);
      seen.push(...answer.body.deliveries.map((d: { id: string }) => d.id));
      if (answer.body.next_cursor === null) break;
      cursor = `&cursor=${answer.body.next_cursor}`;
    }
    expect(seen.toSorted()).toEqual(ids.toSorted());
    expect(seen).toHaveLength(5);
    const none = await t.rest.get("/v1/deliveries?status=delivered", token);
    expect(none.body.deliveries).toEqual([]);
    for (const [query, pointer] of [
      ["limit=0", "/limit"],
      ["limit=101", "/limit"],
      ["cursor=abc", "/cursor"],
      ["status=gone", "/status"],
      ["order=id", "/order"],
      ["limit=1&limit=2", "/limit"],
    ] as const) {
      const answer = await t.rest.get(`/v1/deliveries?${query}`, token);
      expect(answer.status).toBe(422);
      expect(answer.body.errors[0].pointer).toBe(pointer);
    }
  });

  it("is canceled by its owner before the pickup, and by an operator until it has ended", async () => {
    const id = await assigned();
    const canceled = await t.rest.post(`/v1/deliveries/${id}/cancel`, customer, {
      reason: "too late",
    });
    expect([canceled.status, canceled.body]).toEqual([200, { canceled: true, status: "canceled" }]);
    const row = (await t.rest.get(`/v1/deliveries/${id}`, customer)).body;
    expect(row.status_reason).toBe("canceled_by_customer: too late");
    const other = await assigned();
    await t.rest.post(`/v1/deliveries/${other}/status`, alice, { status: "picked_up" });
    refused(await t.rest.post(`/v1/deliveries/${other}/cancel`, customer), 409, "wrong_status");
    expect((await t.rest.post(`/v1/deliveries/${other}/cancel`, operator)).status).toBe(200);
    // D4: repeated, it changes nothing and says the same.
    expect((await t.rest.post(`/v1/deliveries/${other}/cancel`, operator)).status).toBe(200);
    const done = await assigned();
    for (const status of ["picked_up", "delivered"]) {
      await t.rest.post(`/v1/deliveries/${done}/status`, alice, { status });
    }
    refused(await t.rest.post(`/v1/deliveries/${done}/cancel`, operator), 409, "wrong_status");
    await until(() => t.nodes.heard("changed", other).some((m) => m.status === "canceled"));
  });
});

describe("a courier", () => {
  it("sees what waits nearby, nearest first, with shortened addresses", async () => {
    const near = await create(customer, { origin_address: "123 Market St, SF" });
    const answer = await t.rest.get(
      `/v1/deliveries/available?lat=${HERE.lat}&lng=${HERE.lng}&courier_id=cur_alice`,
      alice,
    );
    expect(answer.status).toBe(200);
    fits(answers.availableAnswer, answer);
    const found = answer.body.deliveries.find((d: { id: string }) => d.id === near.delivery_id);
    expect(found.origin.address).toBe("Market St");
    const away = answer.body.deliveries.map((d: { distance_km: number }) => d.distance_km);
    expect(away).toEqual(away.toSorted((a: number, b: number) => a - b));
    refused(
      await t.rest.get("/v1/deliveries/available?lat=91&lng=0", alice),
      422,
      "invalid_field",
      "/lat",
    );
    refused(
      await t.rest.get("/v1/deliveries/available?lat=1", alice),
      422,
      "invalid_field",
      "/lng",
    );
    refused(
      await t.rest.get(`/v1/deliveries/available?lat=1&lng=1&courier_id=cur_bob`, alice),
      403,
      "identity_mismatch",
    );
  });

  it("takes a delivery once, gets the same answer again, and the others get 409 (D1, D4)", async () => {
    const { delivery_id: id } = await create();
    const path = `/v1/deliveries/${id}/accept`;
    const first = await t.rest.post(path, alice, { courier_id: "cur_alice" });
    fits(answers.acceptedAnswer, first);
    expect((await t.rest.post(path, alice)).body).toEqual(first.body);
    refused(await t.rest.post(path, bob), 409, "delivery_taken");
    refused(await t.rest.post(path, alice, { courier_id: "cur_bob" }), 403, "identity_mismatch");
    const [told] = await until(() => {
      const heard = t.nodes.heard("changed", id);
      return heard.length > 0 && heard;
    });
    expect(told).toMatchObject({ version: 2, status: "assigned", courier: "cur_alice" });
  });

  it("declines by way of the delivery's actor, whose answer it gets", async () => {
    const { delivery_id: id } = await create();
    const path = `/v1/deliveries/${id}/decline`;
    expect((await t.rest.post(path, bob, { reason: "too far" })).body).toEqual({ declined: true });
    expect(t.nodes.heard("declined", id)[0]).toMatchObject({
      courier: "cur_bob",
      reason: "too far",
    });
    t.nodes.answer = "not_offered";
    refused(await t.rest.post(path, bob), 409, "not_offered");
    t.nodes.answer = null;
    const answer = await t.rest.post(path, bob);
    refused(answer, 503, "unavailable");
    expect(answer.headers.get("retry-after")).toBe("1");
    t.nodes.answer = "ok";
  });

  it("reports progress in order only", async () => {
    const id = await assigned();
    const path = `/v1/deliveries/${id}/status`;
    refused(await t.rest.post(path, alice, { status: "delivered" }), 409, "wrong_status");
    const claim = { status: "picked_up", timestamp: "2026-05-03T14:15:00+02:00" };
    expect((await t.rest.post(path, alice, claim)).body).toEqual({ success: true });
    const row = await t.store.delivery(id as never);
    expect(row?.pickedUpClaimedAt).toBe(Date.parse(claim.timestamp));
    refused(await t.rest.post(path, alice, { status: "pending" }), 422, "invalid_field", "/status");
    refused(
      await t.rest.post(path, alice, { ...claim, timestamp: "yesterday" }),
      422,
      "invalid_field",
      "/timestamp",
    );
  });

  it("goes on shift by its actor and reports its location in batches", async () => {
    const answer = await t.rest.post("/v1/couriers/me/shift", alice, { online: true });
    expect([answer.status, answer.body]).toEqual([200, { online: true }]);
    const located = await t.rest.post("/v1/couriers/me/location", alice, {
      ...HERE,
      accuracy_m: 5,
    });
    expect([located.status, located.text]).toEqual([204, ""]);
    const [ping] = await until(() => {
      const heard = t.nodes.heard("ping", "cur_alice");
      return heard.length > 0 && heard;
    });
    expect(ping).toMatchObject({ session: null, seq: 0, ...HERE, newest: true });
  });
});

describe("an operator", () => {
  it("changes couriers, and their actors are told", async () => {
    const body = { name: "Carol", phone: "+1 555 0103", vehicle: "van", capacity: 4 };
    const answer = await t.rest.put("/v1/couriers/cur_carol", operator, body);
    fits(answers.courierAnswer, answer);
    expect(answer.body).toMatchObject({ id: "cur_carol", ...body, online: false });
    await until(() => t.nodes.heard("profile", "cur_carol")[0]?.capacity === 4);
    refused(await t.rest.put("/v1/couriers/carol", operator, body), 422, "invalid_field", "/id");
    refused(
      await t.rest.put("/v1/couriers/cur_x", operator, { ...body, capacity: 21 }),
      422,
      "invalid_field",
      "/capacity",
    );
  });

  it("sees the fleet, with positions from the nodes", async () => {
    const answer = await t.rest.get("/v1/couriers", operator);
    fits(answers.fleetAnswer, answer);
    const found = answer.body.couriers.find((c: { id: string }) => c.id === "cur_alice");
    expect(found.location).toMatchObject({ lat: 37.78 });
  });

  it("reads why a delivery went where it went", async () => {
    const { delivery_id: id } = await create();
    const answer = await t.rest.get(`/v1/deliveries/${id}/ledger`, operator);
    expect(answer.body).toEqual({ delivery_id: id, entries: [] });
    refused(
      await t.rest.get("/v1/deliveries/del_000aaaaaaaaaaaaaaaaaaaa/ledger", operator),
      404,
      "not_found",
    );
  });
});

describe("roles and credentials", () => {
  it("opens each call to its roles alone", async () => {
    const id = "del_000aaaaaaaaaaaaaaaaaaaa";
    const tokens = { customer, partner, courier: alice, operator };
    const calls: [method: string, path: string, body: unknown, roles: (keyof typeof tokens)[]][] = [
      ["POST", "/v1/deliveries", BODY, ["customer", "partner"]],
      ["GET", "/v1/deliveries/available?lat=1&lng=1", undefined, ["courier"]],
      ["POST", `/v1/deliveries/${id}/accept`, {}, ["courier"]],
      ["POST", `/v1/deliveries/${id}/decline`, {}, ["courier"]],
      ["POST", `/v1/deliveries/${id}/status`, { status: "picked_up" }, ["courier"]],
      ["POST", `/v1/deliveries/${id}/cancel`, {}, ["customer", "partner", "operator"]],
      ["PUT", "/v1/couriers/cur_role", {}, ["operator"]],
      ["POST", "/v1/couriers/me/shift", {}, ["courier"]],
      ["POST", "/v1/couriers/me/location", {}, ["courier"]],
      ["GET", "/v1/couriers", undefined, ["operator"]],
      ["GET", `/v1/deliveries/${id}/ledger`, undefined, ["operator"]],
    ];
    for (const [method, path, body, roles] of calls) {
      for (const [role, token] of Object.entries(tokens)) {
        const { status } = await t.rest.ask(method, path, token, body, {});
        const isOpen = roles.includes(role as keyof typeof tokens);
        expect(status === 403, `${role} ${method} ${path}: ${status}`).toBe(!isOpen);
      }
      refused(await t.rest.ask(method, path, undefined, body, {}), 401, "unauthorized");
    }
  });

  it("refuses tokens that are late, foreign or no tokens", async () => {
    const late = await t.rest.get("/v1/deliveries", await tokenOf("customer", "cus_1", -60));
    refused(late, 401, "token_expired");
    expect(late.headers.get("www-authenticate")).toContain("Bearer");
    for (const bad of [
      `${customer}x`,
      "a.b.c",
      await tokenOf("courier", "cus_1"),
      "x".repeat(2_500),
    ]) {
      refused(await t.rest.get("/v1/deliveries", bad), 401, "unauthorized");
    }
  });
});

describe("the door itself", () => {
  it("answers 404 for unknown paths and 405 with Allow for other methods", async () => {
    for (const path of [
      "/",
      "/v2/deliveries",
      "/v1/deliveries/",
      "/v1/v1/deliveries",
      "/v1/deliveries/%00",
    ]) {
      const answer = await t.rest.get(path, customer);
      expect([answer.status, answer.body?.code], path).toEqual([404, "not_found"]);
    }
    for (const method of ["DELETE", "OPTIONS", "PATCH"]) {
      const answer = await t.rest.ask(method, "/v1/deliveries", customer, undefined, {});
      refused(answer, 405, "method_not_allowed");
      expect(answer.headers.get("allow")).toBe("POST, GET, HEAD");
    }
    const head = await t.rest.ask("HEAD", "/v1/deliveries", customer, undefined, {});
    expect([head.status, head.text]).toEqual([200, ""]);
  });

  it("describes itself, with every call of the table", async () => {
    const answer = await t.rest.get("/v1/openapi.json");
    expect(answer.body.openapi).toBe("3.1.0");
    expect(Object.keys(answer.body.paths).toSorted()).toEqual([
      "/couriers",
      "/couriers/me/location",
      "/couriers/me/shift",
      "/couriers/{id}",
      "/deliveries",
      "/deliveries/available",
      "/deliveries/{id}",
      "/deliveries/{id}/accept",
      "/deliveries/{id}/cancel",
      "/deliveries/{id}/decline",
      "/deliveries/{id}/ledger",
      "/deliveries/{id}/status",
      "/openapi.json",
      "/socket",
    ]);
    expect((await t.rest.get("/openapi.json")).text).toBe(answer.text);
  });

  it("tells nobody what it is, and lets nothing be kept", async () => {
    const { headers } = await t.rest.get("/v1/deliveries", customer);
    expect(headers.get("x-content-type-options")).toBe("nosniff");
    expect(headers.get("cache-control")).toBe("no-store");
    expect([headers.get("server"), headers.get("uwebsockets")]).toEqual([null, null]);
  });

  it("broke nothing on the way: no line of the log is an error", () => {
    expect(t.logLines.filter((line) => line.includes('"level":"error"'))).toEqual([
      // The decline that nobody answered.
      expect.stringContaining('"route":"declineDelivery"'),
    ]);
  });
});
