/**
 * No phone, address, name of a person or secret comes through the log, whatever is handed to it.
 */
import { describe, expect, it } from "vitest";
import { createLog, errorFields } from "./log.ts";

const JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJjdXNfMSJ9.c2lnbmF0dXJl";
const SECRETS =
  /555|Market|Valencia|Anderson|Ring twice|eyJhbGci|s3cret|hunter2|AAAAAAAAAAAAAAAAAAAAAA/;

function logged(write: (log: ReturnType<typeof createLog>) => void): string {
  const lines: string[] = [];
  write(createLog("trace", {}, { write: (line) => void lines.push(line) }));
  expect(lines.length).toBeGreaterThan(0);
  return lines.join("");
}

describe("the log", () => {
  const person = {
    phone: "+1-555-0100",
    recipientPhone: "+1-555-0199",
    pickupAddress: "123 Market St",
    dropoff_address: "456 Valencia St",
    courierName: "Alice Anderson",
    name: "Alice Anderson",
    notes: "Ring twice",
    token: JWT,
    authorization: `Bearer ${JWT}`,
    cookie: "s3cret",
    password: "hunter2",
  };

  it("cuts what stands under a known name, three levels deep", () => {
    for (const value of [person, { row: person }, { a: { row: person } }]) {
      expect(logged((log) => log.warn(value, "something happened"))).not.toMatch(SECRETS);
    }
  });

  it("cuts tokens, phones and links out of the texts of errors", () => {
    const texts = [
      `bad header Bearer ${JWT}`,
      `could not parse ${JWT}`,
      'value "+1 (555) 010-0100" is too long',
      "GET /t/AAAAAAAAAAAAAAAAAAAAAA failed",
      "postgres://hexdispatch:hunter2@127.0.0.1:5432/db refused",
    ];
    for (const text of texts) {
      const error = new Error(text);
      const fields = { ...errorFields(error), stack: error.stack };
      expect(logged((log) => log.error(fields, "failed"))).not.toMatch(SECRETS);
    }
  });

  it("leaves what helps: addresses of servers, ids, numbers", () => {
    const text =
      "connect ECONNREFUSED 127.0.0.1:5432 for del_000aaaaaaaaaaaaaaaaaaaa after 1500 ms";
    expect(errorFields(new Error(text))).toEqual({ error: text });
  });

  it("is one line whatever the text", () => {
    const text = 'a\n{"level":"fatal"}\r\nb';
    expect(
      logged((log) => log.error(errorFields(new Error(text))))
        .trim()
        .split("\n"),
    ).toHaveLength(1);
  });
});
