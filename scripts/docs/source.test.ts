// How comments become documentation.

import { expect, test } from "vitest";
import { constantsOf, openingComment, rowDocs } from "./source.ts";

const SOURCE = `/**
 * Every bound. It goes
 * over two lines.
 *
 * A second paragraph.
 */

/** The doors. */
export const BODY_MAX_BYTES = 65_536;
/** Values in one frame. */
export const FRAME_ITEMS_MAX = 1_024;
export const NAME_MAX_CHARS = 80;

/** What an operator may set. */
export const DEFAULTS = {
  /** How long a wave lasts. */
  WAVE_MS: 2_000,
  SWEEP_MS: 1_000,
} as const;
`;

test("the opening comment is prose in paragraphs", () => {
  expect(openingComment(SOURCE)).toBe(
    "Every bound. It goes over two lines.\n\nA second paragraph.",
  );
});

test("a comment after an empty line is a heading, any other belongs to its constant", () => {
  expect(constantsOf(SOURCE)).toEqual([
    {
      title: "The doors",
      rows: [
        { name: "BODY_MAX_BYTES", value: "65,536", doc: "" },
        { name: "FRAME_ITEMS_MAX", value: "1,024", doc: "Values in one frame." },
        { name: "NAME_MAX_CHARS", value: "80", doc: "" },
      ],
    },
  ]);
});

test("members of an object have the comment above them", () => {
  expect([...rowDocs(SOURCE)]).toEqual([["WAVE_MS", "How long a wave lasts."]]);
});
