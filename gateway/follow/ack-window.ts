/**
 * How much is under way to one reader: frames of positions that it has not said to have seen. The
 * kernel takes thousands of messages before the socket library notices that nobody reads, so what
 * was written says nothing about what was read; only the reader's own `seen` does. A reader who
 * stands still is sent nothing more after a few frames, and the newest as soon as it is back. Both
 * sides count from the first frame of the connection.
 *
 * W1 Never more than UNSEEN_MAX_FRAMES are unseen.
 * W2 A `seen` that is owed (protocol: with every eighth frame, and with one that comes late enough
 *    after the last `seen`) and does not come closes the window sooner, so that rare positions do
 *    not pile up either.
 * W3 A reader that owes nothing is never waited for: with rare frames and a slow clock one goes out
 *    all the same, after UNSEEN_PROBE_MS, until W1.
 */
import type { Millis } from "../../proto/ids.ts";
import {
  SEEN_EVERY_FRAMES,
  SEEN_EVERY_MS,
  UNSEEN_MAX_FRAMES,
  UNSEEN_MAX_MS,
  UNSEEN_PROBE_MS,
} from "../../proto/limits.ts";

export class AckWindow {
  #sent = 0;
  #seen = 0;
  #sentAt: Millis = 0;
  #seenAt: Millis = 0;
  /** Since when a `seen` is owed; 0: none is. */
  #owedAt: Millis = 0;

  /** Whether one more may go out. */
  isOpen(now: Millis): boolean {
    const unseen = this.#sent - this.#seen;
    if (unseen === 0) return true;
    if (unseen >= UNSEEN_MAX_FRAMES) return false; // W1
    if (this.#owedAt === 0 || now - this.#owedAt < UNSEEN_MAX_MS) return true; // W2
    return now - this.#sentAt >= UNSEEN_PROBE_MS; // W3
  }

  sent(now: Millis): void {
    this.#sent++;
    this.#sentAt = now;
    if (this.#owedAt !== 0) return;
    const isOwed =
      this.#sent - this.#seen >= SEEN_EVERY_FRAMES || now - this.#seenAt >= SEEN_EVERY_MS;
    if (isOwed) this.#owedAt = now;
  }

  /**
   * The reader says how many it has seen. What is older than known, or was never sent, changes
   * nothing.
   */
  seen(frames: number, now: Millis): void {
    if (frames <= this.#seen || frames > this.#sent) return;
    this.#seen = frames;
    this.#seenAt = now;
    this.#owedAt = 0;
  }
}
