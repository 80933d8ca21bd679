/** Secrets at rest: what opens them, and what does not. */
import { expect, it } from "vitest";
import { createSecretBox } from "./secret-box.ts";

const [OLD, NEW] = ["an old key of thirty-two letters..", "a new key of thirty-two letters..."];

it("a sealed text shows nothing of itself and opens for its own context alone", () => {
  const box = createSecretBox([NEW]);
  const [one, two] = [box.seal("whsec_abc", "whk_1"), box.seal("whsec_abc", "whk_1")];
  expect(one).not.toBe(two);
  expect(one).not.toContain("abc");
  expect(box.open(one, "whk_1")).toBe("whsec_abc");
  expect(box.open(one, "whk_2")).toBeNull();
  for (const broken of [one.slice(0, -4), `${one.slice(0, -4)}AAAA`, "sealed1..", "sealed1.x.y"]) {
    expect(box.open(broken, "whk_1"), broken).toBeNull();
  }
  expect(box.open(box.seal("", "c"), "c")).toBe("");
});

it("while keys are exchanged both open, the new one seals, and the old one alone opens nothing new", () => {
  const [before, both, after] = [[OLD], [NEW, OLD], [NEW]].map((keys) =>
    createSecretBox(keys as [string, string?]),
  ) as [
    ReturnType<typeof createSecretBox>,
    ReturnType<typeof createSecretBox>,
    ReturnType<typeof createSecretBox>,
  ];
  const old = before.seal("s", "c");
  expect([both.open(old, "c"), after.open(old, "c")]).toEqual(["s", null]);
  expect([both.isCurrent(old), both.isCurrent(both.seal("s", "c"))]).toEqual([false, true]);
  expect(before.open(both.seal("s", "c"), "c")).toBeNull();
});

it("a text from before there was sealing opens as it is, and counts as one to seal", () => {
  const box = createSecretBox([NEW]);
  expect(box.open("whsec_plain", "c")).toBe("whsec_plain");
  expect(box.isCurrent("whsec_plain")).toBe(false);
});
