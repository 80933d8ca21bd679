// Every file of the state folder in every state that a power loss, a full disk or a slip of the
// hand leaves it in: made anew where nothing hangs on it, else one line that names it; never a
// stack, never a hang.

import { mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, statSync } from "node:fs";
import { truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { SetupError } from "../services/process.ts";
import { ensureAccounts, localAccountsFile, ownSeedFile, publicKeyOf } from "./nats-keys.ts";
import { ProcessList, RememberedPorts, keptSecret, stateFolder, takeLock } from "./state.ts";
import { readState, writeWhole } from "./state-file.ts";

let folder = "";
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "hexdispatch-damage-"));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const DAMAGES = {
  "cut to nothing": (file: string) => writeFileSync(file, ""),
  "half a file": (file: string) => truncateSync(file, Math.floor(statSync(file).size / 2)),
  "all zeros": (file: string) => writeFileSync(file, Buffer.alloc(statSync(file).size)),
  garbage: (file: string) => writeFileSync(file, Buffer.from([0xff, 0x00, 0x7b, 0x22, 0x80])),
  "JSON of another shape": (file: string) => writeFileSync(file, '{"pid":"x"}'),
  "JSON null": (file: string) => writeFileSync(file, "null"),
  "a list of nonsense": (file: string) => writeFileSync(file, "[1,null,{}]"),
  "a folder in its place": (file: string) => {
    rmSync(file);
    mkdirSync(file);
    writeFileSync(join(file, "somebody's"), "keep");
  },
} satisfies Record<string, (file: string) => void>;

type Part = {
  readonly file: string;
  /** Makes it, or uses what is there. */
  readonly use: () => unknown;
};

/** What each file is, in this folder. */
const parts = (): Record<string, Part> => ({
  ports: {
    file: join(folder, "ports.json"),
    use: () => {
      new RememberedPorts(folder).set("nats", 4_333);
      return new RememberedPorts(folder).get("nats");
    },
  },
  processes: {
    file: join(folder, "processes.json"),
    use: () => {
      new ProcessList(folder).recorded();
      new ProcessList(folder).add({ name: "node", pid: process.pid, marker: "node" });
      return new ProcessList(folder).recorded().length;
    },
  },
  lock: {
    file: join(folder, "lock.json"),
    use: () => {
      takeLock(folder)();
      return true;
    },
  },
  seed: {
    file: join(folder, "nats-seed"),
    use: () => publicKeyOf(ownSeedFile(folder)).length,
  },
  accounts: {
    file: localAccountsFile(folder),
    use: () => {
      const key = publicKeyOf(ownSeedFile(folder));
      ensureAccounts(localAccountsFile(folder), key, () => `accounts { ${key} }\n`);
      return readFileSync(localAccountsFile(folder), "utf8").includes(key);
    },
  },
  "signing key, no data yet": {
    file: join(folder, "auth-key"),
    use: () => keptSecret(folder, "auth-key").length,
  },
});

/** A first use makes them; the lock is left as by a process that is no more. */
function make({ file, use }: Part): unknown {
  const seen = use();
  if (!file.endsWith("lock.json")) return seen;
  const stale = { name: "npm start", pid: process.pid, marker: "x", startedAt: "before:1" };
  writeWhole(file, JSON.stringify(stale));
  return seen;
}

describe.each(Object.keys(parts()))("the file of %s", (name) => {
  it.each(Object.entries(DAMAGES))("%s: it is made anew", (_, damage) => {
    const part = parts()[name] as Part;
    const seen = make(part);
    damage(part.file);
    expect(part.use()).toEqual(seen);
    expect(part.use()).toEqual(seen);
    const left = readdirSync(folder).filter((entry) => /half|stale/.test(entry));
    expect(left, "nothing half is left lying about").toEqual([]);
  });
});

describe("a secret on which data hang", () => {
  it.each(["auth-key", "postgres-password"])("%s is never replaced: one line names it", (name) => {
    const secret = keptSecret(folder, name);
    mkdirSync(join(folder, "postgres", "data"), { recursive: true });
    for (const damage of Object.values(DAMAGES)) {
      const file = join(folder, name);
      damage(file);
      const error = failureOf(() => keptSecret(folder, name));
      expect(error).toBeInstanceOf(SetupError);
      expect(error.message).toContain(file);
      expect(error.message).toMatch(/copy/);
      expect(error.message).not.toContain("\n");
      rmSync(file, { recursive: true });
      writeFileSync(file, `${secret}\n`, { mode: 0o600 });
    }
    expect(keptSecret(folder, name)).toBe(secret);
  });
});

it("a file in the place of the state folder is refused in one line", () => {
  const file = join(folder, "state");
  writeFileSync(file, "");
  process.env["HEXDISPATCH_STATE_DIR"] = file;
  try {
    const error = failureOf(() => stateFolder());
    expect(error).toBeInstanceOf(SetupError);
    expect(error.message).toMatch(/HEXDISPATCH_STATE_DIR/);
  } finally {
    delete process.env["HEXDISPATCH_STATE_DIR"];
  }
});

it("a lock whose process id belongs to somebody else by now does not hold", () => {
  const recycled = { name: "npm start", pid: process.pid, marker: "node", startedAt: "x:1" };
  writeWhole(join(folder, "lock.json"), JSON.stringify(recycled));
  takeLock(folder)();
});

it("a write that fails leaves the old content, and no half", () => {
  const file = join(folder, "ports.json");
  writeWhole(file, "old");
  mkdirSync(join(folder, `ports.json.${process.pid}.half`));
  writeFileSync(join(folder, `ports.json.${process.pid}.half`, "x"), "");
  writeWhole(file, "new");
  expect(readFileSync(file, "utf8")).toBe("new");
  expect(readState(join(folder, "none"), (text) => text).damage).toBe("missing");
});

function failureOf(run: () => unknown): Error {
  try {
    run();
  } catch (error) {
    return error as Error;
  }
  throw new Error("nothing was refused");
}
