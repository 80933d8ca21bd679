/**
 * Operators, roles, credentials and the door itself, against a real database and NATS.
 */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { CourierId } from "../../proto/ids.ts";
import * as answers from "../operations/answers.ts";
import { until } from "../testing/clients.ts";
import { expectAsDescribed } from "../testing/described.ts";
import { fits, refused } from "../testing/expect.ts";
import { BODY, tokenOf } from "../testing/gateway.ts";
import type { TestGateway } from "../testing/gateway.ts";
import { startWithPeople } from "../testing/people.ts";
import type { People } from "../testing/people.ts";

let t: TestGateway;
let customer: string;
let partner: string;
let operator: string;
let alice: string;
let create: People["create"];
beforeAll(async () => {
  ({ t, customer, partner, operator, alice, create } = await startWithPeople());
});
afterAll(() => t.close());

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
    t.nodes.records.set("cur_alice", {
      courier: "cur_alice" as CourierId,
      no: 1,
      at: Date.now(),
      lng: -122.41,
      lat: 37.78,
      vehicle: "bike",
      slots: 1,
      doubt: 0,
      online: true,
      active: 0,
    });
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
      ["POST", "/v1/revocations", {}, ["operator"]],
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
      "/quotes",
      "/revocations",
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
    expect(t.logLines.filter((line) => /"level":"(error|fatal)"/.test(line))).toEqual([]);
  });
});

it("every answer in this file was as the OpenAPI page says", async () => {
  await expectAsDescribed(t.rest);
});
