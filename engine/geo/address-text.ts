/**
 * What people write as an address, taken apart: house number, street, crossing street, place. It
 * knows spellings, not the city: which streets exist is asked elsewhere. Spellings are those of the
 * United States (USPS Publication 28, appendix C, and what San Francisco's own lists use). It
 * accepts any text and never throws; what it does not understand it answers with null, because a
 * wrong address costs a ride.
 */
import { ADDRESS_MAX_CHARS } from "../../proto/limits.ts";

/** A street in normal form. `base` is the name without its suffix: "4TH", "BUENA VISTA EAST". */
export type StreetName = { readonly base: string; readonly suffix: string };

export type ParsedAddress =
  | { readonly kind: "number"; readonly number: number; readonly street: StreetName }
  | { readonly kind: "crossing"; readonly streets: readonly [StreetName, StreetName] }
  | {
      readonly kind: "block";
      readonly street: StreetName;
      readonly ends: readonly [StreetName, StreetName];
    };

/** How people name the city behind the street, in normal form, and how its postal codes begin. */
export type Place = {
  readonly names: readonly string[];
  readonly zipPrefixes: readonly string[];
};

export const SAN_FRANCISCO: Place = { names: ["SAN FRANCISCO", "SF", "S F"], zipPrefixes: ["941"] };

const table = (text: string): ReadonlyMap<string, string> =>
  new Map(
    text
      .trim()
      .split(/\s*\n\s*/)
      .flatMap((line) => {
        const [first = "", ...others] = line.split(" ");
        return [first, ...others].map((spelling): [string, string] => [spelling, first]);
      }),
  );

/** First the form we keep, then the others. */
const SUFFIXES = table(`
  ST STREET STR STRT
  AVE AVENUE AV AVEN AVN
  BLVD BOULEVARD BL BOUL BLV
  WAY WY
  DR DRIVE DRV
  CT COURT CRT
  PL PLACE
  TER TERRACE TERR TR
  LN LANE
  ALY ALLEY ALLY AL
  RD ROAD
  CIR CIRCLE CIRC
  PLZ PLAZA PZ PLZA
  SQ SQUARE SQR
  PARK PK
  PKWY PARKWAY PKY
  HWY HIGHWAY HY
  EXPY EXPRESSWAY
  FWY FREEWAY
  CTR CENTER CENTRE
  STWY STAIRWAY STW
  TUNL TUNNEL
  RAMP
  ROW
  WALK
  PATH
  LOOP
  MALL
`);

const DIRECTIONS = table(`
  NORTH N
  SOUTH S
  EAST E
  WEST W
`);

const OPENINGS = table(`
  SAINT ST
  MOUNT MT
  FORT FT
`);

const ORDINAL_WORDS: ReadonlyMap<string, string> = new Map(
  [
    "FIRST SECOND THIRD FOURTH FIFTH SIXTH SEVENTH EIGHTH NINTH TENTH ELEVENTH TWELFTH",
    "THIRTEENTH FOURTEENTH FIFTEENTH SIXTEENTH SEVENTEENTH EIGHTEENTH NINETEENTH TWENTIETH",
  ]
    .join(" ")
    .split(" ")
    .map((word, i) => [word, ordinalOf(i + 1)]),
);
const TENS: ReadonlyMap<string, number> = new Map([
  ["TWENTY", 20],
  ["THIRTY", 30],
  ["FORTY", 40],
]);
const TENTHS: ReadonlyMap<string, number> = new Map([
  ["THIRTIETH", 30],
  ["FORTIETH", 40],
]);

function ordinalOf(n: number): string {
  const tail = n % 100 > 10 && n % 100 < 14 ? 0 : n % 10;
  return `${n}${tail === 1 ? "ST" : tail === 2 ? "ND" : tail === 3 ? "RD" : "TH"}`;
}

/**
 * Upper case, no accents, no punctuation but what separates (`,` and `&`) or belongs to a number
 * (`-`).
 */
const plain = (text: string): string =>
  text
    .normalize("NFKD")
    .replace(/[\u0300-\u036f'\u2019`]/g, "")
    .toUpperCase()
    .replace(/[;\n\r|]/g, ",")
    .replace(/[/+@]/g, " & ")
    .replace(/[^A-Z0-9,&#-]/g, " ")
    .replace(/[ ]+/g, " ")
    .trim();

/**
 * The street's normal form, whether it comes from a list or from a person. Null when nothing is
 * left.
 */
export function parseStreet(text: string): StreetName | null {
  const words = plain(text)
    .replace(/[,&#-]/g, " ")
    .split(" ")
    .filter((word) => word !== "");
  if (words[0] === "THE") words.shift();
  if (words.length === 0 || words.length > 8) return null;
  const last = words.length - 1;
  const trailing = last > 0 ? DIRECTIONS.get(words[last] ?? "") : undefined;
  if (trailing !== undefined) words[last] = trailing;
  const at = trailing !== undefined && last > 1 ? last - 1 : last;
  const suffix = at > 0 ? (SUFFIXES.get(words[at] ?? "") ?? "") : "";
  if (suffix !== "") words.splice(at, 1);
  if (suffix !== "" && words.length === 1 && /^\d{1,2}$/.test(words[0] ?? "")) {
    words[0] = ordinalOf(Number(words[0]));
  }
  return { base: joinName(words), suffix };
}

/** Directions, saints, mounts and ordinals in one spelling each. */
function joinName(words: string[]): string {
  const [first = "", second] = words;
  if (second !== undefined) {
    words[0] = DIRECTIONS.get(first) ?? OPENINGS.get(first) ?? first;
    const tens = TENS.get(first);
    const ones = Number.parseInt(ORDINAL_WORDS.get(second) ?? "", 10);
    if (tens !== undefined && ones < 10) words.splice(0, 2, ordinalOf(tens + ones));
  }
  return words.map(ordinalWord).join(" ");
}

function ordinalWord(word: string): string {
  const spoken = ORDINAL_WORDS.get(word);
  if (spoken !== undefined) return spoken;
  const tenth = TENTHS.get(word);
  if (tenth !== undefined) return ordinalOf(tenth);
  const written = /^0*(\d{1,3})(?:ST|ND|RD|TH)$/.exec(word);
  return written === null ? word : ordinalOf(Number(written[1]));
}

const UNIT_WORD = String.raw`(?:APT|APARTMENT|UNIT|STE|SUITE|RM|ROOM|BLDG|FL|FLOOR|PH|LVL)\b`;
const FLOOR_WORDS = String.raw`\d{1,3}(?:ST|ND|RD|TH) (?:FL|FLOOR)\b`;
const UNIT = new RegExp(String.raw`^(\S+ \S.*?) ?(?:#|\b${UNIT_WORD}).*$`);
const FLOOR = new RegExp(` ${FLOOR_WORDS}.*$`);
const UNIT_ONLY = new RegExp(`^(?:#|${UNIT_WORD}|${FLOOR_WORDS})`);
const BETWEEN = / (?:BETWEEN|BTWN|BTW|BET) /;
const CORNER_OF = /^(?:THE )?(?:CORNER|INTERSECTION) OF /;
const CROSSING = / ?& ?| (?:AND|AT) /;
const NUMBER = /^(\d{1,6})(?:-?[A-Z])?(?: ?- ?\d{1,6}[A-Z]?)?(?: 1-2)? (.+)$/;
const COUNTRY = ["USA", "US", "U S A", "UNITED STATES"];
const STATE = ["CA", "CALIF", "CALIFORNIA"];

/** Takes apart what a person wrote, or null. `place` is the city whose name may follow. */
export function parseAddress(text: string, place: Place): ParsedAddress | null {
  if (text.length > ADDRESS_MAX_CHARS) return null;
  // Halves are written 1/2; as a fraction sign they would look like a crossing.
  const segments = plain(text.replace(/\b1\/2\b|½/g, " 1-2 "))
    .split(",")
    .map((segment) => segment.trim())
    .filter((segment) => segment !== "");
  const parsed: ParsedAddress[] = [];
  let inPlace = false;
  let unknown = false;
  for (const segment of segments) {
    const { rest, seen } = dropPlace(segment, place);
    if (seen === "elsewhere") return null;
    inPlace ||= seen === "here";
    if (rest === "" || UNIT_ONLY.test(rest)) continue;
    const address = parseSegment(rest);
    if (address !== null) parsed.push(address);
    else unknown ||= parsed.length > 0;
  }
  // "456 Valencia St, Oakland" is not ours: what follows must be known, or the city named.
  if (unknown && !inPlace) return null;
  // "Salt & Straw, 586 Hayes St" is no crossing: a house number says most.
  return parsed.find(({ kind }) => kind === "number") ?? parsed[0] ?? null;
}

type Seen = "here" | "elsewhere" | "nothing";

/** Cuts country, postal code, state and city off the end, as far as they are there. */
function dropPlace(segment: string, place: Place): { rest: string; seen: Seen } {
  let seen: Seen = "nothing";
  let rest = cutEnd(segment, COUNTRY);
  const zip = /^(.*?) ?\b(\d{5})(?:-\d{4})?$/.exec(rest);
  if (zip !== null) {
    const ours = place.zipPrefixes.some((prefix) => zip[2]?.startsWith(prefix));
    if (!ours) return { rest, seen: "elsewhere" };
    rest = zip[1] ?? "";
    seen = "here";
  }
  rest = cutEnd(rest, STATE);
  const short = cutEnd(rest, place.names);
  return short === rest ? { rest, seen } : { rest: short, seen: "here" };
}

/** Not off "500 California" nor "Kearny and California": what is left must still be whole. */
function cutEnd(text: string, endings: readonly string[]): string {
  for (const ending of endings) {
    if (text === ending) return "";
    const rest = text.endsWith(` ${ending}`) ? text.slice(0, -ending.length - 1).trim() : "";
    if (rest !== "" && !/^\d+[A-Z]?$|(?:^| )(?:AND|AT|&|BETWEEN|OF)$/.test(rest)) return rest;
  }
  return text;
}

function parseSegment(segment: string): ParsedAddress | null {
  const noFloor = segment.replace(FLOOR, "");
  const text = (UNIT.exec(noFloor)?.[1] ?? noFloor).trim();
  const numbered = NUMBER.exec(text);
  if (numbered !== null) {
    const street = parseStreet(numbered[2]?.split(BETWEEN)[0]?.split(CROSSING)[0] ?? "");
    return street === null ? null : { kind: "number", number: Number(numbered[1]), street };
  }
  const [named = "", ends] = text.replace(CORNER_OF, "").split(BETWEEN);
  if (ends === undefined) return crossingOf(named);
  const street = parseStreet(named);
  const corners = crossingOf(ends);
  if (street === null || corners?.kind !== "crossing") return null;
  return { kind: "block", street, ends: corners.streets };
}

function crossingOf(text: string): ParsedAddress | null {
  const sides = text.split(CROSSING).filter((side) => side.trim() !== "");
  const a = parseStreet(sides[0] ?? "");
  const b = parseStreet(sides[1] ?? "");
  return sides.length !== 2 || a === null || b === null
    ? null
    : { kind: "crossing", streets: [a, b] };
}
