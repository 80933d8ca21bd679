import { expect, test } from "vitest";
import { judge } from "./linear.ts";
import type { Model, Operation } from "./linear.ts";

/** A register that is written and read. */
type Input = { readonly write: number } | { readonly read: number };
const register: Model<number, Input> = {
  initial: 0,
  step: (state, input) => {
    if ("write" in input) return input.write;
    return input.read === state ? state : null;
  },
  key: String,
};
const at = (sentAt: number, endedAt: number, input: Input): Operation<Input> => ({
  input,
  sentAt,
  endedAt,
});

test("nothing has an order, and so has one after the other", () => {
  expect(judge([], register)).toBe("linearizable");
  const history = [at(0, 1, { write: 1 }), at(2, 3, { read: 1 }), at(4, 5, { write: 2 })];
  expect(judge([...history, at(6, 7, { read: 2 })], register)).toBe("linearizable");
  expect(judge([...history, at(6, 7, { read: 1 })], register)).toBe("not");
});

test("two reads of overlapping writes must agree on their order", () => {
  const writes = [at(0, 10, { write: 1 }), at(0, 10, { write: 2 })];
  const agree = [at(11, 12, { read: 2 }), at(13, 14, { read: 2 })];
  expect(judge([...writes, ...agree], register)).toBe("linearizable");
  const differ = [at(11, 12, { read: 2 }), at(13, 14, { read: 1 })];
  expect(judge([...writes, ...differ], register)).toBe("not");
});

test("what was never answered may come late or never, and is not waited for", () => {
  const write = at(0, Number.POSITIVE_INFINITY, { write: 1 });
  expect(judge([write, at(1, 2, { read: 0 }), at(3, 4, { read: 1 })], register)).toBe(
    "linearizable",
  );
  expect(judge([write, at(1, 2, { read: 1 }), at(3, 4, { read: 0 })], register)).toBe("not");
  expect(judge([write, at(1, 2, { read: 0 })], register)).toBe("linearizable");
});

test("many overlapping requests are judged in a moment", () => {
  const many = Array.from({ length: 14 }, (_, i) => at(0, 100, { write: i }));
  expect(judge([...many, at(101, 102, { read: 99 })], register)).toBe("not");
});
