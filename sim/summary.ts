/**
 * What many runs came to: sums of everything that was counted, and proof that the faults really
 * happened.
 */
import { FAULT_KINDS } from "./faults.ts";
import type { SeedResult } from "./run-seed.ts";

export class Summary {
  readonly #of: number;
  readonly #startedAt = performance.now();
  readonly #counts = new Map<string, number>();
  #done = 0;
  #failed = 0;
  #deliveries = 0;
  #simulatedMin = 0;
  #cpuMs = 0;

  constructor(of: number) {
    this.#of = of;
  }

  add({ counts, violation, deliveries, endedMin, cpuMs }: SeedResult): void {
    this.#done += 1;
    this.#deliveries += deliveries;
    this.#simulatedMin += endedMin;
    this.#cpuMs += cpuMs;
    if (violation !== null) this.#failed += 1;
    for (const [name, count] of Object.entries(counts)) {
      this.#counts.set(name, (this.#counts.get(name) ?? 0) + count);
    }
  }

  progress(): string {
    const s = (performance.now() - this.#startedAt) / 1_000;
    const leftS = (s / Math.max(1, this.#done)) * (this.#of - this.#done);
    const times = `${s.toFixed(0)} s, ${leftS.toFixed(0)} s to go`;
    return `${this.#done} of ${this.#of} seeds, ${this.#failed} failed, ${times}   `;
  }

  lines(): readonly string[] {
    const s = (performance.now() - this.#startedAt) / 1_000;
    const cpuS = this.#cpuMs / 1_000 / Math.max(1, this.#done);
    const kinds: readonly string[] = FAULT_KINDS;
    const list = (isWanted: (name: string) => boolean): string =>
      [...this.#counts]
        .filter(([name]) => isWanted(name))
        .map(([name, count]) => `${name} ${count}`)
        .join(", ");
    return [
      `${this.#done} seeds, ${this.#failed} failed, ${this.#deliveries} deliveries`,
      `${this.#simulatedMin.toFixed(0)} simulated minutes in ${s.toFixed(0)} s, ${cpuS.toFixed(2)} s of processor a seed`,
      `faults: ${list((name) => kinds.includes(name))}`,
      `and: ${list((name) => !kinds.includes(name))}`,
    ];
  }
}
