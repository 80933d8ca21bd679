// What of a process's output is shown, and that nothing is lost between two chunks.

import { mkdtempSync, readFileSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { LogFile, lineSplitter, terminalLine } from "./log-lines.ts";

test.each([
  ['{"level":"info","msg":"fine"}', null],
  ['{"level":"warn","msg":"slow"}', "[node] warn: slow"],
  ['{"level":"error","msg":"lost","error":"timeout"}', "[node] error: lost: timeout"],
  ['{"level":"fatal","msg":"gone"}', "[node] fatal: gone"],
  ["Error: not JSON", "[node] Error: not JSON"],
  ['{"half', '[node] {"half'],
  ["  ", null],
])("%s is shown as %s", (line, shown) => {
  expect(terminalLine("node", line)).toBe(shown);
});

test("lines are put together over chunks", () => {
  const lines: string[] = [];
  const push = lineSplitter((line) => lines.push(line));
  for (const chunk of ["a", "b\nc\n", "", "d\ne"]) push(chunk);
  expect(lines).toEqual(["ab", "c", "d"]);
});

test("each start keeps the last three logs", async () => {
  const folder = mkdtempSync(join(tmpdir(), "hexdispatch-logs-"));
  try {
    const file = join(folder, "node.log");
    for (const line of ["first", "second", "third", "fourth", "fifth"]) {
      const log = new LogFile(file);
      log.write(line);
      await log.end();
      log.write("after the end");
    }
    expect(readdirSync(folder).sort()).toEqual([
      "node.log",
      "node.log.1",
      "node.log.2",
      "node.log.3",
    ]);
    expect(readFileSync(file, "utf8")).toBe("fifth\n");
    expect(readFileSync(`${file}.3`, "utf8")).toBe("second\n");
  } finally {
    rmSync(folder, { recursive: true });
  }
});
