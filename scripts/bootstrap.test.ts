// What start.mjs and test.mjs decide before anything is installed.

import { readdirSync } from "node:fs";
import { expect, test } from "vitest";
import { checkNode, outdatedPackages, satisfies } from "./bootstrap.mjs";

const RANGE = "^20.19.0 || ^22.12.0";

test.each([
  ["v20.18.3", false],
  ["v20.19.0", true],
  ["v20.20.2", true],
  ["v21.7.0", false],
  ["v22.11.0", false],
  ["v22.12.0", true],
  ["v22.23.3", true],
  ["v22.12.0-nightly", true],
  ["v23.11.1", false],
  ["v24.4.0", false],
  ["v8.17.0", false],
])("Node %s is accepted: %s", (version, accepted) => {
  expect(satisfies(version, RANGE)).toBe(accepted);
});

test("a range of another form is refused instead of misread", () => {
  expect(() => satisfies("v20.19.0", "20.x")).toThrow("not understood");
});

test.each(["v18.20.0", "v23.11.1", "v24.4.0", "v25.1.0"])(
  "Node %s is answered with one line that names the versions and a way to get one",
  (version) => {
    const line = new RegExp(`^hexdispatch needs Node .*22.*${version}.*nvm[^\\n]*$`);
    expect(() => checkNode(version)).toThrow(line);
  },
);

test("the sockets' library has a binary for each Node that is accepted", () => {
  const binaries = readdirSync(new URL("../node_modules/uWebSockets.js/dist/bin", import.meta.url));
  // The number that Node gives its binary interface: 115 is Node 20, 127 Node 22.
  for (const abi of [115, 127]) expect(binaries.join(" ")).toContain(`linux_x64_${abi}.node`);
});

const entry = (version: string): { version: string; integrity: string } => ({
  version,
  integrity: `sha512-${version}`,
});

test("packages that are missing or of another version are outdated", () => {
  const lock = { packages: { "": {}, a: entry("1.0.0"), b: entry("2.0.0"), c: entry("3.0.0") } };
  const installed = { packages: { a: entry("1.0.0"), b: entry("1.9.0") } };
  expect(outdatedPackages(lock, installed)).toEqual(["b", "c"]);
});

test("a binary for another platform may be missing", () => {
  const lock = { packages: { mac: { ...entry("1.0.0"), optional: true } } };
  expect(outdatedPackages(lock, { packages: {} })).toEqual([]);
});
