/** Subjects are built in one place, and no id can widen one. */
import { describe, expect, it } from "vitest";
import { SUBJECTS, streamName, subjectsFor } from "./subjects.ts";

describe("subjects", () => {
  const subjects = subjectsFor("hd");

  it("follow the patterns of the table", () => {
    expect(subjects.shard(12)).toBe("hd.shard.12");
    expect(subjects.events("cus_1", "del_1")).toBe("hd.events.cus_1.del_1");
    expect(subjects.eventsOfDelivery("del_1")).toBe("hd.events.*.del_1");
    expect(streamName("hd", "CELLS")).toBe("HD_CELLS");
    for (const row of Object.values(SUBJECTS)) expect(row.pattern).toMatch(/^\{prefix\}\./);
  });

  it.each(["", "a.b", "a b", "*", ">", "a\n"])("refuse %j as a token", (token) => {
    expect(() => subjects.ledger(token)).toThrow("cannot be part of a subject");
    expect(() => subjectsFor(token)).toThrow("cannot be part of a subject");
  });

  it.each([-1, 1.5, Number.NaN])("refuse %d as a shard", (shard) => {
    expect(() => subjects.shard(shard)).toThrow("cannot be part of a subject");
  });
});
