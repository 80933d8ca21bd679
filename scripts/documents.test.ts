// What pages and deployment files say, held against the project: every link leads somewhere, and
// every setting that is named exists and is explained.

import { existsSync, readFileSync, readdirSync, statSync } from "node:fs";
import { dirname, extname, join, relative } from "node:path";
import { expect, test } from "vitest";
import { readConfig } from "../engine/config.ts";
import { DISPATCH_DEFAULTS } from "../proto/limits.ts";
import { projectRoot } from "./run/state.ts";

const root = projectRoot();
const PREFIX = "HEXDISPATCH_";
/** Settings that only scripts know, not the processes. */
const OF_SCRIPTS = [
  "CLUSTER_GATEWAYS",
  "CLUSTER_NODES",
  "NATS_ACCOUNTS_FILE",
  "STATE_DIR",
  "TEST_BEHIND",
];

function filesBelow(folder: string, wanted: (name: string) => boolean): string[] {
  return readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    if (entry.name.startsWith(".") || ["node_modules", "dist", "reports"].includes(entry.name)) {
      return [];
    }
    const full = join(folder, entry.name);
    return entry.isDirectory() ? filesBelow(full, wanted) : wanted(entry.name) ? [full] : [];
  });
}
const pages = filesBelow(root, (name) => extname(name) === ".md");
const textOf = (file: string): string => readFileSync(file, "utf8");

/** How a heading is addressed: lower case, words joined by hyphens. */
const anchorOf = (heading: string): string =>
  heading
    .toLowerCase()
    .replaceAll(/[`*_]/g, "")
    .replaceAll(/[^\p{L}\p{N} -]/gu, "")
    .replaceAll(" ", "-");
const anchorsOf = (file: string): string[] =>
  [...textOf(file).matchAll(/^#{1,6} (.+)$/gm)].map(([, heading = ""]) => anchorOf(heading));

function isBroken(page: string, target: string): boolean {
  const [path = "", anchor] = target.split("#");
  const file = path === "" ? page : join(dirname(page), decodeURIComponent(path));
  if (!existsSync(file)) return true;
  return anchor !== undefined && statSync(file).isFile() && !anchorsOf(file).includes(anchor);
}

test("every link of every page leads somewhere", () => {
  const broken = pages.flatMap((page) =>
    [...textOf(page).matchAll(/\]\(([^)\s]+)\)/g)]
      .map(([, target = ""]) => target)
      .filter((target) => !/^[a-z]+:/.test(target) && isBroken(page, target))
      .map((target) => `${relative(root, page)}: ${target}`),
  );
  expect(pages.length).toBeGreaterThan(10);
  expect(broken).toEqual([]);
});

/** The names that the processes ask their environment for, without the prefix. */
function settings(): string[] {
  const asked = new Set<string>();
  const usual: Record<string, string> = {
    POSTGRES_URL: "postgres://db/x",
    AUTH_KEY: "k".repeat(32),
    // With these, the settings that depend on them are asked for as well.
    NOTIFY: "http",
    NOTIFY_URL: "https://notices.test",
  };
  const env = new Proxy<Record<string, string>>(
    {},
    {
      get: (_, name: string) => {
        // Libpq's own variables are on the page about what stands beside.
        if (!name.startsWith(PREFIX)) return undefined;
        asked.add(name.slice(PREFIX.length));
        return usual[name.slice(PREFIX.length)];
      },
    },
  );
  readConfig(env);
  return [...asked];
}

/** Names in full, and the `_SHORT` ones that follow them in a list. */
function namedIn(text: string): string[] {
  const names = [...text.matchAll(/HEXDISPATCH_([A-Z0-9_]+)|`_([A-Z0-9_]+)`/g)];
  return [...new Set(names.map(([, full, short]) => full ?? short ?? ""))];
}

test("every setting that a page or a deployment file names exists", () => {
  const known = new Set([...settings(), ...OF_SCRIPTS]);
  const files = [
    ...pages.filter((page) => !page.endsWith("CHANGELOG.md")),
    ...filesBelow(join(root, "deploy"), () => true),
    join(root, "Dockerfile"),
  ];
  const unknown = files.flatMap((file) =>
    namedIn(textOf(file))
      .filter((name) => !known.has(name))
      .map((name) => `${relative(root, file)}: ${name}`),
  );
  expect(unknown).toEqual([]);
});

test("every setting is explained on the page of the settings, or among the limits", () => {
  const explained = new Set(namedIn(textOf(join(root, "docs", "settings.md"))));
  const missing = settings().filter((name) => !explained.has(name) && !(name in DISPATCH_DEFAULTS));
  expect(missing).toEqual([]);
});
