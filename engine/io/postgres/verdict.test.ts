import { describe, expect, test } from "vitest";
import { DispatchError } from "../../../proto/errors.ts";
import { SERVER_CASES, errorOf, failureOf } from "./verdict-cases.ts";
import type { ServerCase } from "./verdict-cases.ts";
import { DatabaseError, databaseError, isHeld, isOutage, isRefusal, judge } from "./verdict.ts";
import { rootOf } from "./verdict.ts";

const coded = (code: string, severity?: string): Error =>
  Object.assign(new Error(code), { code, ...(severity === undefined ? {} : { severity }) });
const title = ({ phase, code, name }: ServerCase): string => `${phase}: ${name} (${code})`;

describe("what real servers throw", () => {
  test.each(SERVER_CASES.map((row) => [title(row), row] as const))("%s", (_, row) => {
    expect(judge(errorOf(row), row.phase !== "connecting").about).toBe(row.about);
    const failure = failureOf(row);
    expect(failure).toMatchObject({ code: "unavailable", retryAfterS: 1 });
    expect(isRefusal(failure)).toBe(row.about === "command");
    expect(isOutage(failure)).toBe(row.about !== "command");
    expect(failure.message, "the inside stays inside").not.toContain(row.message);
  });
});

test("every SQLSTATE before the statement was sent is about the connection", () => {
  const letters = "0123456789ABCDEFHPX";
  for (const one of letters) {
    for (const two of letters) {
      for (const rest of ["000", "505", "P01", "006"]) {
        const error = coded(`${one}${two}${rest}`, "ERROR");
        expect(judge(error, false)).toMatchObject({ about: "connection", renew: false });
        const isData = one === "2" && (two === "2" || two === "3");
        expect(judge(error, true).about === "command", error.message).toBe(isData);
      }
    }
  }
});

test("a session that ends with a data code was not refused a row", () => {
  for (const severity of ["FATAL", "PANIC", undefined]) {
    expect(judge(coded("23505", severity), true).about).toBe("server");
  }
});

test("a refused login is not repeated at once, a busy or starting server is", () => {
  const again = (code: string): boolean => judge(coded(code, "FATAL"), false).again;
  for (const code of ["28P01", "28000", "3D000", "42501", "EMFILE", "CERT_HAS_EXPIRED"]) {
    expect(again(code), code).toBe(false);
  }
  for (const code of ["57P03", "57P01", "53300", "08006", "ECONNREFUSED", "ENOTFOUND"]) {
    expect(again(code), code).toBe(true);
  }
});

test("sessions on a server that only reads, and stale plans, cost the whole pool", () => {
  for (const code of ["25006", "25P02", "0A000", "26000", "42P05"]) {
    expect(judge(coded(code, "ERROR"), true)).toMatchObject({ renew: true, again: true });
  }
  expect(judge(coded("42P01", "ERROR"), true)).toMatchObject({ renew: false, again: false });
});

test("who waits for a lock is told from who is refused", () => {
  for (const code of ["55P03", "57014"]) {
    const error = databaseError(coded(code, "ERROR"), true);
    expect([isHeld(error), isRefusal(error)]).toEqual([true, false]);
  }
  expect(isHeld(databaseError(coded("40P01", "ERROR"), true))).toBe(false);
});

describe("wrapped errors", () => {
  const refused = new DatabaseError(judge(coded("23514", "ERROR"), true), coded("23514", "ERROR"));

  test("causes are looked through, and a verdict that was passed is kept", () => {
    expect(isRefusal(new Error("the create failed", { cause: refused }))).toBe(true);
    expect(judge(new Error("again", { cause: refused }), false).about).toBe("command");
    const wrapped = new Error("a wrapper", { cause: coded("28P01", "FATAL") });
    expect(databaseError(wrapped, false)).toMatchObject({ causeCode: "28P01" });
    expect(judge(new Error("a wrapper", { cause: coded("23505", "ERROR") }), true).about).toBe(
      "command",
    );
  });

  test("several attempts to connect at once are one refused connection", () => {
    const both = new AggregateError([coded("ECONNREFUSED"), coded("ECONNREFUSED")]);
    expect(judge(both, false)).toMatchObject({ about: "connection", again: true });
  });

  test("a chain that bites its own tail ends", () => {
    const one = new Error("one");
    const two = new Error("two", { cause: one });
    one.cause = two;
    expect(judge(two, true).about).toBe("unknown");
    expect(rootOf(two)).toBe(one);
  });
});

test("what says nothing is unknown: no code, no error, a mistake of ours", () => {
  for (const nothing of [null, undefined, "text", new TypeError("x is not a function"), {}]) {
    expect(judge(nothing, true)).toMatchObject({ about: "unknown", again: false });
    expect(judge(nothing, false)).toMatchObject({ about: "connection", again: false });
  }
  expect(isRefusal(new DispatchError("unavailable"))).toBe(false);
  expect(isOutage(new DispatchError("unavailable"))).toBe(true);
  expect(isOutage(new DispatchError("not_found"))).toBe(false);
});

test("refusals of our own stay what they are", () => {
  const full = new DispatchError("overloaded");
  expect(databaseError(full, false)).toBe(full);
});
