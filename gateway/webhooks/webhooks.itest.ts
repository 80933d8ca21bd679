/** Webhooks from a commit to a receiver that fails, redirects, stalls and comes back. */
import { createServer } from "node:http";
import type { Server, ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import postgres from "postgres";
import { afterAll, beforeAll, beforeEach, expect, test, vi } from "vitest";
import { cloudEventHeaders } from "../../proto/events.ts";
import type { DeliveryEvent } from "../../proto/events.ts";
import { jetstream } from "@nats-io/jetstream";
import { headers } from "@nats-io/transport-node";
import { BODY, tokenOf } from "../testing/gateway.ts";
import { startPartnerSystem } from "../testing/partner-system.ts";
import type { PartnerSystem } from "../testing/partner-system.ts";
import { isGenuine } from "./signature.ts";

const WAIT = { timeout: 20_000, interval: 20 };
type Got = { path: string; headers: Record<string, string>; body: string; event: DeliveryEvent };
let system: PartnerSystem;
let receiver: Server;
let base: string;
let got: Got[] = [];
let answer: (got: Got, response: ServerResponse) => void;
let partner: string;
let operator: string;
let sql: postgres.Sql;

beforeAll(async () => {
  system = await startPartnerSystem();
  sql = postgres(system.t.postgresUrl, { max: 1 });
  receiver = createServer((request, response) => {
    let body = "";
    request.on("data", (chunk: Buffer) => (body += chunk.toString()));
    request.on("end", () => {
      const one = {
        path: request.url ?? "",
        headers: request.headers as Record<string, string>,
        body,
        event: JSON.parse(body) as DeliveryEvent,
      };
      got.push(one);
      answer(one, response);
    });
  });
  await new Promise<void>((resolve) => receiver.listen(0, "127.0.0.1", resolve));
  base = `http://127.0.0.1:${(receiver.address() as AddressInfo).port}`;
  partner = await tokenOf("partner", "acme");
  operator = await tokenOf("operator", "ops_1");
});
afterAll(async () => {
  await system.close();
  await sql.end();
  receiver.closeAllConnections();
  receiver.close();
});
beforeEach(() => {
  got = [];
  answer = (_, response) => response.writeHead(204).end();
});

const add = async (path: string): Promise<{ id: string; secret: string }> => {
  const made = await system.t.rest.post("/v1/webhooks", partner, { url: base + path });
  expect(made.status, made.text).toBe(201);
  return made.body;
};
const remove = async (id: string): Promise<void> => {
  expect((await system.t.rest.delete(`/v1/webhooks/${id}`, partner)).status).toBe(200);
};

let last = 0;
/** Publishes an event as the relay would. */
async function publish(delivery: string, number: number, owner = "acme"): Promise<void> {
  const { t } = system;
  const event: DeliveryEvent = {
    id: String(++last),
    delivery_id: delivery,
    number,
    type: number === 1 ? "created" : "assigned",
    status: number === 1 ? "pending" : "assigned",
    reason: null,
    courier_id: null,
    external_id: null,
    at: new Date(Date.now() + 1_000).toISOString(),
    test: false,
  };
  const all = headers();
  for (const [k, v] of Object.entries(cloudEventHeaders(event, t.subjects.eventSource)))
    all.set(k, v);
  const data = JSON.stringify(event);
  await jetstream(t.nats).publish(t.subjects.events(owner, delivery), data, { headers: all });
}
const numbersOf = (delivery: string): number[] =>
  got.filter(({ event }) => event.delivery_id === delivery).map(({ event }) => event.number);
const dueNow = (id: string) =>
  sql`update webhook_messages set due_at = now() where webhook_id = ${id}`;

test("an event of the owner comes signed, once, and nobody else's does", async () => {
  const { id, secret } = await add("/a");
  await publish("del_other", 1, "beta");
  await publish("del_a", 1);
  await publish("del_a", 1);
  await publish("del_a", 2);
  await vi.waitFor(() => expect(numbersOf("del_a")).toEqual([1, 2]), WAIT);
  expect(numbersOf("del_other")).toEqual([]);
  const [first] = got as [Got];
  expect(first.headers["webhook-id"]).toBe("del_a_1");
  expect(isGenuine(secret, first.headers, first.body, Date.now() / 1_000)).toBe(true);
  await remove(id);
});

test("a later event waits for the earlier one of its delivery, and not for those of others", async () => {
  const { id } = await add("/b");
  let isDown = true;
  answer = ({ event }, response) =>
    response.writeHead(isDown && event.delivery_id === "del_b1" ? 500 : 200).end();
  await publish("del_b1", 1);
  await publish("del_b1", 2);
  await publish("del_b2", 1);
  await vi.waitFor(() => expect(numbersOf("del_b2")).toEqual([1]), WAIT);
  await vi.waitFor(() => expect(numbersOf("del_b1")).toEqual([1]), WAIT);
  const waiting = await system.t.rest.get(`/v1/webhooks/${id}/messages?state=waiting`, partner);
  expect(waiting.body.messages.map((m: { number: number }) => m.number).toSorted()).toEqual([1, 2]);
  isDown = false;
  await dueNow(id);
  await vi.waitFor(() => expect(numbersOf("del_b1")).toEqual([1, 1, 2]), WAIT);
  await remove(id);
});

test("an event that overtook its predecessor on the way waits for it", async () => {
  const { id } = await add("/c");
  await publish("del_c", 2);
  await publish("del_c2", 1);
  await vi.waitFor(() => expect(numbersOf("del_c2")).toEqual([1]), WAIT);
  expect(numbersOf("del_c")).toEqual([]);
  await publish("del_c", 1);
  await vi.waitFor(() => expect(numbersOf("del_c")).toEqual([1, 2]), WAIT);
  await remove(id);
});

test("a redirect is not followed and an endless answer is cut off", async () => {
  const { id } = await add("/d");
  answer = ({ event, path }, response) => {
    if (path === "/secret") return response.writeHead(200).end();
    if (event.delivery_id === "del_d")
      return response.writeHead(302, { location: `${base}/secret` }).end();
    response.writeHead(200);
    const flood = (): boolean => {
      while (!response.destroyed && response.write("x".repeat(65_536)));
      return response.destroyed;
    };
    response.on("drain", flood);
    return flood();
  };
  await publish("del_d", 1);
  await vi.waitFor(async () => {
    const [row] = await sql`select last_error from webhook_messages where webhook_id = ${id}`;
    expect(row?.["last_error"]).toBe("status 302");
  }, WAIT);
  expect(got.filter(({ path }) => path === "/secret")).toEqual([]);
  await publish("del_d2", 1);
  await vi.waitFor(async () => {
    const [row] = await sql`
      select state from webhook_messages where webhook_id = ${id} and delivery_id = 'del_d2'`;
    expect(row?.["state"]).toBe("sent");
  }, WAIT);
  await remove(id);
});

test("what was given up is listed, sent again on demand, and 410 ends an address", async () => {
  const { id } = await add("/e");
  answer = (_, response) => response.writeHead(503).end();
  const made = await system.t.rest.post("/v1/deliveries", partner, BODY);
  const delivery = made.body.delivery_id as string;
  await publish(delivery, 1);
  await vi.waitFor(() => expect(got.length).toBeGreaterThan(0), WAIT);
  await sql`update webhook_messages set attempts = 7, due_at = now() where webhook_id = ${id}`;
  const dead = async () => system.t.rest.get(`/v1/webhooks/${id}/messages`, operator);
  await vi.waitFor(async () => expect((await dead()).body.messages).toHaveLength(1), WAIT);
  expect((await dead()).body.messages[0]).toMatchObject({
    state: "dead",
    last_error: "status 503",
  });
  answer = (_, response) => response.writeHead(200).end();
  const again = { delivery_id: delivery };
  const resent = await system.t.rest.post(`/v1/webhooks/${id}/resend`, operator, again);
  expect(resent.body).toEqual({ resent: 1 });
  await vi.waitFor(async () => expect((await dead()).body.messages).toEqual([]), WAIT);
  answer = (_, response) => response.writeHead(410).end();
  await publish(delivery, 2);
  await vi.waitFor(async () => {
    const listed = await system.t.rest.get("/v1/webhooks", partner);
    expect(listed.body.webhooks[0].disabled_reason).toContain("410");
  }, WAIT);
  await remove(id);
});

test("during a rotation both secrets sign", async () => {
  const { id, secret } = await add("/f");
  const rotated = await system.t.rest.post(`/v1/webhooks/${id}/rotate`, partner);
  expect(rotated.body.secret).not.toBe(secret);
  await publish("del_f", 1);
  await vi.waitFor(() => expect(numbersOf("del_f")).toEqual([1]), WAIT);
  const [first] = got as [Got];
  for (const each of [secret, rotated.body.secret as string]) {
    expect(isGenuine(each, first.headers, first.body, Date.now() / 1_000)).toBe(true);
  }
  await remove(id);
});

test("the old secret signs for a day after a rotation, and no longer", async () => {
  const { id, secret } = await add("/day");
  const rotated = await system.t.rest.post(`/v1/webhooks/${id}/rotate`, partner);
  const signs = async (delivery: string, hours: number): Promise<boolean[]> => {
    await sql`update webhooks set old_until = old_until - make_interval(mins => ${hours * 60})
      where id = ${id}`;
    await publish(delivery, 1);
    await vi.waitFor(() => expect(numbersOf(delivery)).toEqual([1]), WAIT);
    const { headers, body } = got.find(({ event }) => event.delivery_id === delivery) as Got;
    const secrets = [secret, rotated.body.secret as string];
    return secrets.map((each) => isGenuine(each, headers, body, Date.now() / 1_000));
  };
  expect(await signs("del_day1", 23.5)).toEqual([true, true]);
  expect(await signs("del_day2", 0.6)).toEqual([false, true]);
  await remove(id);
});

test("of two addresses of one partner each is told all, whatever the other answers", async () => {
  const [bad, good] = [await add("/bad"), await add("/good")];
  answer = ({ path }, response) => response.writeHead(path === "/bad" ? 500 : 204).end();
  await publish("del_two", 1);
  await publish("del_two", 2);
  const told = (path: string): number[] =>
    got.filter((one) => one.path === path).map(({ event }) => event.number);
  await vi.waitFor(() => expect(told("/good")).toEqual([1, 2]), WAIT);
  expect(told("/bad")).toEqual([1]);
  const signed = got.find(({ path }) => path === "/good") as Got;
  const now = Date.now() / 1_000;
  expect(isGenuine(good.secret, signed.headers, signed.body, now)).toBe(true);
  expect(isGenuine(bad.secret, signed.headers, signed.body, now)).toBe(false);
  for (const { id } of [bad, good]) await remove(id);
});

test("another's webhook does not exist, and a bad address is refused", async () => {
  const { id } = await add("/g");
  const beta = await tokenOf("partner", "beta");
  const { rest } = system.t;
  expect((await rest.get(`/v1/webhooks/${id}/messages`, beta)).status).toBe(404);
  expect((await rest.post(`/v1/webhooks/${id}/rotate`, beta)).status).toBe(404);
  expect((await rest.delete(`/v1/webhooks/${id}`, beta)).status).toBe(404);
  expect((await rest.get("/v1/webhooks", beta)).body.webhooks).toEqual([]);
  expect((await rest.get("/v1/webhooks", await tokenOf("customer", "acme"))).status).toBe(403);
  const stolen = await rest.post("/v1/webhooks", beta, { url: `${base}/x`, owner: "acme" });
  expect(stolen.body.code).toBe("identity_mismatch");
  for (const url of ["ftp://example.com/", "nothing", "http://u:p@example.com/"]) {
    expect((await rest.post("/v1/webhooks", beta, { url })).body.errors[0].pointer).toBe("/url");
  }
  await remove(id);
});
