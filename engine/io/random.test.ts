/** Random bytes are as many as asked for, and never given out twice. */
import { describe, expect, it } from "vitest";
import { systemRandom } from "./random.ts";

describe("the system's randomness", () => {
  it("gives the bytes asked for, never the same again, across refills of the pool", () => {
    const seen = new Set<string>();
    for (let i = 0; i < 2_000; i++) {
      const bytes = systemRandom(16);
      expect(bytes).toHaveLength(16);
      seen.add(Buffer.from(bytes).toString("hex"));
    }
    expect(seen.size).toBe(2_000);
  });

  it("serves more than the pool holds", () => {
    expect(new Set(systemRandom(10_000)).size).toBe(256);
  });

  it("does not let a caller change what the next one gets", () => {
    const first = systemRandom(8);
    first.fill(7);
    expect(Buffer.from(systemRandom(8)).equals(Buffer.from(first))).toBe(false);
  });
});
