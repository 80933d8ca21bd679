/** What the simulator throws is never a proof against a command, but where it is meant to be. */
import { describe, expect, it } from "vitest";
import { judge } from "../engine/io/postgres/verdict.ts";
import { SeededRandom } from "./random.ts";
import { REFUSALS, codeOf, drawError, groupsOf } from "./server-errors.ts";
import type { Phase } from "./server-errors.ts";

const DRAWS = 200;

function drawn(phase: Phase): readonly Error[] {
  const random = new SeededRandom(1);
  return groupsOf(phase).flatMap((group) =>
    Array.from({ length: DRAWS }, () => drawError(group, random)),
  );
}

describe("errors that a seed draws", () => {
  it.each<[Phase, boolean]>([
    ["connect", false],
    ["statement", true],
    ["commit", true],
  ])("at %s never say that a command is refused", (phase, wasSent) => {
    const refused = drawn(phase).filter((error) => judge(error, wasSent).about === "command");
    expect(refused.map(codeOf)).toEqual([]);
  });

  it("hold codes on no list, and errors without one", () => {
    const codes = drawn("statement").map(codeOf);
    expect(new Set(codes).size).toBeGreaterThan(DRAWS);
    expect(codes).toContain(null);
  });

  it("hold refusals that are proven, which say nothing before the statement was sent", () => {
    const random = new SeededRandom(1);
    for (let i = 0; i < DRAWS; i++) {
      const error = drawError(REFUSALS, random);
      expect(judge(error, true).about).toBe("command");
      expect(judge(error, false).about).toBe("connection");
    }
  });
});
