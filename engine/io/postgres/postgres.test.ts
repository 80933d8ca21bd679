import { expect, test } from "vitest";
import { numberArray, textArray } from "./postgres.ts";

test("array literals survive quotes, backslashes and commas", () => {
  expect(textArray([`a"b`, "c\\d", "e,f", ""])).toBe(String.raw`{"a\"b","c\\d","e,f",""}`);
  expect(textArray([])).toBe("{}");
  expect(numberArray([1, -2.5])).toBe("{1,-2.5}");
});
