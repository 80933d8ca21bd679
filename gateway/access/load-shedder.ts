/**
 * The admission at the doors of a gateway: measures the pressure, asks `admission.ts`, refuses with
 * `overloaded` and a Retry-After, and counts what it refused. Pings are not its business: they are
 * bounded for each session, and a ping that is not acknowledged is sent again.
 */
import type { CancelTimer, Clock } from "../../engine/io/clock.ts";
import { DispatchError } from "../../proto/errors.ts";
import { OPEN, admits, step } from "./admission.ts";
import type { Admission, AdmissionLimits, RequestKind } from "./admission.ts";
import type { GatewayMetrics } from "../base/metrics.ts";

export type LoadShedderPorts = {
  readonly clock: Clock;
  readonly limits: AdmissionLimits;
  /** Questions to the store that wait for their answer. */
  readonly statements: () => number;
  readonly metrics: Pick<GatewayMetrics, "shed" | "admission">;
};

const SAMPLE_MS = 100;
/**
 * The part of a new sample in the smoothed lag: one pause of a second is no overload, a second of
 * pauses is.
 */
const SAMPLE_WEIGHT = 0.2;

export class LoadShedder {
  readonly #ports: LoadShedderPorts;
  #admission: Admission = OPEN;
  #requests = 0;
  #lagMs = 0;
  #cancel: CancelTimer = () => undefined;

  constructor(ports: LoadShedderPorts) {
    this.#ports = ports;
    this.#sample();
  }

  /** Throws `overloaded` when requests of that kind are not taken now. */
  admit(kind: RequestKind): void {
    this.#look();
    if (admits(this.#admission, kind)) return;
    this.#ports.metrics.shed.inc({ kind });
    // The longer, the worse it is.
    throw new DispatchError("overloaded", undefined, { retryAfterS: this.#admission.level });
  }

  /** Runs a handler and counts it while it runs. */
  async during<T>(work: () => Promise<T>): Promise<T> {
    this.#requests++;
    try {
      return await work();
    } finally {
      this.#requests--;
    }
  }

  stop(): void {
    this.#cancel();
  }

  #look(): void {
    const { clock, limits, statements, metrics } = this.#ports;
    const pressure = {
      lagMs: this.#lagMs,
      requests: this.#requests,
      statements: statements(),
    };
    this.#admission = step(this.#admission, pressure, limits, clock.now());
    metrics.admission.set(this.#admission.level);
  }

  #sample(): void {
    const { clock } = this.#ports;
    const dueAt = clock.now() + SAMPLE_MS;
    this.#cancel = clock.after(SAMPLE_MS, () => {
      const lateMs = Math.max(0, clock.now() - dueAt);
      this.#lagMs += (lateMs - this.#lagMs) * SAMPLE_WEIGHT;
      this.#look();
      this.#sample();
    });
  }
}
