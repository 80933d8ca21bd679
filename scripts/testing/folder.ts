// Temporary folders of test runs, each with a note of who owns it and which servers run from it.
// A run that was killed leaves servers behind; every later run ends them by that note.

import { chmodSync, existsSync, mkdtempSync, readFileSync, readdirSync, rmSync } from "node:fs";
import { writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ProcessList } from "../run/state.ts";
import { canEnter, reachableFolder, reachablePath } from "../services/postgres-binary.ts";
import type { PostgresUser } from "../services/postgres-binary.ts";
import { endLeftovers, isAlive } from "../services/process.ts";

const PREFIX = "hexdispatch-test-";
const OWNER_FILE = "owner";

export interface TestFolder {
  readonly path: string;
  readonly list: ProcessList;
  readonly remove: () => void;
}

/** A new folder that `user` may enter; it is this process's until removed. */
export function makeTestFolder(root: string, user: PostgresUser | undefined): TestFolder {
  const base = canEnter(tmpdir(), user) ? tmpdir() : reachableFolder(root);
  const path = mkdtempSync(join(base, PREFIX));
  chmodSync(path, 0o711);
  writeFileSync(join(path, OWNER_FILE), String(process.pid));
  const remove = (): void => rmSync(path, { recursive: true, force: true });
  return { path, list: new ProcessList(path), remove };
}

/** Ends the servers and removes the folders of test runs that are no more. */
export async function sweepTestFolders(root: string): Promise<void> {
  for (const base of [tmpdir(), reachablePath(root)].filter((path) => existsSync(path))) {
    for (const name of readdirSync(base).filter((entry) => entry.startsWith(PREFIX))) {
      await sweepOne(join(base, name));
    }
  }
}

async function sweepOne(path: string): Promise<void> {
  const ownerFile = join(path, OWNER_FILE);
  // Without a note it may just be being made.
  if (!existsSync(ownerFile) || isAlive(Number(readFileSync(ownerFile, "utf8")))) return;
  await endLeftovers(new ProcessList(path).recorded());
  rmSync(path, { recursive: true, force: true });
}
