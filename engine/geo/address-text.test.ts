import fc from "fast-check";
import { expect, test } from "vitest";
import { parseAddress, parseStreet, SAN_FRANCISCO } from "./address-text.ts";

const parse = (text: string) => parseAddress(text, SAN_FRANCISCO);
const numberOn = (number: number, base: string, suffix: string) => ({
  kind: "number",
  number,
  street: { base, suffix },
});

test.each([
  ["Market Street", "MARKET", "ST"],
  ["10TH AVE", "10TH", "AVE"],
  ["03rd St", "3RD", "ST"],
  ["Third St.", "3RD", "ST"],
  ["3 Street", "3RD", "ST"],
  ["Twenty-fourth Street", "24TH", "ST"],
  ["Twentieth St", "20TH", "ST"],
  ["S. Van Ness Avenue", "SOUTH VAN NESS", "AVE"],
  ["North Point St", "NORTH POINT", "ST"],
  ["South St", "SOUTH", "ST"],
  ["25th Ave N", "25TH NORTH", "AVE"],
  ["Buena Vista Avenue East", "BUENA VISTA EAST", "AVE"],
  ["St. Joseph's Ave", "SAINT JOSEPHS", "AVE"],
  ["O\u2019Farrell St", "OFARRELL", "ST"],
  ["Peña St", "PENA", "ST"],
  ["The Embarcadero", "EMBARCADERO", ""],
  ["Lapu-Lapu St", "LAPU LAPU", "ST"],
  ["Lincoln Wy", "LINCOLN", "WAY"],
])("the street %s has one normal form", (text, base, suffix) => {
  expect(parseStreet(text)).toEqual({ base, suffix });
});

test.each([
  "123 Market St",
  "123 market street, SF",
  "123 Market St., San Francisco, CA 94103",
  "123 Market St San Francisco California 94103-1234 USA",
  "123 Market St #400",
  "123 Market St, Apt 5B, S.F.",
  "123 Market St Suite 200, San Francisco",
  "123 Market St, 2nd Floor",
  "123 Market St 2nd Fl, SF",
  "123A Market St",
  "123-125 Market St",
  "123 1/2 Market St",
  "123 Market St between 4th and 5th",
  "123 Market St & 4th St",
  "Salt & Pepper, 123 Market St, SF",
  "123 Market St, front door, SF",
])("%s is number 123 of Market St", (text) => {
  expect(parse(text)).toEqual(numberOn(123, "MARKET", "ST"));
});

test("a street that is called like the state or a direction keeps its name", () => {
  expect(parse("500 California")).toEqual(numberOn(500, "CALIFORNIA", ""));
  expect(parse("500 California St, CA")).toEqual(numberOn(500, "CALIFORNIA", "ST"));
  expect(parse("Kearny and California")).toMatchObject({ kind: "crossing" });
});

test.each([
  "Market St & 4th St",
  "Market St and 4th St",
  "corner of Market St at 4th St, SF",
  "Market St/4th St",
])("%s is a crossing", (text) => {
  const streets = [
    { base: "MARKET", suffix: "ST" },
    { base: "4TH", suffix: "ST" },
  ];
  expect(parse(text)).toEqual({ kind: "crossing", streets });
});

test("a street between two others is a block", () => {
  expect(parse("Mission St between 4th and 5th")).toEqual({
    kind: "block",
    street: { base: "MISSION", suffix: "ST" },
    ends: [
      { base: "4TH", suffix: "" },
      { base: "5TH", suffix: "" },
    ],
  });
});

test.each([
  "456 Valencia St, Oakland",
  "456 Valencia St, 94612",
  "456 Valencia St, Portland, OR",
  "Valencia",
  "",
  ",,",
])("%o is not understood", (text) => {
  expect(parse(text)).toBeNull();
});

test("whatever is written, nothing throws", () => {
  const words = fc.constantFrom(
    "123",
    "Market",
    "St",
    "4th",
    "&",
    "and",
    "between",
    ",",
    "SF",
    "CA",
    "94103",
    "#",
    "Apt",
    "1/2",
  );
  const sentence = fc.array(words, { maxLength: 20 }).map((list) => list.join(" "));
  fc.assert(
    fc.property(fc.oneof(fc.string({ unit: "binary", maxLength: 250 }), sentence), (text) => {
      parse(text);
      parseStreet(text);
    }),
    { numRuns: 2_000 },
  );
});
