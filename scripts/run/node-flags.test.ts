import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { FIRST_MODULE, NODE_FLAGS } from "./node-flags.ts";
import { projectRoot } from "./state.ts";

it("the image starts each process with the flags of `npm start`", () => {
  const script = readFileSync(join(projectRoot(), "deploy", "entrypoint.sh"), "utf8");
  const starts = script.split("\n").filter((line) => line.includes("exec node "));
  expect(starts.length).toBe(3);
  const flags = [...NODE_FLAGS, "--import", `./${FIRST_MODULE}`];
  for (const line of starts) expect(line).toContain(`exec node ${flags.join(" ")} dist/`);
});
