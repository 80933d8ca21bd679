// Which archives are read out of a machine's apt settings.

import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { archivesOfDeb822, archivesOfList, machineArchives } from "./apt.ts";

const DEB822 = `Types: deb
# a comment between the fields
URIs: http://mirror.example/debian
Suites: bookworm bookworm-updates
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Types: deb
URIs: http://mirror.example/debian-security
Suites: bookworm-security
Components: main
`;

test("a deb822 file gives its archives without the security one", () => {
  expect(archivesOfDeb822(DEB822)).toEqual(["http://mirror.example/debian"]);
});

test("several addresses may go over several lines", () => {
  const text = "Types: deb deb-src\nURIs: http://a.example/debian\n http://b.example/debian\n";
  const rest = "Suites: sid\nComponents: main contrib\n";
  expect(archivesOfDeb822(text + rest)).toEqual([
    "http://a.example/debian",
    "http://b.example/debian",
  ]);
});

test.each([
  ["disabled", "Enabled: no\nTypes: deb\nURIs: http://x\nSuites: sid\nComponents: main"],
  ["sources only", "Types: deb-src\nURIs: http://x\nSuites: sid\nComponents: main"],
  ["without main", "Types: deb\nURIs: http://x\nSuites: sid\nComponents: contrib"],
])("a stanza that is %s gives none", (_, text) => {
  expect(archivesOfDeb822(text)).toEqual([]);
});

test("a one-line file gives its archives, with or without options", () => {
  const text = [
    "# deb http://commented.example/debian sid main",
    "deb http://a.example/debian bookworm main contrib",
    "deb [arch=amd64 signed-by=/k.gpg] http://b.example/debian bookworm main",
    "deb http://a.example/debian-security bookworm-security main",
    "deb-src http://a.example/debian bookworm main",
  ].join("\n");
  expect(archivesOfList(text)).toEqual(["http://a.example/debian", "http://b.example/debian"]);
});

test("all files of a machine count once, Debian's own archive first", () => {
  const folder = mkdtempSync(join(tmpdir(), "hexdispatch-apt-"));
  try {
    mkdirSync(join(folder, "sources.list.d"));
    const put = (name: string, text: string): void => writeFileSync(join(folder, name), text);
    put("sources.list", "deb http://other.example/tools stable main\n");
    put("sources.list.d/debian.sources", DEB822);
    put("sources.list.d/again.list", "deb http://mirror.example/debian bookworm main\n");
    put("sources.list.d/off.list.disabled", "deb http://off.example/debian bookworm main\n");
    expect(machineArchives(folder)).toEqual([
      "http://mirror.example/debian",
      "http://other.example/tools",
    ]);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test("a machine without apt has none", () => {
  expect(machineArchives("/nonexistent")).toEqual([]);
});
