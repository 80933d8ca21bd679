// The command line of `npm run token`.

import { expect, test } from "vitest";
import { parseRevokeArgs, parseTokenArgs, parseTtl } from "./token-args.ts";

test("a role and a subject make a request for eight hours", () => {
  expect(parseTokenArgs(["--role", "courier", "--sub", "cur_1"])).toEqual({
    role: "courier",
    sub: "cur_1",
    ttlS: 28_800,
  });
});

test("flags may be written with an equals sign, in any order", () => {
  const args = ["--ttl=15m", "--sub=ops_demo", "--role=operator"];
  expect(parseTokenArgs(args)).toEqual({ role: "operator", sub: "ops_demo", ttlS: 900 });
});

test.each([
  [["--sub", "x"], "--role must be"],
  [["--role", "king", "--sub", "x"], "--role must be"],
  [["--role", "tracking", "--sub", "x"], "by the server alone"],
  [["--role", "courier"], "--sub must be"],
  [["--role", "courier", "--sub", "a b"], "--sub must be"],
  [["--role", "courier", "--sub"], "--sub needs a value"],
  [["--role", "courier", "--role", "courier"], "twice"],
  [["--role", "courier", "--sub", "x", "--ttl", "soon"], "--ttl must be"],
  [["--admin", "yes"], "--admin is not known"],
])("%j is refused in one sentence", (args, text) => {
  const answer = parseTokenArgs(args);
  expect(answer).toContain(text);
  expect(answer).not.toContain("\n");
});

test.each([
  ["90s", 90],
  ["15m", 900],
  ["8h", 28_800],
  ["365d", 31_536_000],
  ["366d", null],
  ["0s", null],
  ["8", null],
  ["-8h", null],
  ["1.5h", null],
  ["8w", null],
])("a ttl of %s is %s seconds", (text, seconds) => {
  expect(parseTtl(text)).toBe(seconds);
});

test.each([
  [["--role", "courier", "--sub", "cur_1"], { role: "courier", subject: "cur_1" }],
  [["--role", "tracking", "--sub", "del_1"], { role: "tracking", subject: "del_1" }],
  [["--jti", "ab-1"], { jti: "ab-1" }],
])("%j revokes", (args, expected) => {
  expect(parseRevokeArgs(args)).toEqual(expected);
});

test.each([
  [[], "name --role and --sub"],
  [["--role", "courier"], "name --role and --sub"],
  [["--role", "courier", "--sub", "x", "--jti", "y"], "alone"],
  [["--role", "king", "--sub", "x"], "--role is not known"],
  [["--role", "courier", "--sub", "a b"], "--sub must be"],
  [["--jti", "a b"], "--jti must be"],
  [["--jti", "a", "--ttl", "8h"], "--ttl has no meaning"],
])("%j revokes nothing", (args, text) => {
  expect(parseRevokeArgs(args)).toContain(text);
});
