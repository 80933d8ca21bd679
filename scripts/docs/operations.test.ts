// The page for operators names metrics and settings; whoever is called at night must find them.

import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { READERS } from "../../engine/streams/consumer-lag.ts";
import { SETTING_RANGES } from "../../engine/config.ts";
import { Metrics } from "../../engine/io/metrics.ts";
import { STREAMS } from "../../proto/subjects.ts";
import { projectRoot } from "../run/state.ts";

const root = projectRoot();
const page = readFileSync(join(root, "docs/operations.md"), "utf8");
const named = (pattern: RegExp): string[] => [...new Set(page.match(pattern))];

function sources(folder: string): string {
  return readdirSync(join(root, folder), { recursive: true, encoding: "utf8" })
    .filter((file) => file.endsWith(".ts") && !file.endsWith("test.ts"))
    .map((file) => readFileSync(join(root, folder, file), "utf8"))
    .join("\n");
}

test("every metric on the page is one that a process shows", async () => {
  const text = `${sources("engine")}\n${sources("gateway")}`;
  const spelled = [...text.matchAll(/"(hexdispatch_[a-z0-9_]+)"/g)].map(([, name]) => name);
  const gauges = [...text.matchAll(/\bshow\("([a-z0-9_]+)"/g)].map(
    ([, name]) => `hexdispatch_${name}`,
  );
  const readers = READERS.map((reader) => `hexdispatch_${reader}_events_waiting`);
  const usual = (await new Metrics("node").registry.getMetricsAsJSON()).map(({ name }) => name);
  const known = new Set([...spelled, ...gauges, ...readers, ...usual]);
  const metrics = named(/hexdispatch_[a-z0-9_]+/g);
  expect(metrics.length).toBeGreaterThan(20);
  expect(metrics.filter((name) => !known.has(name))).toEqual([]);
});

test("every setting on the page is one that the processes read", () => {
  const text = readFileSync(join(root, "engine/config.ts"), "utf8");
  const read = [...text.matchAll(/\b(?:reader\.[a-zA-Z]+|rate)\("([A-Z0-9_]+)"/g)].map(
    ([, name]) => name,
  );
  const known = new Set([
    ...read,
    ...Object.keys(SETTING_RANGES),
    ...Object.keys(STREAMS).map((stream) => `${stream}_BYTES_MAX`),
  ]);
  const settings = named(/HEXDISPATCH_[A-Z0-9_]+/g).map((name) => name.slice(12));
  expect(settings.length).toBeGreaterThan(8);
  expect(settings.filter((name) => !known.has(name))).toEqual([]);
});
