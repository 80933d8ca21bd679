/** A quote of one partner in the hands of another, and after its time. */
import { expect, it } from "vitest";
import type { DispatchError } from "../../proto/errors.ts";
import { createQuotes } from "./quote.ts";

const NOW = Date.parse("2026-05-03T14:00:00Z");
const QUARTER_HOUR_MS = 15 * 60 * 1_000;
const quotes = createQuotes("a signing key for tests, 32 characters and more");
const acme = { owner: "acme", what: "a stop and another" };
const verdict = (quote: string, claims = acme, now = NOW): string => {
  try {
    quotes.check(quote, claims, now);
    return "good";
  } catch (error) {
    return (error as DispatchError).code;
  }
};

it("a quote is good for a quarter of an hour, and says so", () => {
  const { quote, expiresAt } = quotes.issue(acme, NOW);
  expect(expiresAt - NOW).toBe(QUARTER_HOUR_MS);
  expect(verdict(quote, acme, NOW + QUARTER_HOUR_MS - 1)).toBe("good");
  expect(verdict(quote, acme, NOW + QUARTER_HOUR_MS)).toBe("quote_expired");
});

it("a quote is good for its partner and its stops alone, and under its own key", () => {
  const { quote } = quotes.issue(acme, NOW);
  expect(verdict(quote)).toBe("good");
  expect(verdict(quote, { ...acme, owner: "beta" })).toBe("quote_expired");
  expect(verdict(quote, { ...acme, what: "elsewhere" })).toBe("quote_expired");
  // What one field ends with must not count as the beginning of the next.
  expect(verdict(quote, { owner: "acme\na", what: " stop and another" })).toBe("quote_expired");
  const foreign = createQuotes("another signing key, also of 32 characters").issue(acme, NOW);
  expect(verdict(foreign.quote)).toBe("quote_expired");
  for (const bad of ["", "q1", "q1.x.y", quote.replace("q1", "q2"), `${quote}x`]) {
    expect(verdict(bad), bad).toBe("quote_expired");
  }
});
