/**
 * What people may write: one rule for all texts that are shown to others (addresses, names, notes,
 * reasons, a client's own ids), at every door. A text is refused, never mended: what is stored is
 * what was sent, byte for byte, without normalisation; two spellings of one letter are two texts.
 *
 * Refused are characters that a reader does not see or that change how others are seen: controls,
 * halves of surrogate pairs, format characters (Unicode category Cf, the bidirectional ones above
 * all), separators of lines and paragraphs, private use, non-characters and what Unicode has not
 * assigned, letters that are blank, variation selectors that select nothing, and towers of
 * combining marks. Allowed, because honest texts have them:
 * - zero width joiners inside emoji, and with the non-joiner between letters of scripts that join
 *   (UAX 31, 2.3);
 * - the tags of a flag such as Scotland's (UTS 51, ED-14a);
 * - marks of direction (U+200E, U+200F, U+061C) in a text that has letters written from right to
 *   left: they turn nothing around, and people's keyboards put them beside numbers;
 * - unassigned code points where new emoji are added: Node's tables are older than phones.
 */

/** Combining marks in a row; no living script stacks more. */
export const COMBINING_MARKS_MAX = 6;
/** Marks of direction in one text. */
const DIRECTION_MARKS_MAX = 16;

const NEW_EMOJI = "\\u{1F000}-\\u{1FAFF}";
const NEVER = new RegExp(
  [
    "[\\p{Cs}\\p{Co}\\p{Zl}\\p{Zp}\\p{Noncharacter_Code_Point}]",
    `(?![${NEW_EMOJI}])\\p{Cn}`,
    // Blank letters, and the mark that is only there to keep others apart.
    "[\\u034F\\u115F\\u1160\\u17B4\\u17B5\\u2800\\u3164\\uFFA0]",
    // A selector after nothing that it could select, or after another.
    "(?<![^\\s\\p{C}\\p{Variation_Selector}])\\p{Variation_Selector}",
    `\\p{M}{${COMBINING_MARKS_MAX + 1},}`,
  ].join("|"),
  "u",
);
const CONTROL = /\p{Cc}/u;
const CONTROL_BUT_SPACE = /(?![\t\n\r])\p{Cc}/u;
const FORMAT = /\p{Cf}/u;
const VISIBLE = /[\p{L}\p{N}\p{P}\p{S}]/u;
const RIGHT_TO_LEFT =
  /[\p{Script=Hebrew}\p{Script=Arabic}\p{Script=Syriac}\p{Script=Thaana}\p{Script=Nko}]/u;
const DIRECTION_MARKS = /[\u061C\u200E\u200F]/gu;

const JOINING = ["Arabic", "Syriac", "Mongolian", "Nko", "Devanagari", "Bengali", "Gurmukhi"]
  .concat(["Gujarati", "Oriya", "Tamil", "Telugu", "Kannada", "Malayalam", "Sinhala", "Khmer"])
  .concat(["Myanmar", "Tibetan"])
  .map((script) => `\\p{Script=${script}}`)
  .join("");
/**
 * Format characters where they belong: joiners between letters, or parts of an emoji, and the tags
 * of a flag.
 */
const IN_PLACE = new RegExp(
  [
    `(?<=[${JOINING}]\\p{M}*)[\\u200C\\u200D](?=[${JOINING}])`,
    // After a virama also at the end of a word (RFC 5892, CONTEXTJ).
    "(?<=[\\u094D\\u09CD\\u0A4D\\u0ACD\\u0B4D\\u0BCD\\u0C4D\\u0CCD\\u0D4D\\u0DCA])[\\u200C\\u200D]",
    `(?<=[\\p{Extended_Pictographic}\\p{Emoji_Modifier}\\uFE0F])\\u200D(?=\\p{Extended_Pictographic})`,
    "(?<=\\u{1F3F4})[\\u{E0030}-\\u{E0039}\\u{E0061}-\\u{E007A}]{3,6}\\u{E007F}",
  ].join("|"),
  "gu",
);

const isClean = (text: string): boolean => {
  if (NEVER.test(text)) return false;
  if (!FORMAT.test(text)) return true;
  const rest = text.replaceAll(IN_PLACE, "");
  const marks = rest.match(DIRECTION_MARKS)?.length ?? 0;
  if (marks > DIRECTION_MARKS_MAX || (marks > 0 && !RIGHT_TO_LEFT.test(rest))) return false;
  return !FORMAT.test(rest.replaceAll(DIRECTION_MARKS, ""));
};

/** Whether a text may stand in one line that others read. An empty one may. */
export const isLine = (text: string): boolean => !CONTROL.test(text) && isClean(text);

/** The same for several lines: tabs and line ends are allowed. */
export const isProse = (text: string): boolean => !CONTROL_BUT_SPACE.test(text) && isClean(text);

/** Whether anything of it is seen. */
export const isVisible = (text: string): boolean => VISIBLE.test(text);
