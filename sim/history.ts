/**
 * What happened, line by line, and what has been violated. The digest of all lines is what makes
 * "the same seed gives the same run" testable; the lines themselves are kept only when somebody
 * wants to read them. A violation ends the run: it is noted and not thrown, because production code
 * catches what its callbacks throw.
 */
import { createHash } from "node:crypto";
import type { SimClock } from "./clock.ts";

export type Violation = {
  /** D1 to D8, L1 to L3 (liveness), or P for a fault that production code reported itself. */
  readonly invariant: string;
  readonly text: string;
  /** Deliveries, couriers and shards that it is about: the history is shortened to them. */
  readonly about: readonly string[];
};

/** Lines hashed at a time. */
const CHUNK_CHARS = 65_536;

export class History {
  readonly lines: string[] = [];
  violation: Violation | null = null;
  readonly #clock: SimClock;
  readonly #keeps: boolean;
  readonly #startAt: number;
  readonly #hash = createHash("sha256");
  #chunk = "";

  constructor(clock: SimClock, keepsLines: boolean) {
    this.#clock = clock;
    this.#keeps = keepsLines;
    this.#startAt = clock.now();
  }

  /** True time. */
  now(): number {
    return this.#clock.now();
  }

  line(who: string, what: string): void {
    const text = `${(this.#clock.now() - this.#startAt).toFixed(2)} ${who}: ${what}\n`;
    this.#chunk += text;
    if (this.#chunk.length > CHUNK_CHARS) this.#flush();
    if (this.#keeps) this.lines.push(text);
  }

  /** Notes the first violation; what follows from it is not worth reading. */
  violate(invariant: string, text: string, about: readonly string[]): void {
    if (this.violation !== null) return;
    this.violation = { invariant, text, about };
    this.line("VIOLATION", `${invariant} ${text}`);
  }

  demand(holds: boolean, invariant: string, text: string, about: readonly string[] = []): void {
    if (!holds) this.violate(invariant, text, about);
  }

  /** Of all lines so far. */
  digest(): string {
    this.#flush();
    return this.#hash.copy().digest("hex");
  }

  #flush(): void {
    this.#hash.update(this.#chunk);
    this.#chunk = "";
  }
}
