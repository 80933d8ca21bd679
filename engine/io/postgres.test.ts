import { describe, expect, test } from "vitest";
import { DispatchError } from "../../proto/errors.ts";
import { judge, numberArray, textArray } from "./postgres.ts";

const coded = (code: string): Error => Object.assign(new Error("test"), { code });

describe("what an error means for the statement that met it", () => {
  test.each(["CONNECTION_CLOSED", "ECONNREFUSED", "CONNECT_TIMEOUT", "08006", "57P01", "57P03"])(
    "%s: the connection is gone or the server starts, so it is tried again",
    (code) => expect(judge(coded(code))).toBe("try again"),
  );
  test.each(["25006", "40001", "40P01", "53300"])("%s passes by itself", (code) =>
    expect(judge(coded(code))).toBe("try again"),
  );
  test.each(["57014", "53100", "58030", "CONNECTION_ENDED"])("%s: not now", (code) =>
    expect(judge(coded(code))).toBe("give up"),
  );
  test.each(["23514", "42P01", "22P02", "UNDEFINED_VALUE"])("%s is a mistake of ours", (code) =>
    expect(judge(coded(code))).toBe("mistake"),
  );
  test("a refusal of our own is passed on, and an unknown throw is a mistake", () => {
    expect(judge(new DispatchError("overloaded"))).toBe("give up");
    expect(judge(new TypeError("x is not a function"))).toBe("mistake");
    expect(judge(null)).toBe("mistake");
  });
});

test("array literals survive quotes, backslashes and commas", () => {
  expect(textArray([`a"b`, "c\\d", "e,f", ""])).toBe(String.raw`{"a\"b","c\\d","e,f",""}`);
  expect(textArray([])).toBe("{}");
  expect(numberArray([1, -2.5])).toBe("{1,-2.5}");
});
