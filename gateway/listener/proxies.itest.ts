/**
 * The real nginx and HAProxy in front of a gateway: with their defaults, by the shipped files, over
 * TLS, on IPv6.
 */
import { request as requestTls } from "node:https";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { makeAuthority } from "../../scripts/testing/certificates.ts";
import { makeTestFolder } from "../../scripts/testing/folder.ts";
import { projectRoot } from "../../scripts/run/state.ts";
import { shippedHaproxy, shippedNginx } from "../../scripts/testing/proxies.ts";
import { startHaproxy, startNginx } from "../../scripts/testing/proxies.ts";
import type { Beside } from "../../scripts/testing/proxies.ts";
import { openClient, until } from "../testing/clients.ts";
import { BODY, HERE, goOnShift, startTestGateway, tokenOf } from "../testing/gateway.ts";
import type { TestGateway } from "../testing/gateway.ts";
import { askByAgent } from "../testing/via.ts";

const KEPT = 20;

let t: TestGateway;
let customer = "";
let courier = "";
let etagged: { readonly path: string; readonly etag: string };
const beside: Beside[] = [];

beforeAll(async () => {
  t = await startTestGateway();
  [customer, courier] = [await tokenOf("customer", "cus_1"), await tokenOf("courier", "cur_1")];
  const profile = { name: "Al", phone: "+1-555-0101", vehicle: "bike", capacity: 2 };
  await t.rest.put("/v1/couriers/cur_1", await tokenOf("operator", "ops_1"), profile);
  await goOnShift(t.store, "cur_1");
  const made = await t.rest.post("/v1/deliveries", customer, BODY);
  const path = `/v1/deliveries/${made.body.delivery_id}`;
  const shown = await t.rest.get(path, customer);
  etagged = { path, etag: shown.headers.get("etag") ?? "" };
});
afterEach(async () => {
  for (const one of beside.splice(0)) await one.stop();
});
afterAll(() => t.close());

const doorOf = (gateway: TestGateway): string => `127.0.0.1:${gateway.gateway.port}`;

const kept = async (starting: Promise<Beside>): Promise<Beside> => {
  const one = await starting;
  beside.push(one);
  return one;
};

const plainNginx = (door: string) => (port: number) =>
  `events {}\nhttp {\n  server { listen 127.0.0.1:${port}; location / { proxy_pass http://${door}; } }\n}\n`;
/** One connection to the gateway for everybody, as closely shared as HAProxy can. */
const sharingHaproxy = (door: string) => (port: number) =>
  `
defaults
  mode http
  timeout connect 1s
  timeout client 10s
  timeout server 10s
frontend f
  bind 127.0.0.1:${port}
  default_backend b
backend b
  http-reuse always
  option httpchk
  http-check send meth GET uri /openapi.json
  server s ${door} check inter 200ms maxconn 1 pool-max-conn 4
`;

const PROXIES: readonly (readonly [string, () => Promise<Beside>])[] = [
  ["nginx as it comes", () => startNginx(plainNginx(doorOf(t)))],
  ["deploy/nginx.conf", () => startNginx(shippedNginx({ door: doorOf(t) }))],
  ["deploy/haproxy.cfg", () => startHaproxy(shippedHaproxy({ door: doorOf(t) }))],
  ["HAProxy that shares one connection", () => startHaproxy(sharingHaproxy(doorOf(t)))],
];

describe.each(PROXIES)("behind %s", (_, start) => {
  it("every answer is right and leaves its connection as it was", async () => {
    const { port } = await kept(start());
    const ask = (method: string, path: string, token: string, more = {}, body?: unknown) =>
      askByAgent(`http://127.0.0.1:${port}${path}`, {
        method,
        headers: {
          authorization: `Bearer ${token}`,
          ...(body === undefined ? {} : { "content-type": "application/json" }),
          ...more,
        },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      });
    await until(async () => (await ask("GET", "/openapi.json", customer)).status === 200);
    const statuses: number[] = [];
    for (let seq = 1; seq <= KEPT; seq++) {
      const at = new Date().toISOString();
      const ping = { ...HERE, seq, timestamp: at };
      const reported = await ask("POST", "/v1/couriers/me/location", courier, {}, ping);
      const same = await ask("GET", etagged.path, customer, { "if-none-match": etagged.etag });
      const gone = await ask("GET", "/v1/nothing", customer);
      const head = await ask("HEAD", "/v1/openapi.json", customer);
      statuses.push(reported.status, same.status, gone.status, head.status);
    }
    expect(statuses).toEqual(Array.from({ length: KEPT }, () => [204, 304, 404, 200]).flat());
    const made = await ask("POST", "/v1/deliveries", customer, {}, BODY);
    expect([made.status, made.headers.get("content-type")]).toEqual([201, "application/json"]);
    const refused = await ask("POST", "/v1/deliveries", customer, {}, { ...BODY, phone: 5 });
    expect(refused.headers.get("content-type")).toBe("application/problem+json");
  });
});

describe.each([
  ["deploy/nginx.conf", (door: string) => startNginx(shippedNginx({ door }))],
  ["deploy/haproxy.cfg", (door: string) => startHaproxy(shippedHaproxy({ door }))],
] as const)("by %s", (_, start) => {
  it("sockets open, a shop's cookies fit, and both families are listened on", async () => {
    const { port } = await kept(start(doorOf(t)));
    const client = await openClient(`http://127.0.0.1:${port}`);
    client.send({ type: "hello", version: 1, token: customer, client: "test" });
    await client.next("welcome");
    client.end();
    const cookie = `a=${"x".repeat(6_000)}; b=${"y".repeat(6_000)}`;
    for (const host of ["127.0.0.1", "[::1]"]) {
      const answer = await fetch(`http://${host}:${port}/v1/openapi.json`, { headers: { cookie } });
      expect(answer.status).toBe(200);
      await answer.arrayBuffer();
    }
  });

  it("a gateway that is away is told in the words of the API", async () => {
    const { port } = await kept(start("127.0.0.1:9"));
    const answer = await fetch(`http://127.0.0.1:${port}/v1/deliveries`);
    expect(answer.status).toBe(503);
    expect(answer.headers.get("retry-after")).toBe("1");
    expect(answer.headers.get("content-type")).toContain("application/problem+json");
    expect(await answer.json()).toMatchObject({ status: 503, code: "unavailable" });
  });

  it("a gateway that listens on IPv6 alone is reached", async () => {
    const other = await startTestGateway({ config: { publicHost: "::1" } });
    const { port } = await kept(start(`[::1]:${other.gateway.port}`));
    const answer = await fetch(`http://127.0.0.1:${port}/v1/openapi.json`);
    expect(answer.status).toBe(200);
    await answer.arrayBuffer();
    await other.close();
  });
});

it.each([
  ["nginx", startNginx, shippedNginx],
  ["HAProxy", startHaproxy, shippedHaproxy],
] as const)("%s ends TLS by its shipped file", async (_, start, shipped) => {
  const folder = makeTestFolder(projectRoot(), undefined);
  const root = await makeAuthority(folder.path, "root");
  const own = await root.issue("door", "DNS:localhost");
  const { port } = await kept(start(shipped({ door: doorOf(t) }, own)));
  const status = await new Promise<number>((resolve, reject) => {
    const options = { port, host: "127.0.0.1", servername: "localhost", ca: root.cert };
    const asked = requestTls({ ...options, path: "/v1/openapi.json" }, (answer) => {
      answer.resume();
      resolve(answer.statusCode ?? 0);
    });
    asked.once("error", reject).end();
  });
  folder.remove();
  expect(status).toBe(200);
});
