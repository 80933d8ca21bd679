/** A disk that is full, and has room again; where that is not allowed the reason is said. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, it } from "vitest";
import { makeDisks } from "./disks.ts";

it("a full disk takes nothing more, and takes it again once it is free", () => {
  const disks = makeDisks(true);
  if (disks.why !== null) return expect(disks.why).toMatch(/root|not allowed/);
  const folder = mkdtempSync(join(tmpdir(), "hexdispatch-test-disk-"));
  try {
    const disk = disks.mount(join(folder, "data"), 2);
    const file = join(disk.path, "file");
    writeFileSync(file, "before");
    disk.fill();
    expect(() => writeFileSync(join(disk.path, "more"), Buffer.alloc(65_536))).toThrow("ENOSPC");
    expect(readFileSync(file, "utf8")).toBe("before");
    disk.free();
    writeFileSync(join(disk.path, "more"), Buffer.alloc(65_536));
  } finally {
    disks.close();
    rmSync(folder, { recursive: true, force: true });
  }
});
