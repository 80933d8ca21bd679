import { expect, test } from "vitest";
import { shortenAddress } from "./address.ts";

test.each([
  ["123 Market St, SF", "Market St"],
  ["456 Valencia St, San Francisco, CA 94103", "Valencia St"],
  ["456 Valencia St", "Valencia St"],
  ["100 19th St", "19th St"],
  ["123-125 Oak St", "Oak St"],
  ["12 1/2 Alley Way", "Alley Way"],
  ["221B Baker Street", "Baker Street"],
  ["123 Market St Apt 4, SF", "Market St"],
  ["123 Market St #4", "Market St"],
  ["Apt 4, 123 Market St, SF", "Market St"],
  ["123, Market St", "Market St"],
  ["Marktstraße 12, Berlin", "Marktstraße"],
  ["Rue de Rivoli 12bis", "Rue de Rivoli"],
  ["Market St & 5th St", "Market St & 5th St"],
  ["1 Ferry Building", "Ferry Building"],
  ["  77   Geary St ", "Geary St"],
])("%j is shown as %j", (address, shown) => {
  expect(shortenAddress(address)).toBe(shown);
});

test.each([null, "", " , ", "123", "#4", "Apt 4"])("%j shows nothing", (address) => {
  expect(shortenAddress(address)).toBeNull();
});
