import { describe, expect, it } from "vitest";
import { DISPATCH_DEFAULTS } from "../proto/limits.ts";
import { ConfigError, SETTING_RANGES, printable, readConfig } from "./config.ts";

const AUTH_KEY = "k".repeat(32);
const MINIMAL = {
  HEXDISPATCH_POSTGRES_URL: "postgres://me:hush@127.0.0.1/hex",
  HEXDISPATCH_AUTH_KEY: AUTH_KEY,
};

const problemsOf = (env: Record<string, string>): readonly string[] => {
  try {
    readConfig(env);
  } catch (error) {
    if (error instanceof ConfigError) return error.problems;
    throw error;
  }
  return [];
};

describe("the settings", () => {
  it("need only a database and a key; all else has a default", () => {
    const config = readConfig(MINIMAL);
    expect(config.natsPrefix).toBe("hd");
    expect(config.publicUrl).toBe("http://127.0.0.1:8080");
    expect(config.cityDir).toBeNull();
    expect(config.settings).toEqual(DISPATCH_DEFAULTS);
    expect(Object.isFrozen(config) && Object.isFrozen(config.settings)).toBe(true);
  });

  it.each([
    ["::1", "http://[::1]:8080"],
    ["::", "http://localhost:8080"],
    ["0.0.0.0", "http://localhost:8080"],
    ["localhost", "http://localhost:8080"],
    ["2001:db8::7", "http://[2001:db8::7]:8080"],
  ])("make links that lead somewhere when it listens on %s", (host, url) => {
    expect(readConfig({ ...MINIMAL, HEXDISPATCH_PUBLIC_HOST: host }).publicUrl).toBe(url);
  });

  it("refuse a parameter of the database's address that nobody reads, and name those that are", () => {
    const url = "postgres://me:hush@127.0.0.1/hex?sslrootcrt=/x";
    const [problem] = problemsOf({ ...MINIMAL, HEXDISPATCH_POSTGRES_URL: url });
    expect(problem).toMatch(/HEXDISPATCH_POSTGRES_URL is refused: \?sslrootcrt= .*sslrootcert/);
    expect(problem).not.toContain("hush");
  });

  it("of a node need no key for tokens, and keep none that lies about", () => {
    const { HEXDISPATCH_POSTGRES_URL: url } = MINIMAL;
    const previous = "p".repeat(32);
    for (const more of [
      {},
      { HEXDISPATCH_AUTH_KEY: AUTH_KEY, HEXDISPATCH_AUTH_KEY_PREVIOUS: previous },
    ]) {
      const config = readConfig({ HEXDISPATCH_POSTGRES_URL: url, ...more }, "node");
      expect([config.authKey, config.authKeyPrevious]).toEqual(["", null]);
      expect(JSON.stringify(config)).not.toContain(AUTH_KEY);
    }
    expect(() => readConfig({ HEXDISPATCH_POSTGRES_URL: url })).toThrow("HEXDISPATCH_AUTH_KEY");
  });

  it("report every problem at once, with the name, the value and what is allowed", () => {
    const problems = problemsOf({
      HEXDISPATCH_AUTH_KEY: "short",
      HEXDISPATCH_WAVE_MS: "2s",
      HEXDISPATCH_SHARDS: "5000",
      HEXDISPATCH_SERVICE_AREA: "-122,38,-123,37",
      HEXDISPATCH_LOG_LEVEL: "loud",
    });
    expect(problems).toEqual([
      "HEXDISPATCH_POSTGRES_URL is not set; it must be a URL that begins with postgres:// or postgresql://",
      "HEXDISPATCH_AUTH_KEY has 5 characters; it must have at least 32 characters",
      'HEXDISPATCH_SERVICE_AREA is "-122,38,-123,37"; it must be west,south,east,north in degrees with west < east and south < north',
      'HEXDISPATCH_SHARDS is "5000"; it must be a whole number from 1 to 4096',
      'HEXDISPATCH_LOG_LEVEL is "loud"; it must be one of trace, debug, info, warn, error, fatal, silent',
      'HEXDISPATCH_WAVE_MS is "2s"; it must be a whole number from 100 to 600000',
    ]);
  });

  it("never repeat a secret in a complaint", () => {
    const [problem] = problemsOf({ ...MINIMAL, HEXDISPATCH_POSTGRES_URL: "mysql://me:hush@db/x" });
    expect(problem).toContain("[masked]");
    expect(problem).not.toContain("hush");
  });

  it("take a relay's number for the couriers' own, and no other text", () => {
    const relay = { ...MINIMAL, HEXDISPATCH_COURIER_PHONE: "+1-800-555-0000" };
    expect(readConfig(relay).courierPhone).toBe("+1-800-555-0000");
    expect(problemsOf({ ...MINIMAL, HEXDISPATCH_COURIER_PHONE: "hidden" })).toHaveLength(1);
  });

  it("refuse radii that shrink from wave to wave", () => {
    expect(problemsOf({ ...MINIMAL, HEXDISPATCH_WAVE_1_RADIUS_M: "9000" })).toEqual([
      "HEXDISPATCH_WAVE_1_RADIUS_M (9000) must not be above WAVE_2_RADIUS_M (2500)",
    ]);
  });

  it("take a tuned value and treat an empty one as unset", () => {
    const config = readConfig({
      ...MINIMAL,
      HEXDISPATCH_WAVE_MS: " 1500 ",
      HEXDISPATCH_CITY_DIR: "",
      HEXDISPATCH_PUBLIC_URL: "https://track.example/",
    });
    expect(config.settings.WAVE_MS).toBe(1_500);
    expect(config.cityDir).toBeNull();
    expect(config.publicUrl).toBe("https://track.example");
  });

  it("print without keys and passwords", () => {
    const config = readConfig({
      ...MINIMAL,
      HEXDISPATCH_NATS_URL: "nats://s3cret@a:4222,b",
    });
    const text = JSON.stringify(printable(config));
    for (const secret of ["hush", "s3cret", AUTH_KEY]) expect(text).not.toContain(secret);
    expect(text).toContain("127.0.0.1/hex");
  });

  it("have defaults within their own ranges", () => {
    for (const [name, [min, max]] of Object.entries(SETTING_RANGES)) {
      const value = DISPATCH_DEFAULTS[name as keyof typeof DISPATCH_DEFAULTS];
      expect(value, name).toBeGreaterThanOrEqual(min);
      expect(value, name).toBeLessThanOrEqual(max);
    }
  });
});
