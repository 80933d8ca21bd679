/** Webhooks from a commit to a receiver that fails, redirects, stalls and comes back. */
import { createServer } from "node:http";
import type { Server, ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import postgres from "postgres";
import { afterAll, beforeAll, beforeEach, expect, test, vi } from "vitest";
import { cloudEventHeaders } from "../../../proto/events.ts";
import type { DeliveryEvent } from "../../../proto/events.ts";
import { jetstream } from "@nats-io/jetstream";
import { headers } from "@nats-io/transport-node";
import { PURGE_BATCH_MAX_ROWS } from "../../../proto/limits.ts";
import { BODY, TEST_KEY, tokenOf } from "../../testing/gateway.ts";
import { startPartnerSystem } from "../../testing/partner-system.ts";
import type { PartnerSystem } from "../../testing/partner-system.ts";
import { createSecretBox } from "../../base/secret-box.ts";
import { resealAll, sealedWebhooks } from "./sealed.ts";
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

test("a secret is in clear nowhere in the database, and is answered again under its key all the same", async () => {
  const { rest } = system.t;
  const headers = { "idempotency-key": "add-once" };
  const body = { url: `${base}/sealed` };
  const first = await rest.post("/v1/webhooks", partner, body, headers);
  const again = await rest.post("/v1/webhooks", partner, body, headers);
  expect([first.status, again.status, again.text]).toEqual([201, 201, first.text]);
  const { id, secret } = first.body;
  const path = `/v1/webhooks/${id}/rotate`;
  const rotated = await rest.post(path, partner, {}, { "idempotency-key": "rotate-once" });
  const repeated = await rest.post(path, partner, {}, { "idempotency-key": "rotate-once" });
  expect(repeated.body).toEqual(rotated.body);
  expect(rotated.body.secret).not.toBe(secret);

  const rows =
    await sql`select w::text as w from webhooks w union all select i::text from idempotency i`;
  const dump = rows.map((row) => String(row["w"])).join("\n");
  expect(dump).toContain(id);
  expect(dump).not.toContain("whsec_");
  for (const one of [secret, rotated.body.secret]) expect(dump).not.toContain(one.slice(6, 30));

  // Both sign: the receiver may change over without missing one.
  await publish("del_sealed", 1);
  await vi.waitFor(() => expect(numbersOf("del_sealed")).toEqual([1]), WAIT);
  const message = got.find(({ event }) => event.delivery_id === "del_sealed") as Got;
  for (const one of [secret, rotated.body.secret]) {
    expect(isGenuine(one, message.headers, message.body, Date.now() / 1_000)).toBe(true);
  }
  await remove(id);
});

test("secrets of before, and those under the key before, are sealed anew by a gateway that starts", async () => {
  const { partners } = system.t;
  const box = createSecretBox(["the key that is exchanged away now ..", "unused"]);
  const [plain, old] = ["whk_plain", "whk_old"];
  const row = { owner: "acme", url: `${base}/old` };
  await partners.webhooks.add({ id: plain, ...row, secret: "whsec_cGxhaW4=" });
  await partners.webhooks.add({ id: old, ...row, secret: box.seal("whsec_b2xk", old) });
  const now = createSecretBox([TEST_KEY, "the key that is exchanged away now .."]);
  expect(await resealAll(partners.webhooks, now)).toEqual([]);
  const after = createSecretBox([TEST_KEY]);
  const rows = await sealedWebhooks(partners.webhooks, after).all("acme");
  const found = rows.filter(({ id }) => id === plain || id === old).map(({ secret }) => secret);
  expect(found.toSorted()).toEqual(["whsec_b2xk", "whsec_cGxhaW4="]);
  const [raw] = await sql`select string_agg(secret, ' ') as all from webhooks`;
  expect(raw?.["all"]).not.toContain("whsec_");
  const strange = createSecretBox(["another key altogether ............."]);
  expect((await resealAll(partners.webhooks, strange)).toSorted()).toContain(old);
  for (const id of [plain, old]) await remove(id);
});

test("a message waits no longer because the database's clock was set back", async () => {
  answer = (_, response) => response.writeHead(500).end();
  const { id } = await add("/clock");
  await publish("del_clock", 1);
  await vi.waitFor(() => expect(numbersOf("del_clock").length).toBeGreaterThan(0), WAIT);
  const { webhooks } = system.t.partners;
  const hour = "1 hour";
  await vi.waitFor(async () => {
    const rows =
      await sql`select 1 from webhook_messages where webhook_id = ${id} and attempts > 0`;
    expect(rows).toHaveLength(1);
  }, WAIT);
  // As it looks when everything in the row was written an hour ahead.
  await sql`
    update webhook_messages set due_at = due_at + ${hour}::interval,
      touched_at = touched_at + ${hour}::interval, created_at = created_at + ${hour}::interval
    where webhook_id = ${id}`;
  answer = (_, response) => response.writeHead(204).end();
  expect(await webhooks.realign()).toBe(1);
  expect(await webhooks.realign()).toBe(0);
  await vi.waitFor(async () => {
    const [row] = await sql`select state from webhook_messages where webhook_id = ${id}`;
    expect(row?.["state"]).toBe("sent");
  }, WAIT);
  // An address that was made while the clock was ahead is owed what happens now.
  await sql`update webhooks set created_at = now() + ${hour}::interval where id = ${id}`;
  await publish("del_clock", 2);
  await vi.waitFor(() => expect(numbersOf("del_clock")).toContain(2), WAIT);
  await remove(id);
});

test("what is over is purged: sent, given up, and what waits for an address that was switched off", async () => {
  const { webhooks } = system.t.partners;
  await sql`
    insert into webhooks (id, owner, url, secret, disabled_reason)
    values ('whk_off', 'none', 'https://x.test', 's', 'the receiver answered 410'),
      ('whk_on', 'none', 'https://x.test', 's', null)`;
  await sql`
    insert into webhook_messages (webhook_id, delivery_id, number, type, body, state, ended_at, touched_at, due_at)
    select hook, 'del_' || hook || state || old, n, 'created', '{}', state,
      case when state <> 'waiting' then now() - old * interval '1 day' end,
      now() - old * interval '1 day', now() + interval '1 day'
    from unnest(array['whk_off', 'whk_on']) hook, unnest(array['waiting', 'sent', 'dead']) state,
      unnest(array[1, 30]) old, generate_series(1, 3000) n`;
  const bites: number[] = [];
  for (let bite = await webhooks.purge(168); bite > 0; bite = await webhooks.purge(168)) {
    bites.push(bite);
  }
  expect(bites.reduce((sum, bite) => sum + bite)).toBe(5 * 3_000);
  expect(Math.max(...bites)).toBeLessThanOrEqual(2 * PURGE_BATCH_MAX_ROWS);
  const left = await sql`
    select webhook_id, state, count(*)::int as n from webhook_messages
    where webhook_id in ('whk_off', 'whk_on') group by 1, 2 order by 1, 2`;
  expect(left.map(({ webhook_id: hook, state, n }) => `${hook} ${state} ${n}`)).toEqual([
    ...["whk_off dead 3000", "whk_off sent 3000", "whk_off waiting 3000"],
    ...["whk_on dead 3000", "whk_on sent 3000", "whk_on waiting 6000"],
  ]);
  await sql`delete from webhook_messages where webhook_id in ('whk_off', 'whk_on')`;
  await sql`delete from webhooks where id in ('whk_off', 'whk_on')`;
});
