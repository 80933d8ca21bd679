import { describe, expect, it } from "vitest";
import { NatsAddressError, maskedNatsUrl, natsProblems, parseNatsAddress } from "./address.ts";

const user = (name: string, password: string) => ({ kind: "user", user: name, password });

describe("the servers of NATS", () => {
  it.each([
    ["nats://127.0.0.1:4222", ["127.0.0.1:4222"], null, false],
    ["host", ["host:4222"], null, false],
    ["host:5222, nats://b/ ", ["host:5222", "b:4222"], null, false],
    ["nats://[::1]:4222,[fe80::1]", ["[::1]:4222", "[fe80::1]:4222"], null, false],
    ["tls://a,TLS://b:1", ["a:4222", "b:1"], null, true],
    ["nats://u:p@h:4222,nats://h2", ["h:4222", "h2:4222"], user("u", "p"), false],
    ["u:p@h,u:p@h2", ["h:4222", "h2:4222"], user("u", "p"), false],
    ["nats://u:p%40ss%3A%2F%2C%25@h", ["h:4222"], user("u", "p@ss:/,%"), false],
    ["nats://u:@h", ["h:4222"], user("u", ""), false],
    ["nats://u:a:b@h", ["h:4222"], user("u", "a:b"), false],
    ["nats://s3cr%20et@h", ["h:4222"], { kind: "token", token: "s3cr et" }, false],
  ])("%s is taken", (text, servers, login, tls) => {
    expect(parseNatsAddress(text)).toEqual({ servers, login, tls });
  });

  it.each([
    ["", "entry 1 is empty"],
    ["nats://a,,nats://b", "entry 2 is empty"],
    ["ws://a:80", "begins with ws://"],
    ["wss://a", "begins with wss://"],
    ["http://a", "begins with neither nats:// nor tls://"],
    ["nats://a,tls://b", "in some entries only"],
    ["nats://u:hush@a,nats://u:hosh@b", "different users, passwords or tokens"],
    ["nats://hush@a,nats://u:hush@b", "different users, passwords or tokens"],
    ["nats://@a", "without a user or token"],
    ["nats://:hush@a", "without a user or token"],
    ["nats://u:hu@sh@a", "encode it as %40"],
    ["nats://u:hu/sh@a", "encode such characters"],
    ["nats://u:hush%zz@a", "encode it as %25"],
    ["nats://u:hush,@a", "entry 1 has a port"],
    ["nats://a/path", "has a path"],
    ["nats://a?tls=true", "has a path, a query"],
    ["nats://a:0", "has a port"],
    ["nats://a:65536", "has a port"],
    ["nats://a:", "has a port"],
    ["nats://", "has no host"],
    ["nats://::1", "has several colons"],
    ["nats://[::1", "has several colons"],
    ["nats://[nope]:1", "no IPv6 address"],
    ["nats://a b", "no name and no address"],
    ["nats://a\nb", "no name and no address"],
  ])("%j is refused, and no secret is repeated", (text, why) => {
    expect(() => parseNatsAddress(text)).toThrow(NatsAddressError);
    expect(() => parseNatsAddress(text)).toThrow(why);
    const said = [...natsProblems(text, null, "HEXDISPATCH_"), maskedNatsUrl(text)].join();
    expect(said).toContain("HEXDISPATCH_NATS_URL");
    expect(said).not.toMatch(/hush|hosh|hu\b/);
  });

  it("a login stands in the URL or in a file, not in both", () => {
    expect(natsProblems("nats://u:hush@a", "/seed", "HEXDISPATCH_")).toEqual([
      "HEXDISPATCH_NATS_URL has a login and HEXDISPATCH_NATS_CREDENTIALS is set; set one",
    ]);
    expect(natsProblems("nats://a", "/seed", "HEXDISPATCH_")).toEqual([]);
  });

  it("a log shows servers and no login", () => {
    expect(maskedNatsUrl("nats://u:hush@a:1,b")).toBe("nats://[masked]@a:1,nats://[masked]@b:4222");
  });
});
