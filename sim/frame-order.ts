/**
 * The order of the numbered frames that reach one run of a courier's app (D8): a frame of an owner
 * whose time is over, or one that came before, is not for the courier's eyes.
 */
import { serverFrames, serverTable } from "../proto/frames.ts";

const NUMBERED: ReadonlySet<number | undefined> = new Set([
  serverTable.offer.code,
  serverTable.withdrawn.code,
  serverTable.assignment_over.code,
]);

export class FrameOrder {
  /** Of the newest frame: (epoch, number). */
  #newest: readonly [number, number] = [0, -1];
  /** Whether the frame heard last is older than one before it. */
  isOld = false;

  /** Told of each frame just before the client gets it. */
  hears(bytes: Uint8Array): void {
    this.isOld = false;
    if (!NUMBERED.has(bytes[1])) return;
    const frame = serverFrames.decode(bytes);
    if (frame === null || !("epoch" in frame)) return;
    const [epoch, number] = this.#newest;
    this.isOld = frame.epoch < epoch || (frame.epoch === epoch && frame.number <= number);
    if (!this.isOld) this.#newest = [frame.epoch, frame.number];
  }
}
