/**
 * Reading, listing, canceling and carrying deliveries over REST, against a real database and NATS.
 */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { CourierId } from "../../proto/ids.ts";
import * as answers from "../operations/answers.ts";
import { until } from "../testing/clients.ts";
import { expectAsDescribed } from "../testing/described.ts";
import { fits, refused } from "../testing/expect.ts";
import { HERE, tokenOf } from "../testing/gateway.ts";
import type { TestGateway } from "../testing/gateway.ts";
import { startWithPeople } from "../testing/people.ts";
import type { People } from "../testing/people.ts";

let t: TestGateway;
let customer: string;
let stranger: string;
let partner: string;
let operator: string;
let alice: string;
let bob: string;
let create: People["create"];
let assigned: People["assigned"];
beforeAll(async () => {
  ({ t, customer, stranger, partner, operator, alice, bob, create, assigned } =
    await startWithPeople());
});
afterAll(() => t.close());

const secretOf = (created: { tracking_url: string }): string =>
  created.tracking_url.split("/").pop() as string;

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
      courier: "cur_alice" as CourierId,
      no: 1,
      at,
      lng: -122.41,
      lat: 37.78,
      vehicle: "bike",
      slots: 1,
      doubt: 0,
      online: true,
      active: 1,
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
    // It opens at the assignment and not before.
    refused(await t.rest.get(`/v1/deliveries/${id}`, secret), 401, "unauthorized");
    const waiting = await t.rest.get(`/t/${secret}`);
    expect([waiting.status, waiting.text.includes(id)]).toEqual([200, false]);
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

it("every answer in this file was as the OpenAPI page says", async () => {
  await expectAsDescribed(t.rest);
});
