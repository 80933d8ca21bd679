/** What a reader may say of what it has seen, and what it is believed. */
import { describe, expect, it } from "vitest";
import { SEEN_EVERY_FRAMES, UNSEEN_MAX_FRAMES, UNSEEN_MAX_MS } from "../../proto/limits.ts";
import { AckWindow } from "./ack-window.ts";

const T0 = 1_800_000_000_000;

/** A window with so many frames out at one moment. */
function sentOut(frames: number): AckWindow {
  const window = new AckWindow();
  for (let i = 0; i < frames; i++) window.sent(T0);
  return window;
}

describe("a reader", () => {
  it("is sent no more than it may leave unseen, and more once it has seen some", () => {
    const window = sentOut(UNSEEN_MAX_FRAMES);
    expect(window.isOpen(T0)).toBe(false);
    window.seen(1, T0);
    expect(window.isOpen(T0)).toBe(true);
  });

  it("cannot have seen what was never sent: an advance buys it nothing", () => {
    const window = sentOut(UNSEEN_MAX_FRAMES - 1);
    window.seen(1_000_000, T0);
    window.sent(T0);
    expect(window.isOpen(T0)).toBe(false);
    // Nor does it lose by it: what it says of what was sent counts as before.
    window.seen(UNSEEN_MAX_FRAMES, T0);
    for (let i = 0; i < UNSEEN_MAX_FRAMES - 1; i++) window.sent(T0);
    expect(window.isOpen(T0)).toBe(true);
    window.sent(T0);
    expect(window.isOpen(T0)).toBe(false);
  });

  it("takes nothing back: an older word after a newer one changes nothing", () => {
    const window = sentOut(UNSEEN_MAX_FRAMES);
    window.seen(UNSEEN_MAX_FRAMES, T0);
    window.seen(1, T0);
    for (let i = 0; i < UNSEEN_MAX_FRAMES - 1; i++) window.sent(T0);
    expect(window.isOpen(T0)).toBe(true);
  });

  it("who owes a word is waited for three seconds, from the frame with which it was owed", () => {
    const window = sentOut(SEEN_EVERY_FRAMES);
    window.sent(T0 + 1_000);
    expect(window.isOpen(T0 + UNSEEN_MAX_MS - 1)).toBe(true);
    expect(window.isOpen(T0 + UNSEEN_MAX_MS)).toBe(false);
    window.seen(SEEN_EVERY_FRAMES, T0 + UNSEEN_MAX_MS);
    expect(window.isOpen(T0 + UNSEEN_MAX_MS)).toBe(true);
  });
});
