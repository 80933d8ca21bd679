/**
 * The AsyncAPI description against the specification's own schema, and against the tables it is
 * made from.
 */
import { createRequire } from "node:module";
import { Ajv } from "ajv";
import { expect, test } from "vitest";
import { clientTable, serverTable } from "../../proto/frames.ts";
import { EVENT_TYPES } from "../../proto/status.ts";
import { PARTNER_ACTIONS, subjectsFor } from "../../proto/subjects.ts";
import { describeAsync } from "./asyncapi.ts";

const require = createRequire(import.meta.url);
const document = describeAsync("hd", "https://example.com", "1.2.3") as any;

/** The published schema. */
function validator() {
  const schema = require("@asyncapi/specs/schemas/3.1.0.json") as object;
  // The schema brings its own copy of draft 07, so the validator must not bring one, too.
  const ajv = new Ajv({
    strict: false,
    validateFormats: false,
    meta: false,
    validateSchema: false,
  });
  return ajv.compile(schema);
}

test("it is valid by the published schema of AsyncAPI 3, which refuses what is not", () => {
  const validate = validator();
  const isValid = validate(document);
  expect(validate.errors ?? []).toEqual([]);
  expect(isValid).toBe(true);
  const { info: _, ...headless } = document;
  expect(validate(headless)).toBe(false);
  const broken = structuredClone(document);
  broken.operations.create.action = "answer";
  expect(validate(broken)).toBe(false);
});

test("every reference leads somewhere", () => {
  const walk = (value: unknown): void => {
    if (typeof value !== "object" || value === null) return;
    for (const [key, inner] of Object.entries(value)) {
      if (key !== "$ref") {
        walk(inner);
        continue;
      }
      const target = String(inner)
        .slice(2)
        .split("/")
        .reduce<any>((at, part) => at?.[part], document);
      expect(target, String(inner)).toBeDefined();
    }
  };
  walk(document);
});

test("every frame, action and event of the tables is in it, on its subject", () => {
  const frames = Object.keys(document.channels.socket.messages);
  expect(frames).toHaveLength(Object.keys(clientTable).length + Object.keys(serverTable).length);
  const subjects = subjectsFor("hd");
  for (const action of PARTNER_ACTIONS) {
    const { address } = document.channels[action];
    expect(address.replace("{partner}", "acme")).toBe(subjects.partnerRequest("acme", action));
    expect(document.operations[action].reply.messages).toHaveLength(2);
  }
  expect(Object.keys(document.channels.events.messages)).toEqual([...EVENT_TYPES]);
});
