// Writes the reference pages in docs/ from the tables in proto/, so that they cannot drift apart:
// `npm run docs` writes them, `npm run docs:check` fails when one is not what the tables say. How a
// page is laid out is in docs/pages.ts; pages that people write are not touched.

import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import {
  authorizationPage,
  errorsPage,
  limitsPage,
  protocolPage,
  subjectsPage,
} from "./docs/pages.ts";
import { projectRoot } from "./run/state.ts";

const root = projectRoot();
const source = (name: string): string => readFileSync(join(root, "proto", name), "utf8");

const PAGES: Readonly<Record<string, string>> = {
  "docs/protocol.md": protocolPage(source("frames.ts"), source("messages.ts"), source("posts.ts")),
  "docs/subjects.md": subjectsPage(source("subjects.ts")),
  "docs/errors.md": errorsPage(source("errors.ts")),
  "docs/authorization.md": authorizationPage(
    readFileSync(join(root, "gateway/testing/authorization.ts"), "utf8"),
  ),
  "docs/limits.md": limitsPage(source("limits.ts")),
};

/** The first line in which two texts differ, for people. */
function firstDifference(found: string, wanted: string): string {
  const left = found.split("\n");
  const right = wanted.split("\n");
  const at = right.findIndex((line, index) => line !== left[index]);
  const line = at === -1 ? right.length : at;
  return `line ${line + 1}:\n  - ${left[line] ?? "(end)"}\n  + ${right[line] ?? "(end)"}`;
}

const isCheck = process.argv.includes("--check");
for (const [name, wanted] of Object.entries(PAGES)) {
  const file = join(root, name);
  const found = existsSync(file) ? readFileSync(file, "utf8") : "";
  if (found === wanted) continue;
  if (isCheck) {
    process.stderr.write(
      `${name} is stale, run \`npm run docs\`; ${firstDifference(found, wanted)}\n`,
    );
    process.exitCode = 1;
  } else {
    writeFileSync(file, wanted);
    process.stdout.write(`${name} written\n`);
  }
}
