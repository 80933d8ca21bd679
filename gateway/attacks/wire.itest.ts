/**
 * Attacks on the wire: HTTP that is not, tokens made by hand, frames that are bombs, lies, noise or
 * too many. The answer is a refusal or a coded close, the database is as before, the process lives
 * on.
 */
import net from "node:net";
import fc from "fast-check";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { clientFrames } from "../../proto/frames.ts";
import type { ClientFrame } from "../../proto/frames.ts";
import { openClient, until } from "../testing/clients.ts";
import { startAttacked } from "../testing/attacked.ts";
import type { Attacked } from "../testing/attacked.ts";
import { HERE } from "../testing/gateway.ts";

let t: Attacked;

beforeAll(async () => {
  t = await startAttacked();
});
afterEach(({ task }) => t.noteLag(task.name));
afterAll(() => t?.close());

/** One raw exchange; resolves with whatever came until the other side closed or fell silent. */
function raw(bytes: string): Promise<string> {
  return new Promise((resolve) => {
    const socket = net.connect(t.port, "127.0.0.1", () => socket.write(bytes, "latin1"));
    let text = "";
    const finish = (): void => {
      socket.destroy();
      resolve(text);
    };
    socket.setTimeout(400, finish);
    socket.on("data", (data) => void (text += data.toString("latin1")));
    socket.on("close", finish);
    socket.on("error", finish);
  });
}

describe("broken HTTP", () => {
  const auth = (): string => `Host: a\r\nAuthorization: Bearer ${t.tokens.customer}\r\n`;
  const json = "Content-Type: application/json\r\n";

  it("two lengths, two framings, too many and too long headers are refused", async () => {
    const post = `POST /v1/deliveries HTTP/1.1\r\n${auth()}${json}`;
    await t.unchanged(async () => {
      const twice = await raw(`${post}Content-Length: 2\r\nContent-Length: 3\r\n\r\n{} `);
      expect(twice).toMatch(/^HTTP\/1\.1 400/);
      expect(twice).toContain('"code":"bad_request"');
      expect(await raw(`${post}Content-Length: -1\r\n\r\n`)).not.toMatch(/ 20\d /);
      const both = await raw(
        `${post}Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`,
      );
      expect(both).toMatch(/^HTTP\/1\.1 400/);
      const many = await raw(
        `GET /v1/deliveries HTTP/1.1\r\n${auth()}${"a: b\r\n".repeat(120)}\r\n`,
      );
      expect(many).toMatch(/^HTTP\/1\.1 431/);
      const long = await raw(
        `GET /v1/deliveries HTTP/1.1\r\n${auth()}x: ${"y".repeat(40_000)}\r\n\r\n`,
      );
      expect(long).toMatch(/^HTTP\/1\.1 431/);
      expect(long).toContain('"code":"headers_too_large"');
    });
  });

  it("tricks in the path and strange methods are 404 and 405, what is no path or method 400", async () => {
    for (const path of [
      "/v1/%2e%2e/deliveries",
      "/v1/../v1/deliveries",
      "//v1/deliveries",
      "/v1/deliveries%00",
      "/v1/deliveries/*",
      "/v1/deliveries/%64el_000",
      `/v1/deliveries/${"x".repeat(3_000)}`,
    ]) {
      expect(await raw(`GET ${path} HTTP/1.1\r\n${auth()}\r\n`), path).toMatch(/^HTTP\/1\.1 404/);
    }
    for (const method of ["TRACE", "PROPFIND", "DELETE"]) {
      expect(await raw(`${method} /v1/deliveries HTTP/1.1\r\n${auth()}\r\n`)).toMatch(
        /^HTTP\/1\.1 405/,
      );
    }
    for (const line of ["FOO /v1/deliveries", "get /v1/deliveries", "GET /v1/d\u00e9liveries"]) {
      const answer = await raw(`${line} HTTP/1.1\r\n${auth()}\r\n`);
      expect(answer, line).toMatch(/^HTTP\/1\.1 400/);
      expect(answer, line).toContain('"code":"bad_request"');
    }
  });

  it("a body that stops half way, and a client that leaves, cost nothing", async () => {
    const post = `POST /v1/deliveries HTTP/1.1\r\n${auth()}${json}Content-Length: 500\r\n\r\n{`;
    await Promise.all(Array.from({ length: 20 }, () => raw(post)));
    const get = `GET /v1/deliveries/${t.delivery} HTTP/1.1\r\n${auth()}\r\n`;
    for (let i = 0; i < 20; i++) {
      const socket = net.connect(t.port, "127.0.0.1", () => {
        socket.write(get);
        socket.destroy();
      });
      await new Promise((resolve) => socket.on("close", resolve));
    }
    await t.expectAlive();
  });
});

describe("tokens by hand", () => {
  it("alg none, foreign keys and headers, missing ends, future starts: all 401", async () => {
    const { SignJWT, UnsecuredJWT } = await import("jose");
    const key = new TextEncoder().encode("a signing key for tests, 32 characters and more");
    const other = new TextEncoder().encode("another key of thirty-two characters!");
    const now = Math.floor(Date.now() / 1000);
    const base = (typ = "at+jwt", alg = "HS256") =>
      new SignJWT({})
        .setProtectedHeader({ alg, typ })
        .setIssuer("hexdispatch")
        .setAudience("hexdispatch:customer")
        .setSubject("cus_1");
    const good = base().setExpirationTime(now + 60);
    expect((await t.rest.get("/v1/deliveries", await good.sign(key))).status).toBe(200);
    const bad = await Promise.all([
      Promise.resolve(
        new UnsecuredJWT({})
          .setIssuer("hexdispatch")
          .setAudience("hexdispatch:customer")
          .setSubject("cus_1")
          .setExpirationTime(now + 60)
          .encode(),
      ),
      base()
        .setExpirationTime(now + 60)
        .sign(other),
      base("JWT")
        .setExpirationTime(now + 60)
        .sign(key),
      base("at+jwt", "HS384")
        .setExpirationTime(now + 60)
        .sign(key),
      base().sign(key),
      base()
        .setExpirationTime(now + 60)
        .setNotBefore(now + 50)
        .sign(key),
      base()
        .setExpirationTime(now + 60)
        .setIssuer("else")
        .sign(key),
      base()
        .setExpirationTime(now + 60)
        .setAudience(["hexdispatch:customer", "hexdispatch:operator"])
        .sign(key),
      base()
        .setExpirationTime(now + 60)
        .setAudience("hexdispatch:tracking")
        .sign(key),
      base()
        .setExpirationTime(now + 60)
        .setSubject("a.b>c*")
        .sign(key),
    ]);
    for (const token of bad) {
      expect((await t.rest.get("/v1/deliveries", token)).status, token).toBe(401);
    }
  });
});

describe("broken frames", () => {
  const bytes = (...parts: (number | number[])[]): Uint8Array => new Uint8Array(parts.flat());
  const many = (byte: number[], size: number): number[] =>
    Array.from({ length: size }, (_, i) => byte[i % byte.length] as number);

  /**
   * Sends it as a verified courier, and says whether the door answered or closed within its rules.
   */
  async function attack(data: Uint8Array | string): Promise<void> {
    const client = await t.connect(t.tokens.courier);
    client.sendRaw(data);
    const done = await Promise.race([
      client.closed.then((code) => [1002, 1006, 1007, 1009, 4501].includes(code)),
      until(() => client.frames.some((f) => f.type === "error")),
    ]);
    expect(done).toBe(true);
    client.end();
  }

  it("bombs, nesting, lies about lengths, extensions, text and too large frames are refused", async () => {
    for (const size of [1_000, 4_000, 16_000]) {
      await attack(bytes(many([0xdc, 0xff, 0xff], size)));
      await attack(bytes(many([0xdd, 0xff, 0xff, 0xff, 0xff], size)));
      await attack(bytes(many([0x91], size)));
      await attack(bytes(many([0xdf, 0xff, 0xff, 0xff, 0xff], size)));
    }
    await attack(new Uint8Array(65_536).fill(0xdc));
    await attack(bytes(0x93, 0x02));
    await attack(bytes(0xc7, 0x08, 0x01, many([0], 8)));
    await attack(bytes(0xd4, 0xff, 0x00));
    await attack(bytes(0xdb, 0xff, 0xff, 0xff, 0xff));
    await attack(new Uint8Array(0));
    await attack("text");
    await t.expectAlive();
    expect(await t.memoryBytes()).toBeLessThan(1_000_000_000);
  });

  it("random bytes and damaged frames change nothing", async () => {
    const ping = {
      seq: 1,
      at: Date.now(),
      ...HERE,
      accuracyM: 1,
      speedMps: null,
      headingDeg: null,
    };
    const frames: readonly ClientFrame[] = [
      { type: "ping", ...ping },
      { type: "pings", pings: [ping, ping] },
      { type: "accept", ref: 1, delivery: "del_000aaaaaaaaaaaaaaaaaaaa" as never },
      { type: "track", ref: 1, delivery: "del_000aaaaaaaaaaaaaaaaaaaa" as never, after: null },
      { type: "hello", version: 1, token: "x", client: "x" },
    ];
    const damaged = fc
      .tuple(
        fc.constantFrom(...frames),
        fc.array(fc.tuple(fc.nat(), fc.nat(255)), { minLength: 1, maxLength: 4 }),
      )
      .map(([frame, changes]) => {
        const data = Uint8Array.from(clientFrames.encode(frame));
        for (const [at, value] of changes) data[at % data.length] = value;
        return data;
      });
    const cut = fc
      .tuple(fc.constantFrom(...frames), fc.nat(20))
      .map(([frame, size]) => Uint8Array.from(clientFrames.encode(frame)).subarray(0, size));
    const attack = () =>
      fc.assert(
        fc.asyncProperty(
          fc.array(fc.oneof(fc.uint8Array({ maxLength: 300 }), damaged, cut), { maxLength: 20 }),
          fc.boolean(),
          async (list, isVerified) => {
            const client = isVerified
              ? await t.connect(t.tokens.customer)
              : await openClient(t.url);
            for (const data of list) client.sendRaw(data);
            // The pong says that all of it was read.
            const read = new Promise((resolve) => client.socket.once("pong", resolve));
            client.socket.ping();
            await Promise.race([read, client.closed]);
            client.end();
          },
        ),
        { numRuns: 100, seed: 1 },
      );
    await t.unchanged(attack);
  });

  it("a flood of pings is limited, and others are served meanwhile", async () => {
    const client = await t.connect(t.tokens.courier);
    const ping = { at: Date.now(), ...HERE, accuracyM: 1, speedMps: null, headingDeg: null };
    for (let seq = 1; seq <= 1_000; seq++) client.send({ type: "ping", seq, ...ping });
    expect((await client.next("error")).code).toBe("rate_limited");
    await t.expectAlive();
    expect(await client.closed).toBe(4005);
    expect(t.nodes.heard("ping", "cur_1").length).toBeLessThan(300);
  });
});

describe("afterwards", () => {
  it("nothing was a bug: the log has no error, and no personal data", () => {
    expect(t.logLines().filter((line) => /"level":"(error|fatal)"/.test(line))).toEqual([]);
    expect(t.logLines().join("\n")).not.toMatch(/\+1-|Bearer|Market/);
    expect(({} as Record<string, unknown>)["x"]).toBeUndefined();
  });
});
