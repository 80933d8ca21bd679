import { expect, test } from "vitest";
import { OUTAGE_LOG_EVERY_MS } from "../../proto/limits.ts";
import { OutageLog } from "./outage-log.ts";
import { SERVER_CASES, failureOf } from "./postgres/verdict-cases.ts";

function drive() {
  const lines: string[] = [];
  const clock = { at: 0, now: () => clock.at };
  const line = (level: string) => (fields: Record<string, string | number>, text: string) =>
    void lines.push(`${level} ${text} ${fields["code"]} ${fields["leftOut"] ?? 0}`);
  const log = { warn: line("warn"), error: line("error") } as never;
  return { lines, clock, outages: new OutageLog(log, clock) };
}
const failure = (code: string) => failureOf(SERVER_CASES.find((row) => row.code === code)!);

test("an outage is said once, and later once more with what was left out", () => {
  const { lines, clock, outages } = drive();
  for (let i = 0; i < 1_000; i++) outages.tell(failure("28P01"), {}, "a request was refused");
  outages.tell(failure("53100"), {}, "a request was refused");
  expect(lines).toEqual([
    "warn a request was refused 28P01 0",
    "warn a request was refused 53100 0",
  ]);
  clock.at += OUTAGE_LOG_EVERY_MS;
  outages.tell(failure("28P01"), {}, "a request was refused");
  expect(lines[2]).toBe("warn a request was refused 28P01 999");
});

test("data that the database refuses is an error, not an outage", () => {
  const { lines, outages } = drive();
  outages.tell(failure("23514"), {}, "a request was refused");
  expect(lines).toEqual(["error a request was refused 23514 0"]);
});

test("kinds without end do not fill the memory", () => {
  const { lines, outages } = drive();
  for (let i = 0; i < 1_000; i++) outages.tell(new Error(`number ${i}`), {}, "it failed");
  expect(lines).toHaveLength(1_000);
  outages.tell(new Error("number 0"), {}, "it failed");
  expect(lines, "forgotten, hence said anew").toHaveLength(1_001);
  outages.tell(new Error("number 999"), {}, "it failed");
  expect(lines).toHaveLength(1_001);
});
