/**
 * What a courier may know of an address before the delivery is the courier's: the street, not the
 * door. Text only; it knows no city. In doubt it says less: a name that ends in a number may lose
 * it.
 */

/** "Apt 4", "#12", "Suite 200", "Floor 3": part of a building, tells nothing about where it is. */
const UNIT = /^(?:#|(?:apt|apartment|unit|suite|ste|floor|fl|room|rm)\b\.?)\s*[\w-]*$/i;
/** The same at the end of a part: "Market St Apt 4". */
const UNIT_AT_END =
  /\s+(?:#\s*|(?:apt|apartment|unit|suite|ste|floor|fl|room|rm)\b\.?\s*#?)[\w-]+$/i;
/** "123", "123-125", "123B", "12bis", "12 1/2", not "19th". */
const NUMBER = String.raw`\d+(?:\s*[-–/]\s*\d+)?(?:[a-z]|bis|ter)?(?:\s+\d\/\d)?`;
const NUMBER_FIRST = new RegExp(`^${NUMBER}\\s+(?=\\S)`, "i");
const NUMBER_LAST = new RegExp(`\\s+${NUMBER}$`, "i");

/**
 * The street of an address: "123 Market St, SF" gives "Market St". Null when there is no address,
 * or when nothing but numbers is left of it.
 */
export function shortenAddress(address: string | null): string | null {
  const parts = (address ?? "").split(",").map((part) => part.trim());
  const street = parts.find((part) => part !== "" && !UNIT.test(part) && /\p{L}/u.test(part));
  if (street === undefined) return null;
  const name = street.replace(UNIT_AT_END, "");
  const short = NUMBER_FIRST.test(name)
    ? name.replace(NUMBER_FIRST, "")
    : name.replace(NUMBER_LAST, "");
  return /\p{L}/u.test(short) ? short.trim() : null;
}
