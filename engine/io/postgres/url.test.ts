/**
 * Postgres URLs, as people and platforms write them: every parameter is taken or refused by name.
 */
import { userInfo } from "node:os";
import { describe, expect, it } from "vitest";
import { maskedPostgresUrl, parsePostgresUrl, postgresUrlProblem } from "./url.ts";
import { withLibpqEnvironment } from "./url.ts";

const me = userInfo().username;

describe("a Postgres URL", () => {
  it.each([
    ["postgres://u:p@h:6543/d", "h", 6543, "u", "p", "d"],
    ["postgresql://u:p@h/d", "h", 5432, "u", "p", "d"],
    ["postgres://u:p%40ss%2Fw%3Ard%25@h/d", "h", 5432, "u", "p@ss/w:rd%", "d"],
    ["postgres://u:p@ss@h/d", "h", 5432, "u", "p@ss", "d"],
    ["postgres://u:p:q@h/d", "h", 5432, "u", "p:q", "d"],
    ["postgres://u:p@[::1]:5433/d", "::1", 5433, "u", "p", "d"],
    ["postgres://u:p@[2001:db8::7]/d", "2001:db8::7", 5432, "u", "p", "d"],
    ["postgres://u:p@h", "h", 5432, "u", "p", "u"],
    ["postgres://u:p@h/", "h", 5432, "u", "p", "u"],
    ["postgres://h/d", "h", 5432, me, "", "d"],
    ["postgres://", "localhost", 5432, me, "", me],
    ["postgres:///d?host=/var/run/postgresql", "/var/run/postgresql", 5432, me, "", "d"],
    ["postgres://u:p@/d?host=/run/pg&port=6000", "/run/pg", 6000, "u", "p", "d"],
    ["postgres://u:p@%2Fvar%2Frun%2Fpostgresql/d", "/var/run/postgresql", 5432, "u", "p", "d"],
    ["postgres://h/?user=u&password=p%26q&dbname=d", "h", 5432, "u", "p&q", "d"],
    ["postgres://u%2Bx:p@h/d%20e", "h", 5432, "u+x", "p", "d e"],
  ])("%s", (url, host, port, user, password, database) => {
    expect(parsePostgresUrl(url)).toMatchObject({ host, port, user, password, database });
    expect(postgresUrlProblem(url)).toBeNull();
  });

  it.each([
    ["disable", "off", "nothing"],
    ["allow", "prefer", "nothing"],
    ["prefer", "prefer", "nothing"],
    ["require", "on", "nothing"],
    ["verify-ca", "on", "chain"],
    ["verify-full", "on", "chain and name"],
  ])("sslmode=%s", (mode, tls, verifies) => {
    const read = parsePostgresUrl(`postgres://u@h/d?sslmode=${mode}`);
    expect(read.tls).toMatchObject({ mode: tls, verifies });
  });

  it("verifies where it names a root, prefers TLS where it says nothing, and knows the system's roots", () => {
    const tls = (query: string) => parsePostgresUrl(`postgres://u@h/d${query}`).tls;
    expect(tls("?sslmode=require&sslrootcert=/etc/hosts").verifies).toBe("chain");
    expect(tls("?sslrootcert=system")).toMatchObject({ mode: "on", verifies: "chain and name" });
    expect(tls("")).toMatchObject({ mode: "prefer", verifies: "nothing" });
    expect(tls("?ssl=true")).toMatchObject({ mode: "on" });
    expect(tls("?ssl=false")).toMatchObject({ mode: "off" });
  });

  it.each([
    ["postgres://u:hush@h/d?channel_binding=require", "SCRAM-SHA-256-PLUS"],
    ["postgres://u:hush@h/d?options=-c%20x%3Dhush", "?options= is not taken"],
    ["postgres://u:hush@h/d?search_path=x", "say schema="],
    ["postgres://u:hush@h/d?sslmode=on", "must be one of disable, allow"],
    ["postgres://u:hush@h/d?sslMode=require", "?sslMode= is not taken"],
    ["postgres://u:hush@h/d?sslrootcert=/nowhere/hush", "cannot be read (ENOENT)"],
    ["postgres://u:hush@h/d?sslrootcert=system&sslmode=require", "goes with sslmode=verify-full"],
    ["postgres://u:hush@h/d?sslcert=/x", "given together"],
    ["postgres://u:hush@h/d?ssl=true&sslmode=require", "say the same"],
    ["postgres://u:hush@h/d?connect_timeout=0", "must be 1 to 30 seconds"],
    ["postgres://u:hush@h/d?target_session_attrs=standby", "must be any, read-write or primary"],
    ["postgres://u:hush@h/d?schema=a,b", "one schema's name"],
    ["postgres://u:hush@h/d?sslmode=require&sslmode=disable", "stands there twice"],
    ["postgres://u:hush@h/d?connection_limit=5", "HEXDISPATCH_POSTGRES_CONNECTIONS"],
    ["postgres://u:hush@h/d?__proto__=x", "?__proto__= is not taken"],
    ["postgres://u:hush@a:1,b:2/d", "several hosts"],
    ["postgres://u:hush@::1/d", "in brackets"],
    ["postgres://u:hush@h:0/d", "port must be 1 to 65535"],
    ["postgres://u:hush@h:99999/d", "port must be 1 to 65535"],
    ["postgres://u:hu/sh@h/d", "written %2F"],
    ["postgres://u:hu#sh@h/d", "written %2F"],
    ["postgres://u:hu?sh@h/d", "written %2F"],
    ["postgres://u:12/34@h/d", "written %2F"],
    ["postgres://u:%zzhush@h/d", "a % is written %25"],
    ["mysql://u:hush@h/d", "begins with postgres://"],
  ])("%s is refused", (url, why) => {
    const problem = postgresUrlProblem(url);
    expect(problem).toContain(why);
    for (const secret of ["hush", "hu", "34"])
      expect(problem).not.toMatch(new RegExp(`\\b${secret}\\b`));
  });

  it("that has an unknown parameter is refused with those that are taken", () => {
    const problem = postgresUrlProblem("postgres://u@h/d?foo=1") ?? "";
    for (const name of ["sslmode", "sslrootcert", "application_name", "schema", "pgbouncer"]) {
      expect(problem).toContain(name);
    }
  });

  it("takes a password and what TLS must be from libpq's variables, where it says nothing itself", () => {
    const env = { PGPASSWORD: "p w", PGSSLMODE: "verify-full", PGHOST: "elsewhere" };
    const read = parsePostgresUrl(withLibpqEnvironment("postgres://u@h/d", env));
    expect(read).toMatchObject({ host: "h", password: "p w", tls: { verifies: "chain and name" } });
    const own = withLibpqEnvironment("postgres://u:own@h/d?sslmode=disable", env);
    expect(parsePostgresUrl(own)).toMatchObject({ password: "own", tls: { mode: "off" } });
    expect(withLibpqEnvironment("postgres://u@h/d?application_name=a", {})).not.toContain("&");
  });

  it("is printed without what is secret", () => {
    const urls = [
      "postgres://u:hush@h/d",
      "postgres://u:h@ush@h/d",
      "postgres://h/?password=hush&user=u",
    ];
    for (const url of [...urls, "postgres://u:hu/sh@h", "nonsense:hush"]) {
      expect(maskedPostgresUrl(url)).not.toMatch(/hush|ush@|sh@/);
    }
    expect(maskedPostgresUrl("postgres://u:hush@[::1]:5/d?ssl=true")).toBe(
      "postgres://u:masked@[::1]:5/d?ssl=true",
    );
  });
});
