/**
 * Who is let in, how often, and until when: revocation across gateways, the exchange of keys, caps
 * on sockets, the rate headers, the addresses behind a proxy, and the headers that every answer
 * has.
 */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { WebSocket } from "ws";
import { DOOR_DEFAULTS } from "../../engine/door-limits.ts";
import { SUBPROTOCOL } from "../../proto/frames.ts";
import { testDatabase, testPrefix } from "../../scripts/testing/services.ts";
import { until } from "../testing/clients.ts";
import { BODY, TEST_KEY, startTestGateway, tokenOf } from "../testing/gateway.ts";
import { startWithPeople } from "../testing/people.ts";
import type { TestGateway } from "../testing/gateway.ts";
import type { People } from "../testing/people.ts";
import { signToken } from "../token.ts";

const OLD_KEY = "the key before this one, which is on its way out";
const FORWARDED = "x-forwarded-for";
const DOORS = { ...DOOR_DEFAULTS, socketsPerPrincipalMax: 3, socketsPerAddressMax: 2 };

let people: People;
let t: TestGateway;
/** Another gateway of the same cluster. */
let other: TestGateway;

beforeAll(async () => {
  const database = await testDatabase();
  const prefix = testPrefix();
  const shared = { database, prefix };
  people = await startWithPeople({
    ...shared,
    config: {
      authKeyPrevious: OLD_KEY,
      trustedProxies: "127.0.0.0/8",
      doors: { ...DOORS, requestsPerAddressPerS: 5, requestsPerPrincipalPerS: 500 },
    },
  });
  t = people.t;
  const kept = { url: database.url, drop: () => Promise.resolve() };
  other = await startTestGateway({ ...shared, database: kept, config: { doors: DOORS } });
});
afterAll(async () => {
  await other.close();
  await t.close();
});

/** So that the next token is younger than the last revocation: times of issue are whole seconds. */
const nextSecond = (): Promise<void> => {
  const second = Math.floor(Date.now() / 1000);
  return until(() => Math.floor(Date.now() / 1000) > second, "the next second").then(
    () => undefined,
  );
};

describe("a key of a create", () => {
  it("has the answer and the link that opens (D4), across an exchange of the signing key", async () => {
    const database = { url: t.databaseUrl, drop: () => Promise.resolve() };
    const config = { authKey: OLD_KEY, authKeyPrevious: TEST_KEY };
    const before = await startTestGateway({ database, config });
    const headers = { "idempotency-key": "exchanged" };
    const path = "/v1/deliveries";
    const first = await before.rest.post(path, people.customer, BODY, headers);
    await before.close();
    const again = await t.rest.post(path, people.customer, BODY, headers);
    expect([first.status, again.status, again.text]).toEqual([201, 201, first.text]);
    expect(again.headers.get("idempotent-replayed")).toBe("true");
    const link = new URL(again.body.tracking_url).pathname;
    expect((await t.rest.get(link)).status).toBe(200);
  });
});

describe("a revocation", () => {
  it("ends the sockets of a principal at every gateway and refuses its tokens, until it has newer ones", async () => {
    const token = await tokenOf("courier", "cur_alice");
    const bystander = await t.connect(people.bob);
    const [there, elsewhere] = [await t.connect(token), await other.connect(people.stranger)];
    await there.next("welcome");
    await elsewhere.next("welcome");
    for (const body of [
      { role: "courier", subject: "cur_alice" },
      { role: "customer", subject: "cus_2" },
    ]) {
      const answer = await t.rest.post("/v1/revocations", people.operator, body);
      expect(answer.status, answer.text).toBe(200);
    }
    expect([await there.closed, await elsewhere.closed]).toEqual([4504, 4504]);
    expect((await t.rest.get("/v1/deliveries", token)).status).toBe(401);
    expect((await other.rest.get("/v1/deliveries", people.stranger)).status).toBe(401);
    const again = await other.connect(token);
    expect(await again.closed).toBe(4500);
    expect(bystander.socket.readyState).toBe(WebSocket.OPEN);
    expect((await t.rest.get("/v1/deliveries", people.bob)).status).toBe(200);
    await nextSecond();
    const newer = await tokenOf("courier", "cur_alice");
    expect((await t.rest.get("/v1/deliveries", newer)).status).toBe(200);
    expect((await t.rest.get("/v1/deliveries", token)).status).toBe(401);
  });

  it("of one token leaves the principal's others alone", async () => {
    const [bad, good] = [await tokenOf("partner", "par_9"), await tokenOf("partner", "par_9")];
    const payload = Buffer.from(bad.split(".")[1] ?? "", "base64url").toString();
    const { jti } = JSON.parse(payload) as { jti: string };
    await t.rest.post("/v1/revocations", people.operator, { jti });
    expect((await t.rest.get("/v1/deliveries", bad)).status).toBe(401);
    expect((await t.rest.get("/v1/deliveries", good)).status).toBe(200);
  });

  it("closes a tracking link", async () => {
    const { delivery_id: id, tracking_url: url } = await people.create();
    const secret = String(url).split("/").at(-1) as string;
    const path = `/v1/deliveries/${id}`;
    expect((await t.rest.post(`${path}/accept`, people.bob)).status).toBe(200);
    expect((await t.rest.get(path, secret)).status).toBe(200);
    const body = { role: "tracking", subject: id };
    await t.rest.post("/v1/revocations", people.operator, body);
    expect((await t.rest.get(path, secret)).status).toBe(401);
    expect((await t.rest.get(`/t/${secret}`)).status).toBe(404);
    expect((await t.rest.get(path, people.customer)).status).toBe(200);
  });

  it("is known to a gateway that starts later, and is an operator's business alone", async () => {
    const token = await tokenOf("customer", "cus_gone");
    const body = { role: "customer", subject: "cus_gone" };
    expect((await t.rest.post("/v1/revocations", people.customer, body)).status).toBe(403);
    for (const half of [{}, { role: "courier" }, { ...body, jti: "x" }]) {
      const answer = await t.rest.post("/v1/revocations", people.operator, half);
      expect(answer.status, answer.text).toBe(422);
    }
    await t.rest.post("/v1/revocations", people.operator, body);
    const third = await startTestGateway({
      database: { url: t.databaseUrl, drop: () => Promise.resolve() },
    });
    expect((await third.rest.get("/v1/deliveries", token)).status).toBe(401);
    await third.close();
  });
});

describe("keys", () => {
  it("are exchanged without throwing anybody out, and an unknown one signs nothing", async () => {
    const request = { role: "customer", sub: "cus_1", ttlS: 60 } as const;
    const before = await signToken(request, OLD_KEY);
    expect((await t.rest.get("/v1/deliveries", before)).status).toBe(200);
    expect((await other.rest.get("/v1/deliveries", before)).status).toBe(401);
    const foreign = await signToken(request, "a key of somebody else, long enough to be one");
    expect((await t.rest.get("/v1/deliveries", foreign)).status).toBe(401);
    // The name of the current key on a signature of the old one.
    const [, payload, signature] = before.split(".");
    const [header] = (await signToken(request, TEST_KEY)).split(".");
    const mixed = [header, payload, signature].join(".");
    expect((await t.rest.get("/v1/deliveries", mixed)).status).toBe(401);
  });
});

describe("caps", () => {
  it("keep a principal from opening more sockets than it may, and give the place back", async () => {
    const token = await tokenOf("customer", "cus_many");
    const clients = [await t.connect(token), await t.connect(token), await t.connect(token)];
    for (const client of clients) await client.next("welcome");
    const fourth = await t.connect(token);
    expect((await fourth.next("error")).code).toBe("rate_limited");
    expect(await fourth.closed).toBe(4006);
    clients[0]?.socket.close();
    await clients[0]?.closed;
    const fifth = await until(async () => {
      const client = await t.connect(token);
      const frame = await until(() => client.frames[0]);
      return frame.type === "welcome" ? client : null;
    });
    for (const client of [...clients, fifth]) client.end();
  });

  it("keep an address behind a trusted proxy from opening more than its own", async () => {
    const open = (address: string): Promise<number | WebSocket> =>
      new Promise((resolve) => {
        const headers = { [FORWARDED]: address };
        const url = `${t.url.replace("http", "ws")}/v1/socket`;
        const socket = new WebSocket(url, SUBPROTOCOL, { headers });
        socket.on("open", () => resolve(socket));
        socket.on("unexpected-response", (_, answer) => resolve(answer.statusCode ?? 0));
        socket.on("error", () => undefined);
      });
    // What stands left was written by the client, who cannot be another by writing more.
    const [one, two] = [await open("9.9.9.9, 203.0.113.7"), await open("203.0.113.7")];
    expect(await open("8.8.8.8, 203.0.113.7")).toBe(429);
    const neighbour = await open("203.0.113.8");
    for (const socket of [one, two, neighbour]) {
      expect(socket).toBeInstanceOf(WebSocket);
      (socket as WebSocket).terminate();
    }
    await until(async () => {
      const socket = await open("203.0.113.7");
      if (typeof socket === "number") return false;
      socket.terminate();
      return true;
    });
  });
});

describe("rates", () => {
  it("are said with every answer to a principal, and to an address before its token is looked at", async () => {
    const { headers } = await t.rest.get("/v1/deliveries", people.customer);
    expect(headers.get("ratelimit-policy")).toBe('"principal";q=1000;w=2');
    expect(headers.get("ratelimit")).toMatch(/^"principal";r=\d+;t=\d+$/);
    const ask = () => t.rest.get("/v1/openapi.json", undefined, { [FORWARDED]: "198.51.100.1" });
    const answers = await Promise.all(Array.from({ length: 40 }, ask));
    const refused = answers.filter(({ status }) => status === 429);
    expect(answers.some(({ status }) => status === 200)).toBe(true);
    expect(refused.length).toBeGreaterThan(20);
    expect(refused[0]?.body.code).toBe("rate_limited");
    expect(refused[0]?.headers.get("retry-after")).toBe("1");
    expect(refused[0]?.headers.get("ratelimit-policy")).toBe('"address";q=10;w=2');
    expect(refused[0]?.headers.get("ratelimit")).toMatch(/^"address";r=0;t=\d$/);
    const neighbour = await t.rest.get("/v1/openapi.json", undefined, {
      [FORWARDED]: "198.51.100.2",
    });
    expect(neighbour.status).toBe(200);
  });
});

describe("headers", () => {
  it("of every answer, whatever it is, let nothing be kept, framed, sniffed or referred to", async () => {
    const { tracking_url: link } = await people.create();
    const page = new URL(String(link)).pathname;
    const paths = ["/v1/deliveries", "/nowhere", "/v1/openapi.json", "/v1/socket", page, "/t/x"];
    for (const path of paths) {
      const { headers } = await t.rest.get(path, people.customer);
      expect(headers.get("x-content-type-options"), path).toBe("nosniff");
      expect(headers.get("referrer-policy"), path).toBe("no-referrer");
      expect(headers.get("content-security-policy"), path).toMatch(/frame-ancestors 'none'/);
      expect(headers.get("content-security-policy"), path).toMatch(/default-src 'none'/);
      expect(headers.get("x-frame-options"), path).toBe("DENY");
      expect(headers.get("cross-origin-resource-policy"), path).toBe("same-origin");
      // Plain http must not ask for https (RFC 6797), and no other origin is let in.
      expect(headers.get("strict-transport-security"), path).toBeNull();
      expect(headers.get("access-control-allow-origin"), path).toBeNull();
      const isPersonal = path !== "/v1/openapi.json";
      if (isPersonal) expect(headers.get("cache-control"), path).toBe("no-store");
    }
  });

  it("ask browsers for https where the public address is https, and answer no preflight", async () => {
    const behindTls = await startTestGateway({ config: { publicUrl: "https://go.test" } });
    for (const path of ["/v1/deliveries", "/v1/socket", "/t/x"]) {
      const { headers } = await behindTls.rest.get(path);
      expect(headers.get("strict-transport-security"), path).toBe("max-age=63072000");
    }
    const asked = { origin: "https://evil.test", "access-control-request-method": "POST" };
    const answer = await behindTls.rest.ask(
      "OPTIONS",
      "/v1/deliveries",
      undefined,
      undefined,
      asked,
    );
    expect([answer.status, answer.headers.get("access-control-allow-origin")]).toEqual([405, null]);
    await behindTls.close();
  });

  it("the public door serves none of the admin listener's pages", async () => {
    for (const path of ["/livez", "/readyz", "/metrics", "/version", "/console", "/debug"]) {
      const answer = await t.rest.get(path, people.operator);
      expect([answer.status, answer.body?.code], path).toEqual([404, "not_found"]);
    }
  });
});
