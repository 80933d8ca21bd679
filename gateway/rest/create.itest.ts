/**
 * Creating deliveries over REST, and Idempotency-Key on every POST, against a real database and
 * NATS.
 */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import * as answers from "../operations/answers.ts";
import { until } from "../testing/clients.ts";
import { expectAsDescribed } from "../testing/described.ts";
import { fits, refused } from "../testing/expect.ts";
import { BODY, HERE, tokenOf } from "../testing/gateway.ts";
import type { TestGateway } from "../testing/gateway.ts";
import { startWithPeople } from "../testing/people.ts";
import type { People } from "../testing/people.ts";

let t: TestGateway;
let customer: string;
let partner: string;
let alice: string;
let bob: string;
let create: People["create"];
beforeAll(async () => {
  ({ t, customer, partner, alice, bob, create } = await startWithPeople());
});
afterAll(() => t.close());

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

  it("what is ready later is scheduled; what is ready soon is searched for", async () => {
    const reasonOf = async (aheadMs: number): Promise<string> => {
      const ready_at = new Date(Date.now() + aheadMs).toISOString();
      const { body } = await t.rest.post("/v1/deliveries", customer, { ...BODY, ready_at });
      return (await t.rest.get(`/v1/deliveries/${body.delivery_id}`, customer)).body.status_reason;
    };
    expect(await reasonOf(3_600_000)).toBe("scheduled");
    expect(await reasonOf(60_000)).toBe("searching");
  });

  it("is taken up to seven days ahead, and no further", async () => {
    const day = 86_400_000;
    const ahead = (ms: number) =>
      t.rest.post("/v1/deliveries", customer, {
        ...{ ...BODY, ready_at: new Date(Date.now() + ms).toISOString() },
      });
    expect((await ahead(7 * day - 60_000)).status).toBe(201);
    refused(await ahead(7 * day + 60_000), 422, "invalid_field", "/ready_at");
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

  it("keeps no tracking link in what it stores", async () => {
    const { body } = await t.rest.post("/v1/deliveries", customer, BODY, key("k-link"));
    const stored = await t.store.storedAnswer({
      ...{ principal: "customer:cus_1", key: "key:k-link", fingerprint: "" },
    });
    expect(stored?.body).toMatchObject({ delivery_id: body.delivery_id });
    expect(JSON.stringify(stored)).not.toContain(body.tracking_url.split("/").pop());
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

  it("of two customers is two keys, also while both are under way", async () => {
    const tokens = [customer, await tokenOf("customer", "cus_2"), partner];
    const both = await Promise.all(
      tokens.map((token) => t.rest.post("/v1/deliveries", token, BODY, key("k-shared"))),
    );
    expect(both.map(({ status }) => status)).toEqual([201, 201, 201]);
    expect(new Set(both.map(({ body }) => body.delivery_id)).size).toBe(3);
    for (const [i, token] of tokens.entries()) {
      const again = await t.rest.post("/v1/deliveries", token, BODY, key("k-shared"));
      expect(again.body.delivery_id).toBe(both[i]?.body.delivery_id);
    }
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

it("every answer in this file was as the OpenAPI page says", async () => {
  await expectAsDescribed(t.rest);
});
