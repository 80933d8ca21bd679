// How versions of a nats-server are read and compared.

import { expect, test } from "vitest";
import { isAtLeast, parseNatsVersion } from "./nats-binary.ts";

test.each([
  ["nats-server: v2.15.1\n", "2.15.1"],
  ["nats-server: v2.11.0-RC.2", "2.11.0"],
  ["2.9.10", "2.9.10"],
  ["command not found", null],
])("%j is version %s", (output, version) => {
  expect(parseNatsVersion(output)).toBe(version);
});

test.each([
  ["2.10.0", "2.10.0", true],
  ["2.10.1", "2.10.0", true],
  ["2.9.25", "2.10.0", false],
  ["3.0.0", "2.15.0", true],
  ["2.15.0", "2.15.1", false],
])("%s is at least %s: %s", (a, b, answer) => {
  expect(isAtLeast(a, b)).toBe(answer);
});
