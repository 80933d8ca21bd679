/**
 * Attacks 29 to 31 and 33 beyond what their doors' own suites try: a partner on a NATS server with
 * accounts, and webhooks whose names and addresses lie.
 */
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { headers } from "@nats-io/transport-node";
import type { NatsConnection } from "@nats-io/transport-node";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { seen } from "../testing/attacked-process.ts";
import { startAttacked } from "../testing/attacked.ts";
import type { Attacked } from "../testing/attacked.ts";
import { tokenOf } from "../testing/gateway.ts";
import { startPartnerSystem } from "../testing/partner-system.ts";
import type { PartnerSystem } from "../testing/partner-system.ts";
import { TargetError, post } from "../events/webhooks/target.ts";

const WAIT = { timeout: 10_000, interval: 20 };

describe("a hostile partner on NATS", () => {
  let system: PartnerSystem;
  let acme: NatsConnection;
  let seed: string;
  beforeAll(async () => {
    system = await startPartnerSystem();
    seed = await system.admin.add("acme");
    await system.admin.add("beta");
    acme = await vi.waitFor(() => system.connectAs("acme", seed), WAIT);
  });
  afterAll(() => system.close());

  const ask = async (body: string | Uint8Array, more: Readonly<Record<string, string>> = {}) => {
    const all = headers();
    for (const [name, value] of Object.entries(more)) all.set(name, value);
    const subject = system.t.subjects.partnerRequest("acme", "get");
    return acme.request(subject, body, { timeout: 5_000, headers: all });
  };
  const codeOf = async (...call: Parameters<typeof ask>): Promise<string> => {
    const reply = await ask(...call);
    return (reply.headers?.get("Nats-Service-Error") ?? "").split(":")[0] ?? "";
  };

  it("attack 29: neither its key nor its inbox opens anything of another partner's", async () => {
    const { subjects } = system.t;
    // Its own key under another's name and inbox: who it is, is the key's business.
    const posing = await system.connectAs("beta", seed).catch(() => null);
    const asked = posing?.request(subjects.partnerRequest("beta", "list"), "{}", { timeout: 500 });
    await expect(asked ?? Promise.reject(new Error("refused"))).rejects.toThrow();
    const publish = [subjects.events("acme", "del_x"), subjects.revoked, subjects.nodeUp];
    const heard: string[] = [];
    for (const subject of publish) {
      system.t.nats.subscribe(subject, { callback: (_, { subject: one }) => void heard.push(one) });
    }
    await system.t.nats.flush();
    for (const subject of publish) acme.publish(subject, "{}");
    await acme.flush();
    await system.t.nats.flush();
    expect(heard).toEqual([]);
  });

  it("attack 31: wrong codecs, missing ids and too much are codes of the service", async () => {
    const msgpack = { "Content-Type": "application/msgpack" };
    expect(await codeOf('{"delivery_id":"x"}', msgpack)).toBe("bad_request");
    expect(await codeOf(Uint8Array.from([0x81, 0xa1, 0x61, 0x01]))).toBe("bad_request");
    expect(await codeOf("{}", { "Content-Type": "text/xml" })).toBe("unsupported_media_type");
    expect(await codeOf("")).toBe("invalid_field");
    expect(await codeOf('{"delivery_id":null}')).toBe("invalid_field");
    expect(await codeOf('{"delivery_id":["a"]}')).toBe("invalid_field");
    expect(await codeOf('{"delivery_id":"x","__proto__":{"a":1}}')).toMatch(
      /unknown_field|invalid_field|bad_request/,
    );
    expect(await codeOf("x".repeat(100_000))).toBe("payload_too_large");
    expect(await codeOf("{}", { "Nats-Msg-Id": "k".repeat(5_000) })).toMatch(/invalid|bad_request/);
    expect(() => headers().set("a", "b\r\nNats-Msg-Id: c")).toThrow(/header/);
    // More than the server takes at all: it cuts the partner off, and nobody else.
    const greedy = await system.connectAs("acme", seed);
    const gone = greedy.closed();
    const { max_payload: most = 0 } = greedy.info ?? {};
    expect(() => greedy.publish("x", new Uint8Array(most + 1))).toThrow();
    await greedy.close();
    await gone;
    // Alive, and as strict as before.
    expect(await codeOf('{"delivery_id":"x"}')).toBe("invalid_field");
  });
});

describe("webhooks that lead elsewhere", () => {
  let t: Attacked;
  beforeAll(async () => {
    t = await startAttacked();
  });
  afterAll(() => t?.close());

  it("attack 33: no private address, in no spelling, is taken as a webhook's", async () => {
    const token = await tokenOf("partner", "par_33");
    const urls = [
      ...["http://example.com/", "https://127.0.0.1/", "https://[::1]/", "https://0x7f.1/"],
      ...["https://[::ffff:169.254.169.254]/", "https://169.254.169.254/latest/meta-data/"],
      ...["https://2130706433/", "https://10.0.0.1:5432/", "https://a:b@example.com/", "ftp://a/"],
    ];
    const before = await t.rest.get("/v1/webhooks", token);
    expect(before.status, before.text).toBe(200);
    for (const url of urls) {
      const { status } = await t.rest.post("/v1/webhooks", token, { url });
      expect(status, url).toBe(422);
    }
    expect((await t.rest.get("/v1/webhooks", token)).body).toEqual(before.body);
  });

  it("attack 33: a name that answers differently the second time is asked once, and checked each time", async () => {
    const hits = { first: 0, second: 0 };
    const serve = (which: keyof typeof hits) => {
      const server = createServer((_, response) => {
        hits[which]++;
        response.end();
      });
      return new Promise<typeof server>((resolve) => {
        server.listen(0, which === "first" ? "127.0.0.1" : "127.0.0.2", () => resolve(server));
      });
    };
    const first = await serve("first");
    const second = await serve("second");
    let asked = 0;
    const resolve = () =>
      Promise.resolve([{ address: asked++ === 0 ? "127.0.0.1" : "127.0.0.2", family: 4 }]);
    const url = `http://rebind.test:${(first.address() as AddressInfo).port}/`;
    expect(await post(url, {}, "{}", { targets: "any", resolve })).toBe(200);
    expect([asked, hits.first, hits.second]).toEqual([1, 1, 0]);
    // The same trick where only public addresses count: public at the first try, ours at the retry.
    let tries = 0;
    const turning = () => {
      tries++;
      return Promise.resolve([{ address: "127.0.0.1", family: 4 }]);
    };
    const again = post("https://rebind.test/", {}, "{}", { targets: "public", resolve: turning });
    await expect(again).rejects.toThrow(TargetError);
    expect([tries, hits.second]).toEqual([1, 0]);
    for (const server of [first, second]) server.close();
    seen("the name was asked once for a post, the connection went to the address that was checked");
  });
});
