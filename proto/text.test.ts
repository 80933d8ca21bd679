/**
 * The one rule for texts: what people write passes, and what hides or turns other text does not.
 */
import { describe, expect, it } from "vitest";
import { COMBINING_MARKS_MAX, isLine, isProse, isVisible } from "./text.ts";

const HONEST: readonly string[] = [
  ...[
    "123 Market St, SF",
    "Straße 5, 2. Stock",
    "Łódź, ul. Żółta 7",
    "東京都千代田区1-1",
    "서울시",
  ],
  ...["Đường Nguyễn Huệ", "Đường Nguyễn Huệ".normalize("NFD"), "بغداد، شارع ٥", "תל אביב 12"],
  // Persian, Hindi, Sinhala and Malayalam with their joiners.
  ...["می‌خواهم", "क्‍ष", "ශ්‍රී ලංකා", "അവന്‍ ഇവിടെ"],
  ...["👩‍👩‍👧 ring twice", "❤️‍🔥", "👩🏽‍🚀", "🏴󠁧󠁢󠁳󠁣󠁴󠁿", "🇩🇪", "1️⃣", "葛󠄀城市"],
  ...["דירה 5\u200E-A", "شارع\u200F 12", "שָׁלוֹם", "ก็ได้ ผู้", "\u{1FAE9} new"],
  ...["a\u00A0b", "it’s “here” – 5 m²", "O'Brien & Söhne; № 7"],
];

const tagOf = (letter: string): string =>
  String.fromCodePoint(0xe0000 + (letter.codePointAt(0) ?? 0));

const HIDDEN: readonly (readonly [string, string])[] = [
  ...(
    [
      ...[0x202a, 0x202b, 0x202c, 0x202d, 0x202e, 0x2066, 0x2067, 0x2068, 0x2069],
      ...[0x200b, 0x2060, 0x2061, 0x2064, 0xfeff, 0xad, 0x180e, 0x206a, 0x206f, 0xfff9, 0xfffb],
      ...[0x2028, 0x2029, 0xe000, 0xf8ff, 0xf0000, 0x10fffd, 0xfffe, 0xffff, 0xfdd0, 0x1ffff],
      ...[0x378, 0xe0080, 0x115f, 0x1160, 0x3164, 0xffa0, 0x2800, 0x34f, 0x110bd, 0x1d173, 0xe0001],
      ...[0, 1, 7, 8, 0x0b, 0x0c, 0x1b, 0x7f, 0x80, 0x85, 0x9b, 0xd800, 0xdfff],
    ] as const
  ).map((code) => [`U+${code.toString(16)}`, `Main ${String.fromCodePoint(code)}St`] as const),
  ["an override in an address", "12 \u202Etoor\u202C St"],
  ["a joiner between Latin letters", "ad\u200Dmin"],
  ["a non-joiner between Latin letters", "ad\u200Cmin"],
  ["a joiner at the end", "क\u200D"],
  ["a joiner after a space", " \u200D👧"],
  ["two joiners", "👩\u200D\u200D👧"],
  ["tags without a flag", "a\u{E0067}\u{E0062}\u{E007F}"],
  ["a message in tags", `🏴${Array.from("ignore-all-that", tagOf).join("")}\u{E007F}`],
  ["a mark of direction in a Latin text", "Main\u200F St"],
  ["marks of direction without end", `שלום${"\u200F".repeat(17)}`],
  ["selectors that select nothing", "a\uFE0F\uFE0F"],
  ["a message in selectors", `a${"\u{E0105}\u{E0110}\u{E0121}"}`],
  ["a selector at the beginning", "\uFE0Fa"],
  ["a tower of marks", `a${"\u0301".repeat(COMBINING_MARKS_MAX + 1)}`],
];

describe("a text", () => {
  it.each(HONEST)("that people write passes: %s", (text) => {
    expect(isLine(text)).toBe(true);
    expect(isProse(`${text}\n${text}`)).toBe(true);
    expect(isVisible(text)).toBe(true);
  });

  it.each(HIDDEN)("with %s is refused", (_, text) => {
    expect(isLine(text)).toBe(false);
    expect(isProse(text)).toBe(false);
  });

  it("may have as many marks on a letter as living scripts have, and none too many", () => {
    expect(isLine(`a${"\u0301".repeat(COMBINING_MARKS_MAX)}`)).toBe(true);
  });

  it("of several lines has line ends and tabs, one of a single line has not", () => {
    for (const text of ["a\nb", "a\r\nb", "a\tb"]) {
      expect([isLine(text), isProse(text)]).toEqual([false, true]);
    }
  });

  it("that shows nothing is not there", () => {
    for (const text of ["", " ", "\u00A0", "\u3000 ", "\u0301"])
      expect(isVisible(text)).toBe(false);
  });

  it("is judged in a time that grows no faster than its length", () => {
    const long = ["a\u0301", "क्\u200D", "👩\u200D", "\uFE0F", "\u200F", "ש"].map((s) =>
      s.repeat(2_000),
    );
    const startedAt = performance.now();
    for (const text of long) isLine(text);
    // Two thousand times the shortest; a square of that would be minutes.
    expect(performance.now() - startedAt).toBeLessThan(5_000);
  });
});
