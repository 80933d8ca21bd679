/**
 * Answers that were given and that nobody has taken yet: how many bytes they are in this process,
 * and which is the oldest. A reader who takes nothing, or a little, costs memory for as long as we
 * let it; both are bounded here, for all together.
 */
import type { Socket } from "node:net";
import { ANSWERS_UNTAKEN_MAX_BYTES, ANSWER_TAKEN_MAX_MS } from "../../proto/limits.ts";

type Untaken = { readonly bytes: number; readonly since: number };

export class UntakenAnswers {
  /** One at most for each connection, the oldest first. */
  readonly #bySocket = new Map<Socket, Untaken>();
  readonly #maxBytes: number;
  #bytes = 0;

  constructor(maxBytes: number = ANSWERS_UNTAKEN_MAX_BYTES) {
    this.#maxBytes = maxBytes;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /**
   * The answer on that socket was not taken at once. Cuts the oldest when there are too many bytes.
   */
  add(socket: Socket, bytes: number): void {
    this.remove(socket);
    this.#bySocket.set(socket, { bytes, since: performance.now() });
    this.#bytes += bytes;
    for (const [oldest] of this.#bySocket) {
      if (this.#bytes <= this.#maxBytes) return;
      this.#cut(oldest);
    }
  }

  remove(socket: Socket): void {
    const untaken = this.#bySocket.get(socket);
    if (untaken === undefined) return;
    this.#bySocket.delete(socket);
    this.#bytes -= untaken.bytes;
  }

  /** Cuts whoever had time enough. */
  look(): void {
    const before = performance.now() - ANSWER_TAKEN_MAX_MS;
    for (const [socket, { since }] of this.#bySocket) {
      if (since > before) return;
      this.#cut(socket);
    }
  }

  #cut(socket: Socket): void {
    this.remove(socket);
    socket.destroy();
  }
}
